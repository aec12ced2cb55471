"""What one question to a hub may cost, and how the ways in which it goes unanswered are said.

Both vendors' libraries read answers of any length, wait without end and follow pages for ever. The adapters let them
speak the hub's language, and read every answer through an allowance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from provision.errors import ConnectionCut, HostileListing, NotAHub, Stalled, Unreachable, without_secrets
from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provision.hubs.settings import HubSettings

ANSWER_LIMIT = 32 * 1024 * 1024
"""Most bytes of one answer. The largest honest one names every file of a large repository: some 20 MiB."""

CALL_LIMIT = 512 * 1024 * 1024
"""Most bytes of all answers to one call: LISTING_LIMIT entries of two kilobytes each."""

REDIRECT_LIMIT = 8

_TRICKLE = 20
"""One answer may take this many times the longest silence: a hub that sends a byte at a time is silent too."""


class Allowance:
    """Requests, bytes and time that one call may still use."""

    def __init__(self, settings: HubSettings, endpoint: str) -> None:
        self.endpoint = endpoint
        self.http = settings.http
        self._requests = settings.requests
        self._bytes = CALL_LIMIT

    @property
    def host(self) -> str:
        """The hub's host, fit to print."""
        return host_of(self.endpoint)

    def admit(self, url: str) -> bool:
        """Counts a request to `url`, and says whether it may carry the token: only to the hub's own origin.

        Raises:
            HostileListing: this call has asked often enough.
            NotAHub: plain HTTP was to follow https.
        """
        if self._requests <= 0:
            raise HostileListing(
                f"{self.host}: the hub's listing does not end",
                hint="no honest repository looks like this: check the source and the hub's endpoint",
            )
        self._requests -= 1
        usable(url)
        if urlsplit(self.endpoint).scheme == "https" and urlsplit(url).scheme != "https":
            raise not_a_hub(self.host, "leads from https to an address without")
        return origin_of(url) == origin_of(self.endpoint)

    def gather(self, chunks: Iterable[bytes]) -> bytes:
        """The whole of an answer.

        Raises:
            NotAHub: it is longer than any hub's answer.
            Stalled: it comes so slowly that it may never end.
        """
        gathered, deadline = bytearray(), self.http.now() + _TRICKLE * self.http.stall
        for chunk in chunks:
            gathered += chunk
            self._bytes -= len(chunk)
            if len(gathered) > ANSWER_LIMIT or self._bytes < 0:
                raise not_a_hub(self.host, "sends more than any listing holds")
            if self.http.now() > deadline:
                raise silent(self.host)
        return bytes(gathered)


def usable(endpoint: str) -> str:
    """`endpoint`, without a slash at its end.

    Raises:
        NotAHub: it is no address of a web server.
    """
    try:
        parts = urlsplit(endpoint)
        possible = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        possible = False
    if not possible or not endpoint.isprintable() or " " in endpoint:
        raise NotAHub(
            f"`{shown(without_secrets(endpoint))}` is no address of a hub",
            hint="write https://HOST, as its page gives it",
        )
    return endpoint.rstrip("/")


def host_of(url: str) -> str:
    """Host and port of `url`, fit to print; a user's name and password are left out."""
    return shown(urlsplit(url).netloc.rpartition("@")[2])


def origin_of(url: str) -> tuple[str, str | None, int | None]:
    """What must be equal for a token to be sent (RFC 6454)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def not_a_hub(host: str, does: str) -> NotAHub:
    """`does` completes the sentence: HOST …"""
    return NotAHub(f"{host} {does}", hint="check the hub's endpoint, and any proxy or mirror in between")


def silent(host: str) -> Stalled:
    """The connection stands, and nothing comes."""
    return Stalled(f"{host} is silent", hint="run the same command again; it resumes")


def cut(host: str) -> ConnectionCut:
    """The connection ended within an answer."""
    return ConnectionCut(f"{host} cut the connection", hint="run the same command again; it resumes")


def unreachable(host: str, error: BaseException) -> Unreachable:
    """No connection. Of the error's words only the system's own are kept: others may hold an address."""
    words = (_system_words(link) for link in _chain(error))
    reason = next((f": {shown(word)}" for word in words if word), "")
    return Unreachable(f"{host} cannot be reached{reason}", hint="check the network and the hub's endpoint")


def timed_out(error: BaseException) -> bool:
    """Whether a timeout lies at the root of `error`."""
    return any(isinstance(link, TimeoutError) for link in _chain(error))


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    seen: list[BaseException] = []
    while error is not None and len(seen) < 10:
        seen.append(error)
        error = error.__cause__ or error.__context__
    return seen


def _system_words(error: BaseException) -> str:
    words = getattr(error, "verify_message", None) or getattr(error, "strerror", None)
    return words if isinstance(words, str) else ""
