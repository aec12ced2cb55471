"""Bytes over HTTP: one file, from an offset, with every answer a hub or its CDN may give turned into an error of ours.

The only package that knows urllib3. It opens locations and reads bodies; it does not retry, does not write and does not
judge bytes. It does judge the answer: a status, a redirect, an announced length, a range that was not asked for.

    pools.py   connections, straight or through a proxy
    wire.py    what they receive: deadlines, bytes into a reader's buffer
    body.py    what comes: cut, silent and far too slow answers
    memory.py  where the hub sent us for a file, and which object that was
    room.py    how many bodies one host sends at once
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from provision.errors import (
    AddressExpired,
    ConnectionCut,
    HubRefused,
    HubUnavailable,
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
    check_unchanged,
    code_of,
    content_range,
    refusal,
    strong_etag,
    transient,
)
from provision.hubs.deadline import within
from provision.hubs.http.body import READ_SIZE, Body, Terms, transport_faults
from provision.hubs.http.memory import Answered, Memory
from provision.hubs.http.pools import Pools
from provision.hubs.http.room import Room
from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from urllib3 import BaseHTTPResponse

    from provision.hubs import Location
    from provision.hubs.http.body import Span

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
    `urllib.request.getproxies` gives them. `connections`: how many to one host are kept for the next request.
    `per_host`: most bodies that are open at once from one host, by the address asked, wherever it sends us.
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
    per_host: int = 8

    def terms(self, pace: Pace | None) -> Terms:
        """What is asked of a body: the `pace`, or what everybody must keep up."""
        own = Pace(slowest=self.slowest, window=2 * self.stall)
        return Terms(pace=pace or own, stall=self.stall, clock=self.clock)


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
        self._pools, self._memory, self._room = Pools(settings), Memory(), Room(settings)

    def open(self, location: Location, wanted: Wanted, pace: Pace | None = None) -> Body:
        """The answer to a request for the wanted bytes, not yet read. `pace`: None is the settings' own.

        A server that ignores the range answers from byte 0, and so does one that refuses ranges (416): the caller
        passes over what it has. Waits while `per_host` bodies from there are open; each is to be closed. Later ranges
        of a large file go where the hub sent the first, and are of the same object.

        Raises:
            HubRefused: and its children; asking again cannot help.
            HubUnavailable: and its children; asking again may help.
            SizeMismatch, DigestMismatch: the hub announces other bytes than the lock promised.
            ObjectChanged: another object is there than was when an earlier range came.
        """
        seat = self._room.take(host_of(location.url))
        try:
            with within(self._settings.clock, self._settings.answer):
                response, url = self._answer(location, wanted)
            with _closed_on_error(response):
                span = self._judged(response, url, location, wanted)
                # Where bytes end too early, the hub may know a better address.
                terms = replace(self._settings.terms(pace), broken=lambda: self._memory.forget(location, url))
                return Body(response, span, host_of(url), seat, terms)
        except BaseException:
            seat.leave()
            raise

    def _answer(self, location: Location, wanted: Wanted) -> tuple[BaseHTTPResponse, str]:
        """Of the address that is remembered, else of the hub's own."""
        for _ in range(2):  # another thread may have learnt a fresh address meanwhile
            address = self._memory.address(location)
            if address is None:
                break
            try:
                return self._asked(address, location, wanted)
            except (HubRefused, HubUnavailable) as error:
                self._memory.forget(location, address)
                if error.retryable and not isinstance(error, AddressExpired):
                    raise
        return self._asked(location.url, location, wanted)

    def _asked(self, address: str, location: Location, wanted: Wanted) -> tuple[BaseHTTPResponse, str]:
        response, url = self._follow(address, location, wanted, ranged=not wanted.is_whole)
        if response.status == 416:
            with _closed_on_error(response):
                check_total(content_range(response.headers)[1], wanted)
            _let_go(response)
            response, url = self._follow(address, location, wanted, ranged=False)
        return response, url

    def _judged(self, response: BaseHTTPResponse, url: str, location: Location, wanted: Wanted) -> Span:
        span = body_span(response.status, response.headers, wanted)
        told = Answered(address=url, etag=strong_etag(response.headers), ranged=response.status == 206)
        known = self._memory.learn(location, wanted, told)
        if known is not None:
            check_unchanged(response.status, response.headers, known, f"{shown(wanted.path)} at {host_of(url)}")
        return span

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

    def _follow(self, url: str, location: Location, wanted: Wanted, *, ranged: bool) -> tuple[BaseHTTPResponse, str]:
        home, seen = origin_of(location.url), set[str]()
        while True:
            seen.add(url)
            elsewhere = url != location.url and origin_of(url) != home
            headers = {} if elsewhere else dict(location.headers)
            if ranged:
                headers |= self._range_headers(url, location, wanted)
            response = self._pools.get(url, headers)
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

    def _range_headers(self, url: str, location: Location, wanted: Wanted) -> dict[str, str]:
        known = self._memory.validator(location, url)
        same = {"If-Range": known.etag} if known else {}
        return {"Range": f"bytes={wanted.start}-{wanted.until - 1}", **same}


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
