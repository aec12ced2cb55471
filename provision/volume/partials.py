"""Partials: unfinished files, each beside its final name, each written by one process only.

`.provision-<key>.<writer>.partial` lies in the folder of its target; `.provision/partials/<key>.<writer>.journal` says
which of its pieces are proven. Two processes that fill one target never write to one file, so no lock needs to be
right. What another has left is used thus:

- its owner is certainly dead: its partial is renamed to ours. Rename tells who was first; the other goes on without.
- its owner may live (another host, another container, unknown): its pieces are read and copied, each proven by digest.

A file of a single piece keeps no journal: it is whole, and then placed, or proves nothing. On volumes where small files
are what is slow that saves two for each.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from stat import S_IMODE
from typing import TYPE_CHECKING, Self

from provision.errors import UnsafePath, VolumeError, VolumeFull, VolumeTrouble
from provision.volume.faults import FULL_HINT, UNSAFE_HINT
from provision.volume.journal import (
    JOURNAL_LIMIT,
    Journal,
    head_line,
    journal_name,
    journals_among,
    keeps_journal,
    key_of,
    parse,
    partial_name,
    partials_among,
    piece_line,
    within,
)
from provision.volume.mount import is_regular
from provision.volume.paths import parent_and_name
from provision.volume.writer import is_dead

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Buffer

    from provision.lock import LockedFile
    from provision.volume.files import File
    from provision.volume.mount import Volume
    from provision.volume.paths import Folder
    from provision.volume.writer import Writer

JOURNALS = "partials"
"""The state folder that holds the journals."""

SYNC_EVERY = 8
"""Pieces between two flushes of a partial and its journal.

A piece is not flushed by itself: resuming reads every piece again and believes its digest, not its journal, so nothing
is wrong after a power cut, and at most this many pieces move twice. It is not left to the end either: some quotas are
reported by fsync alone (MooseFS), and should be before the volume's last gigabytes were streamed for nothing.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Someone else's bytes of the same promise: to be read, piece by piece, and never written."""

    file: File
    pieces: Mapping[int, str]


class Partial:
    """An unfinished file, open for its one writer. A context: leaving it closes everything and keeps the bytes.

    `held` are the pieces that can be read here, `others` whoever else holds some; both tell, by index, which digest the
    bytes must have to be believed. Writing and recording are for one thread at a time.

    Raises (each method):
        VolumeFull, VolumeReadOnly, VolumeTrouble, VolumeError: as `volume_fault` says. The bytes so far are kept.
    """

    def __init__(self, store: Partials, opened: _Opened) -> None:
        self.file = opened.file
        self.folder = opened.folder
        self.name = store.name_of(opened.file)
        self.held = opened.held
        self.others = opened.others
        self._store = store
        self._data = opened.data
        self._stack = opened.stack
        self._journal: File | None = None
        self._journal_end = self._flushed_end = opened.journal_end
        self._unsynced = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def close(self) -> None:
        """Close everything, keep the bytes."""
        self._stack.close()

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; fewer only where the partial ends."""
        return self._data.read_at(offset, length)

    def write_at(self, offset: int, data: Buffer) -> None:
        """All of `data` at `offset`."""
        self._data.write_at(offset, data)

    def truncate(self, size: int) -> None:
        """Cut to `size` bytes."""
        self._data.truncate(size)

    def stat(self) -> os.stat_result:
        """What the file system says about these bytes, whatever their name is by now."""
        return self._data.stat()

    def record(self, index: int, digest: str) -> bool:
        """Piece `index` is written and has `digest`. Flushes every SYNC_EVERY pieces: True when it just has."""
        if not keeps_journal(self.file):
            return False
        if self._journal is None:
            self._journal = self._stack.enter_context(self._store.open_journal(self.file, self._journal_end))
            self._journal_end = self._flushed_end = self._journal.stat().st_size
        line = piece_line(index, digest)
        # One write at a place of our own counting: a line that was cut by a full volume is written over, not after.
        self._journal.write_at(self._journal_end, line)
        self._journal_end += len(line)
        self._unsynced += 1
        if self._unsynced < SYNC_EVERY:
            return False
        self.sync()
        return True

    def sync(self) -> None:
        """What was written and recorded is on the volume when this returns; bytes first, then what vouches for them."""
        with self._cut_back_on_error():
            self._data.sync_data()
            if self._journal is not None:
                self._journal.sync_data()
        self._unsynced, self._flushed_end = 0, self._journal_end

    @contextmanager
    def _cut_back_on_error(self) -> Iterator[None]:
        """A flush that fails may have dropped what it was to flush, though reading still shows it (Linux tells once,
        and marks the pages clean). So the journal claims no more than the flush before: the rest moves again.
        """
        try:
            yield
        except VolumeError:
            self._journal_end = self._flushed_end
            if self._journal is not None:
                with suppress(VolumeError):
                    self._journal.truncate(self._journal_end)
            raise

    def seal(self) -> bool:
        """Flush and close, and look that all bytes stayed; then the partial can only be read and placed.

        False when the partial is gone: another writer has placed the file and taken leftovers away.

        Raises:
            VolumeFull: it does not have its length; a quota may leave nothing of a file, and say so late or never.
        """
        with self._cut_back_on_error():
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
        """After placing: close, and take away what anyone has left of this file."""
        self.close()
        # The file stands. A leftover that cannot be removed takes room and is met again; it makes nothing wrong.
        with suppress(VolumeError):
            self._store.forget(self.file)

    def discard(self) -> None:
        """Close, and take away the bytes and their journal. Others' are left alone."""
        self.close()
        self._store.drop(self.file, [self._store.writer.id])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """What a claim has opened; `stack` closes it. `journal_end`: bytes of our journal that are worth keeping."""

    file: LockedFile
    folder: Folder
    data: File
    held: Mapping[int, str]
    others: Sequence[Held]
    journal_end: int
    stack: ExitStack


