"""A model as it stands on a volume: its files by their paths in the repository, read from their targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from provision.errors import VolumeError
from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from provision.lock import LockedModel
    from provision.volume.view import Readable, View

AHEAD: Final = 64 * 1024
"""Bytes read at once at the start of a file: most headers, so that they take one read and not two."""


class Standing:
    """The files of one locked model, as promised: `Contents` of a composition. A context; one file is open at a time.

    Raises (read):
        VolumeError, and its children: the file cannot be read, or is there no more.
    """

    def __init__(self, view: View, model: LockedModel) -> None:
        self.sizes: Mapping[str, int] = {file.path: file.size for file in model.files}
        self._targets = {file.path: file.target for file in model.files}
        self._view = view
        self._path, self._start = "", b""
        self._opened: Readable | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def read(self, path: str, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`, fewer only where the file ends."""
        opened = self._opened if path == self._path and self._opened else self._open(path)
        kept = self._start[start:end]
        return kept if len(kept) == end - start else kept + opened.read_at(start + len(kept), end - start - len(kept))

    def _open(self, path: str) -> Readable:
        self._close()
        target = self._targets[path]
        opened = self._view.open_file(target)
        if opened is None:
            raise VolumeError(f"`{shown(target)}` is there no more", hint="do not change a volume while it is verified")
        self._path, self._opened = path, opened
        self._start = opened.read_at(0, min(AHEAD, self.sizes[path]))
        return opened

    def _close(self) -> None:
        opened, self._opened, self._path = self._opened, None, ""
        if opened is not None:
            opened.close()
