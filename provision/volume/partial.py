"""A partial: one unfinished file, open for the one who writes it."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from provision.digest import PIECE_SIZE
from provision.errors import VolumeError, VolumeFull
from provision.volume.faults import FULL_HINT
from provision.volume.journal import JOURNAL_LIMIT, TAKEN_BACK, flushed_line, keeps_journal, parse, piece_line

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Buffer

    from provision.lock import LockedFile
    from provision.volume.files import File
    from provision.volume.journal import Journal
    from provision.volume.partials import Partials
    from provision.volume.paths import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Someone else's bytes of the same promise: to be read, piece by piece, and never written."""

    file: File
    pieces: Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a claim has opened; `stack` closes it. `size`: bytes that `data` has, proven or not; `journal`: what ours
    says so far.
    """

    file: LockedFile
    folder: Folder
    data: File
    held: Mapping[int, str]
    others: Sequence[Held]
    size: int
    journal: Journal
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
        self._know(opened.journal)
        self._unsynced, self._flushed_at = 0, store.clock()
        self._guard, self._flushing = threading.RLock(), threading.Lock()
        self._lost: VolumeError | None = None
        self._empty, self._is_settled = not opened.size, False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(VolumeError) if error else nullcontext():  # what went wrong first tells more
            self.close()

    def close(self) -> None:
        """Close everything, keep the bytes; those that no journal tells of lose their name, for they are of no use.

        So it is with a partial to which nothing was written, and with one of a single piece: nobody could tell whose it
        is, or go on with it.
        """
        with self._stack:
            with suppress(VolumeError):  # a file that cannot be removed takes room, and makes nothing wrong
                if not self._is_settled and (self._empty or not keeps_journal(self.file)):
                    self._is_settled = True
                    self.folder.unlink(self.name)
            with self._losing():
                self._data.close()

    def _know(self, journal: Journal) -> None:
        """Go on with `journal`: how long it is, how much of it is flushed, and where in it the line of a piece is."""
        self._journal_end, self._flushed_end, self._places = journal.length, journal.flushed, dict(journal.places)

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; fewer only where the partial ends."""
        return self._data.read_at(offset, length)

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill `buffer` from `offset`; how many bytes that was, fewer only where the partial ends."""
        return self._data.read_into(offset, buffer)

    def write_at(self, offset: int, data: Buffer) -> None:
        """All of `data`, which is of one piece, at `offset`. Whose the partial is, and so whether he is dead, is in the
        journal by then, and what it says of the piece is taken back: no flush has vouched for what is written now.
        """
        index = offset // PIECE_SIZE
        if keeps_journal(self.file) and (self._journal is None or index in self._places):
            with self._guard:
                self._take_back(index)
        self._empty = False
        self._data.write_at(offset, data)

    def stat(self) -> os.stat_result:
        """What the file system says about these bytes, whatever their name is by now."""
        return self._data.stat()

    def record(self, index: int, digest: str) -> None:
        """Piece `index` is written and has `digest`. Every few pieces, or seconds, what is there is flushed, by the
        thread that brings the last.

        Raises:
            VolumeError: as the class says; after a flush that failed, the same to every thread that comes.
        """
        if not keeps_journal(self.file):
            return
        with self._guard:
            if self._lost is not None:
                raise self._lost
            self._take_back(index)
            self._places[index] = self._append(piece_line(index, digest))
            self._unsynced += 1
            if not self._is_due():
                return
            self._unsynced, mark = 0, self._journal_end
        self._flush(mark)

    def _is_due(self) -> bool:
        """Whether it is time for a flush: not for a second one beside one that takes long, but where much waits."""
        now = self._store.clock()
        late = now - self._flushed_at >= self._store.sync_after and not self._flushing.locked()
        if not late and self._unsynced < self._store.sync_every:
            return False
        self._flushed_at = now
        return True

    def _append(self, line: bytes) -> int:
        """Write `line` to the journal; where it begins."""
        # One write at a place of our own counting: a line that was cut by a full volume is written over, not after.
        place = self._journal_end
        self._open_journal().write_at(place, line)
        self._journal_end += len(line)
        return place

    def _take_back(self, index: int) -> None:
        journal = self._open_journal()
        if index in self._places:
            journal.write_at(self._places[index], TAKEN_BACK)
            del self._places[index]

    def _open_journal(self) -> File:
        if self._journal is None:
            self._journal = self._stack.enter_context(self._store.open_journal(self.file, self._journal_end))
            if self._journal.stat().st_size != self._journal_end:  # there was none, or it was taken away
                self._know(self._said(self._journal))
            self._vouch_for_older()
        return self._journal

    def _said(self, journal: File) -> Journal:
        return parse(journal.read_at(0, JOURNAL_LIMIT), self.file)

    def _vouch_for_older(self) -> None:
        """A fill that was killed may have left lines, and bytes, that it never flushed."""
        if all(place < self._flushed_end for place in self._places.values()):
            return
        with self._losing():
            self._data.sync_data()
        self._mark(self._journal_end)

    def _mark(self, end: int) -> None:
        """Say that a flush has vouched for what the first `end` bytes of the journal name; called with the guard. A
        fill that goes on with this one, and whose first flush fails, then need not give all of it up.
        """
        if end > self._flushed_end:
            self._flushed_end = end
            self._append(flushed_line(end))

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
            with self._losing():
                self._data.sync_data()
                if self._journal is not None:
                    self._journal.sync_data()
            with self._guard:
                self._mark(mark)

    @contextmanager
    def _losing(self) -> Iterator[None]:
        """Within, bytes are brought to the volume. When that fails, what no flush has vouched for is taken back."""
        try:
            yield
        except VolumeError as error:
            with self._guard:
                self._lost = error
                self._lose()
            raise

    def _lose(self) -> None:
        if self._journal is None and not self._places:
            return
        end = self._journal_end = self._flushed_end
        self._places = {index: place for index, place in self._places.items() if place < end}
        try:
            self._cut(end)
        except VolumeError:  # as may well be, where a flush has just failed
            self._store.disbelieve(self.file)

    def _cut(self, end: int) -> None:
        if self._journal is None:
            self._journal = self._stack.enter_context(self._store.open_journal(self.file, end))
        else:
            self._journal.truncate(end)
        with suppress(VolumeError):  # then what is left is flushed once more before it is vouched for
            if end:
                self._journal.write_at(end, flushed_line(end))  # the line that said so was cut off, too

    def restrict(self, pieces: Mapping[int, str]) -> None:
        """From now on only `pieces` are held here; the journal says so too, and what others hold is not asked for."""
        self.held, self.others = dict(pieces), ()
        if not keeps_journal(self.file):
            return
        self._flush(self._journal_end)
        with self._guard:
            self._journal = self._stack.enter_context(self._store.open_journal(self.file, 0, pieces, pieces))
            self._know(self._said(self._journal))
            self._unsynced = 0

    def seal(self) -> bool:
        """Flush and close, and look that all bytes stayed; then the partial can only be read and placed.

        False when the partial is gone: another writer has placed the file and taken leftovers away.

        Raises:
            VolumeFull: it does not have its length; a quota may leave nothing of a file, and say so late or never.
        """
        with self._losing():
            self._data.sync()
            self._data.close()
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
        """After placing: close, and take away what anyone has left of this file.

        Nothing is raised: the file stands. A journal that cannot be closed, or a leftover that cannot be removed, takes
        room and is met again; it makes nothing wrong.
        """
        self._is_settled = True
        with suppress(VolumeError):
            self.close()
        with suppress(VolumeError):
            self._store.forget(self.file)

    def discard(self) -> None:
        """Close, and take away the bytes and their journal. Others' are left alone."""
        self._is_settled = True
        with suppress(VolumeError):  # nobody wants what may be lost now
            self.close()
        self._store.drop(self.file, [self._store.writer.id])
