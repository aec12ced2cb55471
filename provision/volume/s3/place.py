"""Where a volume is: its bucket, and the endpoint of the data center that holds it. Values and decisions; no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from provision.errors import InputError
from provision.names import nearest, path_fault, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEME = "s3://"

DATACENTERS = (
    "EU-CZ-1", "EU-RO-1", "EUR-IS-1", "EUR-NO-1", "US-CA-2", "US-GA-2", "US-IL-1", "US-KS-2", "US-MD-1", "US-MO-1",
    "US-MO-2", "US-NC-1", "US-NC-2", "US-NE-1", "US-WA-1",
)  # fmt: skip
"""Data centers of RunPod whose volumes can be reached through S3 (docs.runpod.io, S3-compatible API, August 2026)."""

_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")
_DATACENTER = re.compile(r"[A-Za-z]{2,4}-[A-Za-z]{2,4}-[0-9]{1,2}")
_RUNPOD = re.compile(r"s3api-([a-z]{2,4}-[a-z]{2,4}-[0-9]{1,2})\.runpod\.io")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A bucket, and the folder in it that is the volume's root; `prefix` has no slash at either end."""

    bucket: str
    prefix: str = ""

    def key(self, path: str) -> str:
        """The key of the object at `path` below the root."""
        return f"{self.prefix}/{path}" if self.prefix else path

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The address that serves a bucket, and the region that its requests are signed for."""

    url: str
    region: str


def parse_place(text: str) -> Place:
    """`s3://VOLUME_ID` or `s3://VOLUME_ID/FOLDER`.

    Raises:
        InputError: it is neither.
    """
    bucket, _, prefix = text.removeprefix(SCHEME).rstrip("/").partition("/")
    fault = "" if text.startswith(SCHEME) else "does not begin with s3://"
    if not fault and not _BUCKET.fullmatch(bucket):
        fault = "names no volume" if not bucket else f"has `{shown(bucket)}` where the volume's id belongs"
    if not fault and prefix and path_fault(prefix):
        fault = f"has a folder that {path_fault(prefix)}"
    if fault:
        raise InputError(
            f"`{shown(text)}` {fault}", hint="write s3://VOLUME_ID; the id is in RunPod's console under Storage"
        )
    return Place(bucket=bucket, prefix=prefix)


def endpoint_of(datacenter: str) -> Endpoint:
    """Where RunPod serves the volumes of `datacenter`, in any case (docs.runpod.io, S3-compatible API).

    Raises:
        InputError: it has no S3, or there is no such data center.
    """
    name = datacenter.strip().upper()
    if name not in DATACENTERS:
        what = "has no S3 that we know of" if _DATACENTER.fullmatch(name) else "is not a data center"
        meant = nearest(name, DATACENTERS, 1)
        raise InputError(
            f"`{shown(datacenter)}` {what}; these have S3: {', '.join(DATACENTERS)}",
            hint=f"did you mean {meant[0]}? A newer one can be named by --endpoint-url"
            if meant
            else "verify in a pod that has the volume mounted, or name a newer one by --endpoint-url",
        )
    return Endpoint(url=f"https://s3api-{name.lower()}.runpod.io/", region=name)


def endpoint_at(url: str, region: str | None) -> Endpoint:
    """The endpoint at `url`. The region of RunPod's own is in its name; others get `region`, or what S3 began with.

    Raises:
        InputError: it is not the address of a server.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in {"http", "https"} or not host or "@" in parts.netloc or parts.query or parts.fragment:
        raise no_endpoint()
    runpod = _RUNPOD.fullmatch(host)
    return Endpoint(url=url, region=region or (runpod[1].upper() if runpod else "us-east-1"))


def no_endpoint() -> InputError:
    """The error for an endpoint that is none. It is not repeated: people have put passwords there."""
    return InputError(
        "the endpoint is not the address of a server",
        hint="write it as https://HOST[:PORT], without user, password or query",
    )


def proxied(url: str, proxies: Mapping[str, str]) -> dict[str, str]:
    """Of `proxies`, as `urllib.request.getproxies` gives them, the one for `url` under its scheme; {} when none is."""
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

    parts = urlsplit(url)
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass_environment(parts.netloc, dict(proxies)):
        return {}
    return {parts.scheme: proxy if "://" in proxy else f"http://{proxy}"}
