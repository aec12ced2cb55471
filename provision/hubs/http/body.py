"""The body of an answer, as it comes: cut, silent and far too slow ones are errors of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.buffer import new_buffer
from provision.errors import (
    ConnectionCut,
    HubRefused,
    HubUnavailable,
    NotAHub,
    ProvisionError,
    Stalled,
    Unreachable,
)
from provision.hubs.answers import AGAIN
from provision.hubs.deadline import within
from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urllib3 import BaseHTTPResponse

    from provision.hubs import Pace
    from provision.hubs.http.room import Seat

    Span = tuple[int, int | None]

READ_SIZE = 1024 * 1024
"""Most bytes taken from a socket at once."""

_CHECK_PROXY = "check HTTPS_PROXY, ALL_PROXY and NO_PROXY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is asked of a body: the `pace`, and no silence longer than `stall` seconds by the `clock`.

    `broken` is called when it cannot be read to its end.
    """

    pace: Pace
    stall: float
    clock: Callable[[], float]
    broken: Callable[[], None] = lambda: None


class Body:
    """An answer being read: a `Stream`."""

    def __init__(self, response: BaseHTTPResponse, span: Span, host: str, seat: Seat, terms: Terms) -> None:
        from provision.hubs.http.wire import answer_of

        self.start, self.end = span
        self.host = host
        self._response, self._answer, self._seat = response, answer_of(response), seat
        self._pace, self._clock, self._broken = terms.pace, terms.clock, terms.broken
        self._is_broken = False
        self._position, self._waited, self._came = self.start, 0.0, 0
        self._answer.wait_at_most(min(terms.stall, terms.pace.window))

    def read_into(self, buffer: memoryview) -> int:
        """As `Stream.read_into`. Only time spent waiting counts for the pace, not what the reader does in between.

        Raises:
            ConnectionCut: the connection ended before the announced length.
            Stalled: nothing came for `stall` seconds, or less than the pace asks for.
        """
        try:
            return self._read_into(buffer)
        except ProvisionError:
            self._is_broken = True
            self._broken()
            raise

    def _read_into(self, buffer: memoryview) -> int:
        if self.end is not None:
            buffer = buffer[: self.end - self._position]
        began = self._clock()
        with transport_faults(self.host), within(self._clock, self._pace.window):
            count = self._answer.take(buffer)
        self._position += count
        self._seat.came += count
        if count:
            self._keep_pace(count, self._clock() - began)
        elif buffer and self.end is not None:
            raise ConnectionCut(f"{self.host} cut the connection", hint=AGAIN)
        return count

    def _keep_pace(self, count: int, waited: float) -> None:
        self._waited, self._came = self._waited + waited, self._came + count
        if self._waited < self._pace.window:
            return
        if self._came < self._pace.slowest * self._waited:
            raise Stalled(f"{self.host} sends less than {self._pace.slowest:,} bytes a second", hint=AGAIN)
        self._waited, self._came = 0.0, 0

    def chunks(self) -> Iterator[bytes]:
        """The bytes as they come, for those who have no buffer; raises what `read_into` does."""
        buffer = new_buffer(READ_SIZE)
        while count := self.read_into(buffer):
            yield bytes(buffer[:count])

    def abandon(self) -> None:
        """As `Stream.abandon`: the connection ends, for whoever reads from it."""
        self._answer.abandon()

    def close(self) -> None:
        """Let go of the connection; it is only used again if the body was read to its end, and nothing was odd."""
        connection = self._response.connection
        if connection is not None and (self._is_broken or not self._answer.is_read):
            connection.close()
        self._response.release_conn()
        self._response.close()
        self._seat.leave()


class transport_faults:  # noqa: N801 - used as a function; a generator costs three times as much
    """Within, whatever fails below HTTP is an error of ours.

    Raises:
        ConnectionCut, Stalled, Unreachable, NotAHub, HubRefused: by what failed.
    """

    __slots__ = ("_host",)

    def __init__(self, host: str) -> None:
        self._host = host

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None or isinstance(error, ProvisionError):
            return
        from http.client import HTTPException

        from urllib3.exceptions import HTTPError

        if isinstance(error, (HTTPError, HTTPException, OSError)):
            raise _transport_error(error, self._host) from error


def _transport_error(error: Exception, host: str) -> HubRefused | HubUnavailable:
    """What a failure below HTTP means. Its own words may hold an address with a signature, so few of them are kept."""
    import urllib3.exceptions as u

    if isinstance(error, (u.NewConnectionError, u.ConnectTimeoutError, u.SSLError)):
        return Unreachable(f"{host} cannot be reached{_cause(error)}", hint="check the network and the hub's endpoint")
    if isinstance(error, (u.ReadTimeoutError, TimeoutError)):
        return Stalled(f"{host} is silent", hint=AGAIN)
    if isinstance(error, u.ProxySchemeUnknown):
        return HubRefused("the proxy cannot be used: it is neither http:// nor https://", hint=_CHECK_PROXY)
    if isinstance(error, (u.LocationValueError, u.LocationParseError)):
        return NotAHub(f"{host or 'the hub'}: the address cannot be used", hint="check the hub's endpoint")
    if isinstance(error, u.ProxyError):
        return Unreachable(f"the proxy for {host} cannot be reached", hint=_CHECK_PROXY)
    return ConnectionCut(f"{host} cut the connection", hint=AGAIN)


def _cause(error: Exception) -> str:
    """The operating system's or TLS library's own words, which hold no address."""
    reason = getattr(error, "__cause__", None) or (error.args[-1] if error.args else error)
    words = getattr(reason, "strerror", None) or getattr(reason, "verify_message", None)
    return f": {shown(str(words))}" if words else ""