class Partials:
    """The unfinished files of one volume, as one writer meets them. Threads may share it; one claims a target."""

    def __init__(self, volume: Volume, writer: Writer) -> None:
        self.volume = volume
        self.writer = writer
        self._leftovers: dict[str, dict[str, list[str]]] = {}

    def claim(self, file: LockedFile) -> Partial:
        """Our partial of `file`, open: the one we had, else a dead writer's, else a new one.

        Raises:
            UnsafePath: the way to the target is not one of plain folders.
            VolumeFull, VolumeReadOnly, VolumeTrouble, VolumeError: as `volume_fault` says.
        """
        with ExitStack() as stack:
            return self._claim(file, [], stack)

    def demote(self, file: LockedFile, pieces: Sequence[str]) -> Partial:
        """What stands at the target becomes our partial, so that only damaged pieces move; the target is then absent.

        `pieces` are the digests of all pieces, from a receipt for the same sha256. With none there is nothing to save,
        and what stands is unlinked: whoever wants an unknown file to stand until its successor comes uses `claim`.
        Bytes that have another name too (hard links) are not written to but copied.

        Raises:
            UnsafePath: not a regular file, or not on plain folders.
            VolumeFull, VolumeReadOnly, VolumeTrouble, VolumeError: as `volume_fault` says.
        """
        parent, name = parent_and_name(file.target)
        known = dict(enumerate(pieces))
        with ExitStack() as stack:
            folder = stack.enter_context(self.volume.root.made_below(parent))
            standing = folder.stat(name)
            others = []
            if standing is not None:
                if not is_regular(standing):
                    raise UnsafePath(f"{folder.path}/{name} is not a regular file", hint=UNSAFE_HINT)
                shared = standing.st_nlink > 1
                if not known or shared or not self._take(file, folder, name, known):
                    others = _sources(folder, name, known, file, stack)
                    folder.unlink(name)
            return self._claim(file, others, stack)

    def name_of(self, file: LockedFile) -> str:
        """The name of our partial of `file`."""
        return partial_name(key_of(file), self.writer.id)

    def open_journal(self, file: LockedFile, length: int, pieces: Mapping[int, str] | None = None) -> File:
        """Our journal of `file`, open: its first `length` bytes as they are, or, with none, anew with `pieces`."""
        with self.volume.made_state(JOURNALS) as folder, ExitStack() as stack:
            journal = stack.enter_context(folder.made_file(journal_name(key_of(file), self.writer.id)))
            kept = length if journal.stat().st_size >= length else 0
            journal.truncate(kept)
            if not kept:
                lines = [piece_line(index, digest) for index, digest in (pieces or {}).items()]
                journal.write_at(0, b"".join([head_line(file, self.writer.owner), *lines]))
                journal.sync()
                folder.sync()
            stack.pop_all()
            return journal

    def forget(self, file: LockedFile) -> None:
        """Take away every partial and journal of `file`, whoever's. Who still writes one finds out when placing it."""
        key = key_of(file)
        writers = {self.writer.id, *self._leftovers.get(parent_and_name(file.target)[0], {}).get(key, ())}
        if keeps_journal(file):
            writers.update(self._journals(file))
        self.drop(file, sorted(writers))

    def sweep(self, files: Iterable[LockedFile]) -> None:
        """Take away the partials of `files`, which stand, that came after their folder was looked at: of a writer that
        began later and died. Each folder is listed once more.
        """
        by_parent: dict[str, list[LockedFile]] = {}
        for file in files:
            by_parent.setdefault(parent_and_name(file.target)[0], []).append(file)
        for parent, siblings in by_parent.items():
            folder = self.volume.root.below(parent)
            if folder is not None:
                with folder:
                    self._leftovers[parent] = partials_among(folder.names())
                for file in siblings:
                    if key_of(file) in self._leftovers[parent]:
                        self.forget(file)

    def drop(self, file: LockedFile, writers: Sequence[str]) -> None:
        """Take away the partials and journals that `writers` have of `file`."""
        key, (parent, _) = key_of(file), parent_and_name(file.target)
        # Partials first: cut short, this leaves small journals behind, not large files that nothing points to.
        folder = self.volume.root.below(parent)
        if folder is not None:
            with folder:
                for writer in writers:
                    folder.unlink(partial_name(key, writer))
        state = self.volume.state(JOURNALS) if keeps_journal(file) else None
        if state is not None:
            with state:
                for writer in writers:
                    state.unlink(journal_name(key, writer))

    def _claim(self, file: LockedFile, others: list[Held], stack: ExitStack) -> Partial:
        parent, _ = parent_and_name(file.target)
        folder = stack.enter_context(self.volume.root.made_below(parent))
        if parent not in self._leftovers:  # looked at once: a folder of 10,000 files is not listed 10,000 times
            self._leftovers[parent] = partials_among(folder.names())
        found = self._journals(file)
        own = found.pop(self.writer.id, None) or self._take_over(file, folder, found)
        data = stack.enter_context(folder.made_file(self.name_of(file)))
        length = data.stat().st_size
        if length > file.size:
            data.truncate(file.size)
        for writer, journal in found.items():
            name = partial_name(key_of(file), writer)
            others += _sources(folder, name, journal.pieces, file, stack)
        opened = _Opened(
            file=file,
            folder=folder,
            data=data,
            held=within(own.pieces, file.size, length) if own else {},
            others=others,
            journal_end=own.length if own else 0,
            stack=stack.pop_all(),
        )
        return Partial(self, opened)

    def _journals(self, file: LockedFile) -> dict[str, Journal]:
        """Every journal of `file`, by writer."""
        state = self.volume.state(JOURNALS) if keeps_journal(file) else None
        if state is None:
            return {}
        with state:
            key = key_of(file)
            writers = journals_among(state.names()).get(key, ())
            read = {writer: read_journal(state, journal_name(key, writer), file) for writer in writers}
            return {writer: journal for writer, journal in read.items() if journal is not None}

    def _take_over(self, file: LockedFile, folder: Folder, found: dict[str, Journal]) -> Journal | None:
        """Make the fullest partial of a dead writer ours, and take it out of `found`; None when there is none."""
        dead = [
            writer for writer, journal in found.items() if journal.pieces and is_dead(journal.owner, self.writer.owner)
        ]
        for writer in sorted(dead, key=lambda writer: len(found[writer].pieces), reverse=True):
            journal = found[writer]
            if self._take(file, folder, partial_name(key_of(file), writer), journal.pieces):
                del found[writer]
                self.drop(file, [writer])
                return self._journals(file).get(self.writer.id)
        return None

    def _take(self, file: LockedFile, folder: Folder, old: str, pieces: Mapping[int, str]) -> bool:
        """Make `old` our partial with `pieces`; False when it is gone, or not ours to write.

        The journal comes first. Cut short before the rename, there is a journal with no partial, which holds nothing,
        and `old` is what it was. The other way round there would be a partial of which nothing is known, and all of it
        would move again.
        """
        source = _fit(folder, old, writing=True)
        if source is None:
            return False
        with source, self.open_journal(file, 0, pieces) as journal:
            source.set_mode(S_IMODE(journal.stat().st_mode))  # 0644 less the umask, as the journal has just got it
        if folder.rename(old, self.name_of(file)):
            folder.sync()
            return True
        self.drop(file, [self.writer.id])
        return False


def read_journal(state: Folder, name: str, file: LockedFile) -> Journal | None:
    """What the journal `name` says about `file`; None when it is gone or not fit to be read."""
    journal = _fit(state, name)
    if journal is None:
        return None
    with journal:
        return parse(journal.read_at(0, JOURNAL_LIMIT), file)


def _sources(folder: Folder, name: str, pieces: Mapping[int, str], file: LockedFile, stack: ExitStack) -> list[Held]:
    """The pieces that can be read from `name`, which is left open on `stack`; none when there are none."""
    source = _fit(folder, name) if pieces else None
    if source is None:
        return []
    stack.enter_context(source)
    present = within(pieces, file.size, source.stat().st_size)
    return [Held(file=source, pieces=present)] if present else []


def _fit(folder: Folder, name: str, *, writing: bool = False) -> File | None:
    """The file `name`, if it can be had: what others left in a bad state is only not used."""
    try:
        return folder.open_file(name, writing=writing)
    except VolumeTrouble:
        raise
    except VolumeError:
        return None
