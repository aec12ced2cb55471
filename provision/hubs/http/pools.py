"""Connections to wherever an address leads: straight, or through a proxy; kept for the next request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from provision.errors import AccessDenied
from provision.hubs.address import host_of
from provision.hubs.http.body import transport_faults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3 import BaseHTTPResponse, PoolManager

    from provision.hubs.http import HttpSettings


class Pools:
    """One pool for each way out. Safe to share between threads."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._managers: dict[str | None, PoolManager] = {}
        self._own = {"User-Agent": settings.user_agent, "Accept-Encoding": "identity", "Accept": "*/*"}

    def get(self, url: str, headers: dict[str, str]) -> BaseHTTPResponse:
        """The answer of `url`, its body not yet read; redirects are not followed.

        Raises:
            AccessDenied: a header that cannot be sent.
            HubRefused, HubUnavailable: what `transport_faults` gives.
        """
        try:
            return self._send("GET", url, headers, {})
        except ValueError:  # a header that cannot be sent; its text holds the token
            raise AccessDenied(
                "the token holds characters that no token has", hint="set HF_TOKEN or MODELSCOPE_API_TOKEN anew"
            ) from None

    def request(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None, timeout: float
    ) -> BaseHTTPResponse:
        """As `get`, for any method, with a silence of at most `timeout` seconds: other services are reached alike.

        Raises:
            AccessDenied: a header that cannot be sent.
            HubRefused, HubUnavailable: what `transport_faults` gives.
        """
        try:
            from urllib3 import Timeout

            patience = Timeout(connect=min(timeout, self._settings.connect), read=timeout)
            return self._send(method, url, headers, {"body": body, "timeout": patience})
        except ValueError:  # as above
            raise AccessDenied("a header holds characters that cannot be sent") from None

    def _send(self, method: str, url: str, headers: dict[str, str], options: dict[str, Any]) -> BaseHTTPResponse:
        with transport_faults(host_of(url)):
            return self._pool(url).request(
                method,
                url,
                headers=headers | self._own,
                redirect=False,
                retries=False,
                preload_content=False,
                **options,
            )

    def _pool(self, url: str) -> PoolManager:
        proxy = _proxy_for(url, self._settings.proxies)
        pool = self._managers.get(proxy)
        return pool or self._managers.setdefault(proxy, _make_pool(proxy, self._settings))


def _make_pool(proxy: str | None, settings: HttpSettings) -> PoolManager:
    import urllib3

    from provision.hubs.http.wire import timed

    timeout = urllib3.Timeout(connect=settings.connect, read=settings.stall)
    if proxy is None:
        return timed(urllib3.PoolManager(timeout=timeout, ca_certs=settings.ca_bundle, maxsize=settings.connections))
    user = urlsplit(proxy)
    login = f"{unquote(user.username)}:{unquote(user.password or '')}" if user.username else None
    manager = urllib3.ProxyManager(
        proxy,
        proxy_headers=urllib3.make_headers(proxy_basic_auth=login) if login else None,
        timeout=timeout,
        ca_certs=settings.ca_bundle,
        maxsize=settings.connections,
    )
    return timed(manager)


def _proxy_for(url: str, proxies: Mapping[str, str]) -> str | None:
    if not proxies:
        return None
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

    parts = urlsplit(url)
    if proxy_bypass_environment(parts.netloc, dict(proxies)):
        return None
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"
