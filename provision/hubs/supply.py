"""The supply: hubs, HTTP and patience together. What resolution and transfer are handed to get facts and bytes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from provision.errors import HubRefused
from provision.hubs import XetHub

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from provision.hubs import Hub, Pace, Pin, RemoteFile, Stream
    from provision.hubs.http import Body, Http, Wanted
    from provision.retry import Retry

T = TypeVar("T")


class Supply:
    """Facts and bytes from any hub, by its scheme. Safe to share between threads."""

    def __init__(self, hub_of: Callable[[str], Hub], http: Http, retry: Retry) -> None:
        self._hub_of, self._http = hub_of, http
        self.retry = retry

    def resolve(self, scheme: str, repository: str, revision: str | None) -> Pin:
        """As `Hub.resolve`, tried again while that may help."""
        return self.retry.call(lambda: self._hub_of(scheme).resolve(repository, revision))

    def files(self, scheme: str, pin: Pin) -> Sequence[RemoteFile]:
        """As `Hub.files`, tried again while that may help."""
        return self.retry.call(lambda: self._hub_of(scheme).files(pin))

    def read(self, scheme: str, pin: Pin, wanted: Wanted) -> bytes:
        """A few bytes of a file, held in memory, tried again while that may help."""
        return self.retry.call(lambda: self._http.read(self._hub_of(scheme).location(pin, wanted.path), wanted))

    def open(self, scheme: str, pin: Pin, wanted: Wanted, pace: Pace | None = None) -> Body:
        """A stream of a file's bytes. Not tried again here: only its reader knows how far it came."""
        return self._http.open(self._hub_of(scheme).location(pin, wanted.path), wanted, pace)

    def open_xet(self, pin: Pin, wanted: Wanted, pace: Pace | None = None) -> Stream:
        """As `open`, from Hugging Face's Xet storage; refused where a file is not kept there, or cannot be read."""
        hub = self._hub_of("hf")
        if not isinstance(hub, XetHub):
            raise HubRefused(f"{hub.name} has no Xet storage", hint="use --transport http")
        return hub.open_xet(pin, wanted, pace)
