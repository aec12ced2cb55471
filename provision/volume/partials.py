"""Partials: unfinished files, each beside its final name, each written by one process only.

`.provision-<key>.<writer>.partial` lies in the folder of its target; `.provision/partials/<key>.<writer>.journal` says
which of its pieces are proven. Two processes that fill one target never write to one file, so no lock needs to be
right. What another has left is used thus:

- its owner is certainly dead: its partial is renamed to ours. Rename tells who was first; the other goes on without.
- its owner may live (another host, another container, unknown): its pieces are read and copied, each proven by digest.

A file of a single piece keeps no journal: it is whole, and then placed, or proves nothing, and goes as it is closed. On
volumes where small files are what is slow that saves two for each.
"""

from __future__ import annotations

from contextlib import ExitStack
from stat import S_IMODE
from types import MappingProxyType
from typing import TYPE_CHECKING

from provision.errors import UnsafePath, VolumeError
from provision.volume.faults import UNSAFE_HINT
from provision.volume.journal import (
    NO_JOURNAL,
    Journal,
    journal_name,
    journals_among,
    keeps_journal,
    key_of,
    partial_name,
    partials_among,
    text_of,
    within,
)
from provision.volume.leftovers import (
    JOURNALS,
    Leftover,
    by_parent,
    fit,
    keys_of_journals,
    leftovers,
    read_journal,
    without_journal,
)
from provision.volume.mount import is_regular
from provision.volume.partial import Held, Opened, Partial
from provision.volume.paths import parent_and_name
from provision.volume.writer import is_dead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from provision.lock import LockedFile
    from provision.volume.files import File
    from provision.volume.mount import Volume
    from provision.volume.paths import Folder
    from provision.volume.writer import Writer

__all__ = ["IDLE", "JOURNALS", "SYNC_EVERY", "Held", "Partial", "Partials"]

SYNC_EVERY = 8
"""Pieces between two flushes of a partial and its journal.

A piece is not flushed by itself: resuming reads every piece again and believes its digest, not its journal, so nothing
is wrong after a power cut, and of a file at most this many pieces, and those under way, move twice. On a network volume
(MooseFS) a flush may block for two minutes, and many small ones bring it into trouble. It is not left to the end
either: some quotas are reported by fsync alone, and should be before the last gigabytes were streamed for nothing.
"""

SYNC_AFTER = 10.0
"""Seconds after which what has come since the last flush is flushed with the next piece, however little it is: on a
slow line eight pieces are the work of many minutes, and a flush costs nothing beside it.
"""

IDLE = 600.0
"""Seconds after its last write a partial may be taken away where its room is needed."""


