"""Bytes over HTTP: one file, from an offset, with every answer a hub or its CDN may give turned into an error of ours.

The only package that knows urllib3. It opens locations and reads bodies; it does not retry, does not write and does not
judge bytes. It does judge the answer: a status, a redirect, an announced length, a range that was not asked for.

    body.py  what comes: cut, silent and far too slow answers
    wire.py  connections that look at the deadline whenever something comes
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from provision.errors import (
    AccessDenied,
    AddressExpired,
    ConnectionCut,
    NotAHub,
    ProvisionError,
)
from provision.hubs import Pace
from provision.hubs.address import host_of, origin_of
from provision.hubs.answers import (
    AGAIN,
    TRANSIENT,
    body_span,
    check_linked_digest,
    check_total,
    code_of,
    content_range,
    refusal,
    transient,
)
from provision.hubs.deadline import within
from provision.hubs.http.body import READ_SIZE, Body, transport_faults
from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from urllib3 import BaseHTTPResponse, PoolManager

    from provision.hubs import Location

__all__ = ["READ_SIZE", "REDIRECT_LIMIT", "Body", "Http", "HttpSettings", "Wanted"]

REDIRECT_LIMIT = 8

_LITTLE = 64 * 1024
"""Bytes of an unwanted answer that cost less than another connection."""

_ENVELOPE = 4 * 1024
"""Most bytes of the body in which a hub says why it refuses."""

_SLOW_LINE = 64 * 1024
"""Bytes a second, for reads that are not quite short."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_EXPIRED = frozenset({400, 401, 403, 410})
"""What CDNs answer to a signature that is over: S3 and CloudFront 403, Azure 403, some mirrors 400, 401 or 410."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """How to reach out. Times in seconds; `now` is the time of day, `clock` one that never jumps.

    `stall`: longest silence on an open connection. `answer`: most time until an answer begins, with all its redirects.
    `call`: most time for a short answer as a whole. `slowest`: bytes a second that a long answer must keep up.
    `proxies` maps `http`, `https`, `all` to proxy addresses and `no` to the hosts that need none, as
    `urllib.request.getproxies` gives them.
    """

    user_agent: str
    now: Callable[[], float]
    clock: Callable[[], float] = time.monotonic
    connect: float = 10.0
    stall: float = 30.0
    answer: float = 60.0
    call: float = 120.0
    slowest: int = 1024
    proxies: Mapping[str, str] = field(default_factory=dict)
    ca_bundle: str | None = None
    connections: int = 16

    @property
    def pace(self) -> Pace:
        """What a body must keep up where nobody asks for more."""
        return Pace(slowest=self.slowest, window=2 * self.stall)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for: bytes `start` to `end` (exclusive) of a file promised with `size` bytes and `sha256`."""

    path: str
    size: int
    sha256: str | None = None
    start: int = 0
    end: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether no range has to be asked for."""
        return self.start == 0 and self.until == self.size

    @property
    def until(self) -> int:
        """The offset after the last wanted byte."""
        return self.size if self.end is None else min(self.end, self.size)


class Http:
    """Opens locations. One pool of connections, safe to share between threads."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._pools: dict[str | None, PoolManager] = {}

    def open(self, location: Location, wanted: Wanted, pace: Pace | None = None) -> Body:
        """The answer to a request for the wanted bytes, not yet read. `pace`: None is the settings' own.

        A server that ignores the range answers from byte 0, and so does one that refuses ranges (416): the caller
        passes over what it has.

        Raises:
            HubRefused: and its children; asking again cannot help.
            HubUnavailable: and its children; asking again may help.
            SizeMismatch, DigestMismatch: the hub announces other bytes than the lock promised.
        """
        with within(self._settings.clock, self._settings.answer):
            response, url = self._answer(location, wanted)
        with _closed_on_error(response):
            span = body_span(response.status, response.headers, wanted)
            return Body(response, span, host_of(url), pace or self._settings.pace, self._settings)

    def _answer(self, location: Location, wanted: Wanted) -> tuple[BaseHTTPResponse, str]:
        response, url = self._follow(location, wanted, ranged=not wanted.is_whole)
        if response.status == 416:
            with _closed_on_error(response):
                check_total(content_range(response.headers)[1], wanted)
            _let_go(response)
            response, url = self._follow(location, wanted, ranged=False)
        return response, url

    def read(self, location: Location, wanted: Wanted) -> bytes:
        """The wanted bytes, which must be few: they are held in memory.

        Raises:
            ConnectionCut: the answer ended early; and all that `open` raises.
        """
        length = wanted.until - wanted.start
        with within(self._settings.clock, self._settings.call + length / _SLOW_LINE):
            body = self.open(location, wanted)
            try:
                got = _take(body, wanted.start, length)
            finally:
                body.close()
        if len(got) < length:
            raise ConnectionCut(f"{body.host} ended its answer early for {shown(wanted.path)}", hint=AGAIN)
        return got

    def _follow(self, location: Location, wanted: Wanted, *, ranged: bool) -> tuple[BaseHTTPResponse, str]:
        home = origin_of(location.url)
        url, seen = location.url, set[str]()
        while True:
            seen.add(url)
            elsewhere = origin_of(url) != home
            headers = {} if elsewhere else dict(location.headers)
            response = self._request(url, headers | self._own_headers(wanted, ranged=ranged))
            with _closed_on_error(response):
                check_linked_digest(response.headers, wanted)
                if response.status not in _REDIRECTS:
                    if not (ranged and response.status == 416):
                        _check_status(response, url, location, wanted, self._settings.now())
                    return response, url
                url = _next_address(response, url, wanted)
            _let_go(response)
            if url in seen or len(seen) > REDIRECT_LIMIT:
                raise NotAHub(
                    f"{host_of(location.url)} redirects in a circle for {shown(wanted.path)}",
                    hint="check the hub's endpoint and any proxy in between",
                )

    def _own_headers(self, wanted: Wanted, *, ranged: bool) -> dict[str, str]:
        headers = {"User-Agent": self._settings.user_agent, "Accept-Encoding": "identity", "Accept": "*/*"}
        if ranged:
            headers["Range"] = f"bytes={wanted.start}-{wanted.until - 1}"
        return headers

    def _request(self, url: str, headers: dict[str, str]) -> BaseHTTPResponse:
        try:
            with transport_faults(host_of(url)):
                return self._pool(url).request(
                    "GET", url, headers=headers, redirect=False, retries=False, preload_content=False
                )
        except ValueError:  # a header that cannot be sent; its text holds the token
            raise AccessDenied(
                "the token holds characters that no token has", hint="set HF_TOKEN or MODELSCOPE_API_TOKEN anew"
            ) from None

    def _pool(self, url: str) -> PoolManager:
        proxy = _proxy_for(url, self._settings.proxies)
        if proxy not in self._pools:
            self._pools[proxy] = _make_pool(proxy, self._settings)
        return self._pools[proxy]


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
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

    parts = urlsplit(url)
    if proxy_bypass_environment(parts.netloc, dict(proxies)):
        return None
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


