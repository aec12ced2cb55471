"""What one question to a hub may cost, and how the ways in which it goes unanswered are said.

Both vendors' libraries read answers of any length, wait without end and follow pages for ever. The adapters let them
speak the hub's language, and read every answer through an allowance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.errors import ConnectionCut, HostileListing, NotAHub, Stalled, Unreachable
from provision.hubs.address import host_of, origin_of
from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from provision.hubs.settings import HubSettings

ANSWER_LIMIT = 32 * 1024 * 1024
"""Most bytes of one page of a listing. The largest honest one names every file of a large repository: some 20 MiB."""

SMALL_LIMIT = 2 * 1024 * 1024
"""Most bytes of any other answer. In memory JSON is up to thirty times as large."""

CALL_LIMIT = 512 * 1024 * 1024
"""Most bytes of all answers to one call: LISTING_LIMIT entries of two kilobytes each."""

REDIRECT_LIMIT = 8


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
            NotAHub: plain HTTP was to follow https, or `url` is no address.
        """
        if self._requests <= 0:
            raise HostileListing(
                f"{self.host}: the hub's listing does not end",
                hint="no honest repository looks like this: check the source and the hub's endpoint",
            )
        self._requests -= 1
        home, origin = origin_of(self.endpoint), origin_of(url)
        if home[0] == "https" and origin[0] != "https":
            raise not_a_hub(self.host, "leads from https to an address without")
        return origin == home

    def gather(self, headers: Mapping[str, str], chunks: Iterable[bytes], limit: int) -> bytes:
        """The whole of an answer, from its bytes as they are on the line.

        Raises:
            NotAHub: it is longer than any hub's answer, or compressed, which could make it so when unpacked.
            Stalled: it comes so slowly that it may never end.
        """
        if headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
            raise not_a_hub(self.host, "answers compressed, though plain bytes were asked for")
        gathered, deadline = bytearray(), self.http.clock() + self.http.call
        for chunk in chunks:
            gathered += chunk
            self._bytes -= len(chunk)
            if len(gathered) > limit or self._bytes < 0:
                raise not_a_hub(self.host, "sends more than any honest answer holds")
            if self.http.clock() > deadline:
                raise silent(self.host)
        return bytes(gathered)


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


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    seen: list[BaseException] = []
    while error is not None and len(seen) < 10:
        seen.append(error)
        error = error.__cause__ or error.__context__
    return seen


def _system_words(error: BaseException) -> str:
    words = getattr(error, "verify_message", None) or getattr(error, "strerror", None)
    return words if isinstance(words, str) else ""
