"""The body of an answer, as it comes: cut, silent and far too slow ones are errors of ours."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from provision.errors import ConnectionCut, HubRefused, HubUnavailable, NotAHub, Stalled, Unreachable
from provision.hubs.answers import AGAIN
from provision.hubs.deadline import within
from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3 import BaseHTTPResponse
    from urllib3.exceptions import HTTPError

    from provision.hubs.http import HttpSettings

READ_SIZE = 1024 * 1024
"""Most bytes taken from a socket at once."""

_CHECK_PROXY = "check HTTPS_PROXY, ALL_PROXY and NO_PROXY"


class Body:
    """An answer being read. `start` is the offset of its first byte, which may lie before the one asked for."""

    def __init__(self, response: BaseHTTPResponse, start: int, host: str, settings: HttpSettings) -> None:
        self._response, self._settings = response, settings
        self.start = start
        self.host = host

    def chunks(self) -> Iterator[bytes]:
        """The bytes, as they come. Only time spent waiting for them counts, not what is done with them in between.

        Raises:
            ConnectionCut: the connection ended before the announced length.
            Stalled: nothing came for `stall` seconds, or less than `slowest` bytes a second for twice as long.
        """
        clock, window = self._settings.clock, 2 * self._settings.stall
        waited, came = 0.0, 0
        while True:
            began = clock()
            chunk = self._next(window)
            if not chunk:
                return
            waited, came = waited + clock() - began, came + len(chunk)
            if waited >= window:
                if came < self._settings.slowest * waited:
                    raise Stalled(f"{self.host} sends less than {self._settings.slowest:,} bytes a second", hint=AGAIN)
                waited, came = 0.0, 0
            yield chunk

    def _next(self, seconds: float) -> bytes:
        with transport_faults(self.host), within(self._settings.clock, seconds):
            return self._response.read1(READ_SIZE, decode_content=False)

    def close(self) -> None:
        """Let go of the connection; it is only used again if the body was read to its end."""
        self._response.close()
        self._response.release_conn()


@contextmanager
def transport_faults(host: str) -> Iterator[None]:
    """Within, whatever fails below HTTP is an error of ours.

    Raises:
        ConnectionCut, Stalled, Unreachable, NotAHub, HubRefused: by what failed.
    """
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (HTTPError, OSError) as error:
        raise _transport_error(error, host) from error


def _transport_error(error: HTTPError | OSError, host: str) -> HubRefused | HubUnavailable:
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
