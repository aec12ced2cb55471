"""A partial: one unfinished file, open for the one who writes it."""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from provision.errors import VolumeError, VolumeFull
from provision.volume.faults import FULL_HINT
from provision.volume.journal import keeps_journal, piece_line

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Buffer

    from provision.lock import LockedFile
    from provision.volume.files import File
    from provision.volume.partials import Partials
    from provision.volume.paths import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Someone else's bytes of the same promise: to be read, piece by piece, and never written."""

    file: File
    pieces: Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a claim has opened; `stack` closes it. `size`: bytes that `data` has, proven or not; `journal_end`: bytes of
    our journal that are worth keeping.
    """

    file: LockedFile
    folder: Folder
    data: File
    held: Mapping[int, str]
    others: Sequence[Held]
    size: int
    journal_end: int
    stack: ExitStack


class Partial:
    """An unfinished file, open for its one writer. A context: leaving it closes everything and keeps the bytes.

    `held` are the pieces that can be read here, `others` whoever else holds some; both tell, by index, which digest the
    bytes must have to be believed. Several threads may write and record, each other pieces.

    Raises (each method):
        VolumeFull, VolumeReadOnly, VolumeTrouble, VolumeError: as `volume_fault` says. The bytes so far are kept.
    """

    def __init__(self, store: Partials, opened: Opened) -> None:
        self.file = opened.file
        self.folder = opened.folder
        self.name = store.name_of(opened.file)
        self.held = opened.held
        self.others = opened.others
        self._store = store
        self._data = opened.data
        self._stack = opened.stack
        self._journal: File | None = None
        self._journal_end, self._flushed_end = opened.journal_end, 0
        self._unsynced = 0
        self._guard, self._flushing = threading.Lock(), threading.Lock()
        self._lost: VolumeError | None = None
        self._empty = not opened.size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close everything, keep the bytes; where there are none, no name either.

        A partial to which nothing was written has no journal: nobody could tell whose it is, or go on with it.
        """
        with self._stack, suppress(VolumeError):  # an empty file that cannot be removed makes nothing wrong
            if self._empty:
                self._empty = False
                self.folder.unlink(self.name)

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; fewer only where the partial ends."""
        return self._data.read_at(offset, length)

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill `buffer` from `offset`; how many bytes that was, fewer only where the partial ends."""
        return self._data.read_into(offset, buffer)

    def write_at(self, offset: int, data: Buffer) -> None:
        """All of `data` at `offset`. Whose the partial is, and so whether he is dead, is in the journal by then."""
        if self._journal is None and keeps_journal(self.file):
            with self._guard:
                self._open_journal()
        self._empty = False
        self._data.write_at(offset, data)

    def stat(self) -> os.stat_result:
        """What the file system says about these bytes, whatever their name is by now."""
        return self._data.stat()

    def record(self, index: int, digest: str) -> None:
        """Piece `index` is written and has `digest`. Every few pieces are flushed, by the thread that brings the last.

        Raises:
            VolumeError: as the class says; after a flush that failed, the same to every thread that comes.
        """
        if not keeps_journal(self.file):
            return
        with self._guard:
            self._note(piece_line(index, digest))
            if self._unsynced < self._store.sync_every:
                return
            self._unsynced, mark = 0, self._journal_end
        self._flush(mark)

    def _note(self, line: bytes) -> None:
        if self._lost is not None:
            raise self._lost
        # One write at a place of our own counting: a line that was cut by a full volume is written over, not after.
        self._open_journal().write_at(self._journal_end, line)
        self._journal_end += len(line)
        self._unsynced += 1

    def _open_journal(self) -> File:
        if self._journal is None:
            self._journal = self._stack.enter_context(self._store.open_journal(self.file, self._journal_end))
            if self._journal_end:
                self._vouch_for_older()
            self._journal_end = self._flushed_end = self._journal.stat().st_size
        return self._journal

    def _vouch_for_older(self) -> None:
        """A fill that was killed may have left lines, and bytes, that it never flushed."""
        try:
            self._data.sync_data()
        except VolumeError as error:
            self._lose(error)
            raise

    def _flush(self, mark: int) -> None:
        """Everything up to `mark` in the journal is on the volume when this returns: bytes first, then their lines.

        Lines that other threads add meanwhile may reach the volume before their bytes do. After a power cut they name
        pieces that are not there; whoever resumes reads each piece before believing its line, so that costs a fetch.

        A flush that fails may have dropped what it was to flush, though reading still shows it (Linux tells once, and
        marks the pages clean). So the journal is cut back to the flush before, and this partial takes no more lines:
        opened anew, what is no longer named moves again, and is written, and flushed, again.
        """
        with self._flushing:  # one at a time: of two that flush at once, only one is told of a failure
            if self._lost is not None:
                raise self._lost
            try:
                self._data.sync_data()
                if self._journal is not None:
                    self._journal.sync_data()
            except VolumeError as error:
                with self._guard:
                    self._lose(error)
                raise
            with self._guard:
                self._flushed_end = max(self._flushed_end, mark)

    def _lose(self, error: VolumeError) -> None:
        """Take back what no flush has vouched for; called with the guard."""
        self._lost = error
        self._journal_end = self._flushed_end
        with suppress(VolumeError):
            if self._journal is None and keeps_journal(self.file):
                self._journal = self._stack.enter_context(self._store.open_journal(self.file, self._journal_end))
            elif self._journal is not None:
                self._journal.truncate(self._journal_end)

    def restrict(self, pieces: Mapping[int, str]) -> None:
        """From now on only `pieces` are held here; the journal says so too, and what others hold is not asked for."""
        self.held, self.others = dict(pieces), ()
        if not keeps_journal(self.file):
            return
        with self._guard:
            self._journal = self._stack.enter_context(self._store.open_journal(self.file, 0, pieces))
            self._journal_end = self._flushed_end = self._journal.stat().st_size
            self._unsynced = 0

    def seal(self) -> bool:
        """Flush and close, and look that all bytes stayed; then the partial can only be read and placed.

        False when the partial is gone: another writer has placed the file and taken leftovers away.

        Raises:
            VolumeFull: it does not have its length; a quota may leave nothing of a file, and say so late or never.
        """
        try:
            self._data.sync()
            self._data.close()
        except VolumeError as error:
            with self._guard:
                self._lose(error)
            raise
        sealed = self.folder.open_file(self.name)
        if sealed is None:
            return False
        self._data = self._stack.enter_context(sealed)
        length = self.stat().st_size
        if length != self.file.size:
            message = (
                f"{sealed.path} has {length} bytes after it was closed, of {self.file.size}; the volume has no room"
            )
            raise VolumeFull(message, hint=FULL_HINT)
        return True

    def settle(self) -> None:
        """After placing: close, and take away what anyone has left of this file."""
        self.close()
        # The file stands. A leftover that cannot be removed takes room and is met again; it makes nothing wrong.
        with suppress(VolumeError):
            self._store.forget(self.file)

    def discard(self) -> None:
        """Close, and take away the bytes and their journal. Others' are left alone."""
        self.close()
        self._store.drop(self.file, [self._store.writer.id])