class Partials:
    """The unfinished files of one volume, as one writer meets them. Threads may share it; one claims a target.

    `clock` is in seconds, of any beginning; without one, only pieces are counted between two flushes.
    """

    def __init__(self, volume: Volume, writer: Writer, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.volume = volume
        self.writer = writer
        self.clock = clock
        self.sync_every, self.sync_after = SYNC_EVERY, SYNC_AFTER
        self._leftovers: dict[str, dict[str, list[str]]] = {}
        self._disbelieved: set[str] = set()

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
                if not known or shared or not self._take(file, folder, name, known, known):
                    others = _sources(folder, name, known, file, stack)
                    folder.unlink(name)
            return self._claim(file, others, stack)

    def name_of(self, file: LockedFile) -> str:
        """The name of our partial of `file`."""
        return partial_name(key_of(file), self.writer.id)

    def open_journal(
        self,
        file: LockedFile,
        length: int,
        pieces: Mapping[int, str] = MappingProxyType({}),
        flushed: Mapping[int, str] = MappingProxyType({}),
    ) -> File:
        """Our journal of `file`, open: its first `length` bytes as they are, or, with none, anew with `pieces`, of
        which those in `flushed` are.
        """
        with self.volume.made_state(JOURNALS) as folder, ExitStack() as stack:
            journal = stack.enter_context(folder.made_file(journal_name(key_of(file), self.writer.id)))
            kept = length if journal.stat().st_size >= length else 0
            journal.truncate(kept)
            self._disbelieved.discard(self.name_of(file))
            if not kept:
                journal.write_at(0, text_of(file, self.writer.owner, pieces, flushed))
                journal.sync()
                folder.sync()
            stack.pop_all()
            return journal

    def disbelieve(self, file: LockedFile) -> None:
        """What our journal of `file` names and no flush has vouched for may be lost, and it cannot be cut: away with
        all of it. Should that fail, too, our next claim cuts it, and believes no more than is left then.
        """
        try:
            state = self.volume.state(JOURNALS)
            if state is not None:
                with state:
                    state.unlink(journal_name(key_of(file), self.writer.id))
        except VolumeError:
            self._disbelieved.add(self.name_of(file))

    def forget(self, file: LockedFile) -> None:
        """Take away every partial and journal of `file`, whoever's. Who still writes one finds out when placing it."""
        writers = set(self._leftovers.get(parent_and_name(file.target)[0], {}).get(key_of(file), ()))
        if keeps_journal(file):
            writers |= {self.writer.id, *self._journals(file)}
        if writers:
            self.drop(file, sorted(writers))

    def sweep(self, files: Iterable[LockedFile]) -> None:
        """Take away what is left of `files`, which stand: partials that came after their folder was looked at, of a
        writer that began later and died, and journals of one that was killed when it had just placed its file. Each
        folder is listed once more.
        """
        journals = keys_of_journals(self.volume)
        for parent, siblings in by_parent(files).items():
            folder = self.volume.root.below(parent)
            if folder is not None:
                with folder:
                    self._leftovers[parent] = partials_among(folder.names())
                for file in siblings:
                    if key_of(file) in journals or key_of(file) in self._leftovers[parent]:
                        self.forget(file)

    def copies(self, files: Iterable[LockedFile]) -> int:
        """How many bytes of what is held of `files` a claim would copy, so that they take room twice.

        Those are the pieces of writers that may live; ours, and a dead one's, are gone on with where they lie.
        """
        return sum(map(self._copied, leftovers(self.volume, files).values()))

    def drop_idle(self, files: Iterable[LockedFile], now: float) -> int:
        """Take away what others have left of `files` and not written to for IDLE seconds, but for what a claim would go
        on with; returns how many bytes that were. `now` is in seconds since the epoch. The folders of `files` are
        listed: of a file of one piece no journal tells.

        For a volume that is short of room: pods that were killed may fill it for good, since from another host nobody
        can tell that they are dead. What they held is fetched again. One that lives after all (it reads back a large
        file, or our clocks differ) loses bytes, never correctness: it writes on into a file without a name, and finds
        in `seal` that there is nothing to place. No final name is touched.
        """
        idle = self._idle(files, now)
        for file, found in idle:
            self.drop(file, [one.writer for one in found])
        return sum(one.size for _, found in idle for one in found)

    def idle(self, files: Iterable[LockedFile], now: float) -> int:
        """How many bytes `drop_idle` would take away."""
        return sum(one.size for _, found in self._idle(files, now) for one in found)

    def sunk(self, files: Iterable[LockedFile]) -> int:
        """How many bytes long the partials are, beyond what is held of them, that a claim would go on with: nothing
        proven is there, but nothing more grows either. (Pieces come in any order: a partial is long at once.)
        """
        ours = map(self._continued, leftovers(self.volume, files).values())
        return sum(max(0, one.size - one.held) for one in ours if one is not None)

    def _idle(self, files: Iterable[LockedFile], now: float) -> list[tuple[LockedFile, list[Leftover]]]:
        wanted, idle = {file.target: file for file in files}, []
        noted, others = (look(self.volume, wanted.values()) for look in (leftovers, without_journal))
        for target in noted.keys() | others.keys():
            found = noted.get(target, []) + others.get(target, [])
            ours = self._continued(found)
            idle.append((wanted[target], [one for one in found if one is not ours and now - one.touched > IDLE]))
        return idle

    def _copied(self, found: Sequence[Leftover]) -> int:
        ours = self._continued(found)
        return max(one.held for one in found) - (ours.held if ours else 0)

    def _continued(self, found: Sequence[Leftover]) -> Leftover | None:
        """The one of `found` that a claim goes on with: ours, else the fullest of the dead."""
        own = [one for one in found if one.writer == self.writer.id]
        dead = [one for one in found if one.size and is_dead(one.owner, self.writer.owner)]
        return max(own or dead, key=lambda one: one.held, default=None)

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
        if own and self.name_of(file) in self._disbelieved:
            own = own.cut()
        data = stack.enter_context(folder.made_file(self.name_of(file)))
        length = data.stat().st_size
        if not length and keeps_journal(file):
            folder.sync()  # bytes that are flushed midway are of no use without a name
        if length > file.size:
            data.truncate(file.size)
        for writer, journal in found.items():
            name = partial_name(key_of(file), writer)
            others += _sources(folder, name, journal.pieces, file, stack)
        opened = Opened(
            file=file,
            folder=folder,
            data=data,
            held=within(own.pieces, file.size, length) if own else {},
            others=others,
            size=min(length, file.size),
            journal=own or NO_JOURNAL,
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
        dead = [writer for writer, journal in found.items() if is_dead(journal.owner, self.writer.owner)]
        for writer in sorted(dead, key=lambda writer: len(found[writer].pieces), reverse=True):
            journal = found[writer]
            name = partial_name(key_of(file), writer)
            if self._take(file, folder, name, journal.pieces, journal.flushed_pieces):
                del found[writer]
                self.drop(file, [writer])
                return self._journals(file).get(self.writer.id)
        return None

    def _take(
        self, file: LockedFile, folder: Folder, old: str, pieces: Mapping[int, str], flushed: Mapping[int, str]
    ) -> bool:
        """Make `old` our partial with `pieces`, of which those in `flushed` are; False when it is gone, or not ours to
        write.

        The journal comes first. Cut short before the rename, there is a journal with no partial, which holds nothing,
        and `old` is what it was. The other way round there would be a partial of which nothing is known, and all of it
        would move again. The folder is flushed before anybody writes: `old` may be a final name, and after a power cut
        must not lead to a file that is half repaired.
        """
        source = fit(folder, old, writing=True)
        if source is None:
            return False
        with source, self.open_journal(file, 0, pieces, flushed) as journal:
            source.set_mode(S_IMODE(journal.stat().st_mode))  # 0644 less the umask, as the journal has just got it
        if folder.rename(old, self.name_of(file)):
            folder.sync()
            return True
        self.drop(file, [self.writer.id])
        return False


def _sources(folder: Folder, name: str, pieces: Mapping[int, str], file: LockedFile, stack: ExitStack) -> list[Held]:
    """The pieces that can be read from `name`, which is left open on `stack`; none when there are none."""
    source = fit(folder, name) if pieces else None
    if source is None:
        return []
    stack.enter_context(source)
    present = within(pieces, file.size, source.stat().st_size)
    return [Held(file=source, pieces=present)] if present else []