@contextmanager
def _closed_on_error(response: BaseHTTPResponse) -> Iterator[None]:
    try:
        yield
    except ProvisionError:
        response.close()
        raise


def _let_go(response: BaseHTTPResponse) -> None:
    """Read the little that is left of an answer, so that its connection serves the next request; else close it."""
    if response.length_remaining is not None and response.length_remaining <= _LITTLE:
        response.drain_conn()
    response.close()
    response.release_conn()


def _take(body: Body, start: int, length: int) -> bytes:
    got, skip = bytearray(), start - body.start
    for chunk in body.chunks():
        got += chunk[skip:] if skip < len(chunk) else b""
        skip = max(0, skip - len(chunk))
        if len(got) >= length:
            break
    return bytes(got[:length])


def _next_address(response: BaseHTTPResponse, url: str, wanted: Wanted) -> str:
    refused = NotAHub(
        f"{host_of(url)} redirects {shown(wanted.path)} to an address that is refused",
        hint="only https may follow https; check the hub's endpoint and any proxy in between",
    )
    try:
        following = urljoin(url, response.headers.get("Location", ""))
        scheme, _, _ = origin_of(following)
    except (ValueError, NotAHub) as error:
        raise refused from error
    if scheme != "https" and origin_of(url)[0] == "https":
        raise refused
    return following


def _check_status(response: BaseHTTPResponse, url: str, location: Location, wanted: Wanted, now: float) -> None:
    status = response.status
    if status in {200, 206}:
        return
    host, what = host_of(url), shown(wanted.path)
    if location.repository:
        what += f" of {shown(location.repository)}"
    if status in TRANSIENT:
        raise transient(status, response.headers, host, now)
    elsewhere = origin_of(url) != origin_of(location.url)
    if elsewhere and status in _EXPIRED:
        raise AddressExpired(
            f"{host} no longer honours the address that the hub gave for {what} ({status})", hint=AGAIN
        )
    code = None if elsewhere else code_of(_beginning(response))
    raise refusal(status, response.headers, f"{host} refused {what}", code=code, page=location.page)


def _beginning(response: BaseHTTPResponse) -> bytes:
    """Of a refusal's body as much as an envelope takes; b"" when it does not come."""
    if "json" not in response.headers.get("Content-Type", ""):
        return b""
    try:
        with transport_faults(""):
            return response.read(_ENVELOPE, decode_content=False)
    except ProvisionError:
        return b""  # the status has been told; it says enough
