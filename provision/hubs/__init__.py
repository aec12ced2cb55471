"""The Hub protocol: what provision asks of a place where bytes come from.

A hub turns a revision into a pin, lists the files of a pin, and says where a file's bytes are read from. It knows
nothing of volumes. Adapters return these values and raise the hub errors of `provision.errors`, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from provision.errors import HostileListing
from provision.lock import SIZE_LIMIT
from provision.names import path_fault, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from provision.digest import Digest
    from provision.hubs.http import Wanted

LISTING_LIMIT = 250_000
"""Most files a listing may have. Hugging Face advises repositories to stay below 100,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A repository at one revision. `revision` is what was asked for (the default branch's name where nothing was).

    `commit` is what it stood at, None where the hub does not tell. `license` is the hub's word for it, where known.
    """

    repository: str
    revision: str
    commit: str | None
    license: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file as its hub lists it; `digest` is a sha256, a git blob id, or None."""

    path: str
    size: int
    digest: Digest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a file's bytes are read from: an address, and headers for that address's own origin only.

    The headers may carry a token: they are left out of `repr`, and never follow a redirect to another origin.
    `page` is where people read about the `repository`, and ask for access to it.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    page: str = ""
    repository: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What a stream must keep up: `slowest` bytes a second over every `window` seconds that its reader waited."""

    slowest: float
    window: float


class Stream(Protocol):
    """Bytes of one file on their way, from whatever they come from. For one thread at a time."""

    @property
    def start(self) -> int:
        """The offset of the first byte that comes: 0 where a server ignored the range."""

    @property
    def end(self) -> int | None:
        """The offset after the last byte that was announced, which may lie before the one asked for; None: unknown."""

    @property
    def host(self) -> str:
        """Who sends, fit to print."""

    def read_into(self, buffer: memoryview) -> int:
        """Wait for bytes, fill `buffer` with those that are there at once, and count them; 0 at the end.

        Raises:
            HubUnavailable: and its children: cut, silent, slower than the pace. What came before is not lost.
        """

    def close(self) -> None:
        """Let go of it, read to its end or not."""

    def abandon(self) -> None:
        """From any thread, before it is closed: whoever waits for bytes is woken, since nobody wants them any more."""


class Hub(Protocol):
    """What every hub does. All three calls may raise HubRefused and HubUnavailable errors."""

    @property
    def name(self) -> str:
        """The scheme of this hub's sources and mirrors: `hf`, `modelscope`, `https`."""

    def resolve(self, repository: str, revision: str | None) -> Pin:
        """Pin `revision` (None: the default branch) of `repository` to the commit it has now."""

    def files(self, pin: Pin) -> Sequence[RemoteFile]:
        """Every file of the pin, sorted by path, already through `checked_listing`."""

    def location(self, pin: Pin, path: str) -> Location:
        """Where the bytes of `path` at `pin` are read from. Does not touch the network."""


@runtime_checkable
class XetHub(Protocol):
    """A hub that keeps large files in Xet storage, too."""

    def open_xet(self, pin: Pin, wanted: Wanted, pace: Pace | None = None) -> Stream:
        """The wanted bytes from there. The first have come when this returns."""


def checked_listing(repository: str, files: Iterable[RemoteFile]) -> tuple[RemoteFile, ...]:
    """`files`, sorted by path, when an honest repository could have them.

    Consumes no more than LISTING_LIMIT entries, so that an endless listing ends.

    Raises:
        HostileListing: a path that could leave a root, a path listed twice, a file where another needs a folder, a
            size below zero or beyond SIZE_LIMIT, too many entries.
    """
    listed: dict[str, RemoteFile] = {}
    for file in files:
        fault = _entry_fault(file, listed)
        if fault:
            raise _hostile(repository, fault)
        listed[file.path] = file
    for path in listed:
        folder = path.rpartition("/")[0]
        while folder:
            if folder in listed:
                raise _hostile(repository, f"`{shown(folder)}` is listed as a file and as a folder")
            folder = folder.rpartition("/")[0]
    return tuple(listed[path] for path in sorted(listed))


def _entry_fault(file: RemoteFile, listed: dict[str, RemoteFile]) -> str:
    if len(listed) >= LISTING_LIMIT:
        return f"more than {LISTING_LIMIT:,} files"
    fault = path_fault(file.path)
    if fault:
        return f"the path `{shown(file.path)}` {fault}"
    if not 0 <= file.size <= SIZE_LIMIT:
        return f"`{shown(file.path)}` is listed with {file.size} bytes"
    return f"`{shown(file.path)}` is listed twice" if file.path in listed else ""


def _hostile(repository: str, fault: str) -> HostileListing:
    return HostileListing(
        f"{shown(repository)}: the hub's listing is refused: {fault}",
        hint="nothing was written; no honest repository looks like this: check the source and the hub's endpoint",
    )
