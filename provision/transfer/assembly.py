"""The assembly of one file: its pieces, from where they cost least, into one partial.

Pieces that someone holds (our own partial, another writer's) are read, and believed if they have their digest. The
others are streamed from suppliers in stretches: by the owner of the file, and by whoever else has a connection to
spare, side by side, each byte written once, at its place.

    ▓▓▓▓▓▓▓▓▓▓▓▓▓▒▒▒▒▒▒░░░░░▒▒▒▒▒▒▒░░░░░░▒▒▒░░░░░░░░░░░░░░░░░░░░░      ▓ hashed  ▒ written  ░ missing
                ↑ front  → owner      → helper  → helper

The owner hashes the file in order. A piece that comes when the front stands before it is hashed on its way through
memory; one that came earlier is read back, most often from the page cache.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from provision.digest import piece_hash, piece_span
from provision.errors import (
    HubUnavailable,
    Interrupted,
    ProvisionError,
    RateLimited,
    Unreachable,
    VolumeError,
    VolumeTrouble,
)
from provision.hubs.http import READ_SIZE
from provision.transfer.front import Front
from provision.transfer.held import holders, read_span
from provision.transfer.ledger import Ledger
from provision.transfer.relief import longest, relieve
from provision.transfer.stretch import Stretch
from provision.transfer.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.transfer.ledger import Part, Piece
    from provision.transfer.suppliers import Supplier, Suppliers
    from provision.transfer.watch import Watch
    from provision.volume.files import File
    from provision.volume.partials import Partial

LOOK = 1.0
"""Seconds between two looks at whether a stop was asked for, by an owner who waits for others."""


class Over(ProvisionError):
    """Told to those who help with a file that its assembly has ended."""


class Assembly:
    """Puts a file together in its `partial`, from what is held and what `suppliers` send.

    `run` is for the owner's thread, `assist` for any other's. `served` counts bytes by the name of their supplier,
    `reused` those that were proven where they lay, `names` tells of each piece that came who sent it.
    """

    def __init__(self, partial: Partial, suppliers: Suppliers, watch: Watch) -> None:
        self.file, self.suppliers = partial.file, suppliers
        self.names: dict[int, frozenset[str]] = {}
        self.served: Counter[str] = Counter()
        self.reused = 0
        self._partial, self._watch, self._clock = partial, watch, watch.width.clock
        self._turns = Turns(suppliers, watch.retry, self._clock, self._note)
        held = {*partial.held, *(index for other in partial.others for index in other.pieces)}
        self._ledger = Ledger(self.file.size, held)
        self._front = Front()
        self._changed = threading.Condition()
        self._own: Stretch | None = None
        self._under_way: set[Stretch] = set()
        self._usual = 0.0
        self._suspect: set[int] = set()
        self._helpers, self._helpers_limit = 0, self._ledger.count
        self._writing = 0
        self._takes_all = self._is_over = False
        self._broken: VolumeError | None = None

    # For the owner.

    def run(self) -> str:
        """Go through all pieces; the sha256 of what the partial holds then.

        Raises:
            HubRefused, HubUnavailable, PromiseBroken: no supplier is left, or patience is over.
            VolumeError: it cannot be read or written.
            Interrupted: a stop was asked for. What came stays, in each case.
        """
        try:
            while self._front.index < self._ledger.count:
                self._check()
                if not (self._hash_next() or self._stream_some()):
                    with self._changed:
                        self._changed.wait_for(self._has_news, LOOK)
        finally:
            self._send_helpers_away()
        return self._front.sha256()

    @property
    def pieces(self) -> list[str]:
        """The digests of all pieces, when all are there."""
        return [self._ledger.done[index] for index in range(self._ledger.count)]

    def _has_news(self) -> bool:
        index, ledger = self._front.index, self._ledger
        return bool(ledger.missing or self._broken) or index in ledger.done or index == ledger.count

    def _send_helpers_away(self) -> None:
        """The partial may only be closed when nobody writes to it any more. Who waits for bytes is not waited for."""
        with self._changed:
            self._is_over = True
            for stretch in self._under_way:
                stretch.abandon()
            self._changed.wait_for(lambda: not self._writing)

    def _hash_next(self) -> bool:
        """Move the front by a piece that is there, or is claimed to be; False when it is missing, or on its way."""
        with self._changed:  # others may move it too
            index = self._front.index
            is_done = index in self._ledger.done
        if index == self._ledger.count:
            return False
        if is_done:
            self._read_back(index)
        elif index in self._ledger.held:
            self._ledger.held.discard(index)
            if not any(self._try(holder, index, digest) for holder, digest in holders(self._partial, index)):
                self._suspect.add(index)
                with self._changed:
                    self._ledger.lack(index)
        else:
            return False
        return True

    def _try(self, holder: Partial | File, index: int, digest: str) -> bool:
        """Read a piece from `holder`, copying it where it is not ours; True when it has the claimed `digest`."""
        ours = holder is self._partial
        trial, piece = self._front.trial(), piece_hash()
        try:
            for offset, data in self._read(holder, *piece_span(index, self.file.size)):
                trial.update(data)
                piece.update(data)
                if not ours:
                    self._partial.write_at(offset, data)
        except VolumeTrouble as error:
            self._note(f"piece {index} cannot be read ({error}); it is fetched again")
            return False
        found = piece.hexdigest()
        # The only piece of a file may be known by the digest of the whole.
        if digest not in {found, trial.hexdigest() if self._ledger.count == 1 else found}:
            return False
        if not ours:
            self._partial.record(index, found)
        begin, end = piece_span(index, self.file.size)
        with self._changed:
            self._ledger.complete(index, found)
            self._front.accept(trial)
        self.reused += end - begin
        self._watch.task.reuse(end - begin)
        return True

    def _read_back(self, index: int) -> None:
        """Move the front by a piece that came before its turn. One that is not what was written moves again."""
        trial, piece = self._front.trial(), piece_hash()
        for _, data in self._read(self._partial, *piece_span(index, self.file.size)):
            trial.update(data)
            piece.update(data)
        with self._changed:
            if piece.hexdigest() == self._ledger.done[index]:
                self._front.accept(trial)
                return
        self._lost(index)

    def _lost(self, index: int) -> None:
        """What was written cannot be read: it is fetched again, once, and believed only when it is read back."""
        if index in self._suspect:
            raise VolumeTrouble(
                f"{self.file.target}: what is written to piece {index} does not stay",
                hint="the volume loses writes: try again; if it happens again, use another volume",
            )
        self._suspect.add(index)
        with self._changed:
            self._ledger.lack(index)
        self._note(f"piece {index} is not what was written; it is fetched again")

    def _read(self, holder: Partial | File, begin: int, end: int) -> Iterator[tuple[int, memoryview]]:
        for offset, data in read_span(holder, begin, end):
            self._check()
            yield offset, data

    def _stream_some(self) -> bool:
        """Fetch a stretch with all patience; False when nothing is missing that is not on its way."""
        with self._changed:
            stretch = self._own = self._taken()
        if stretch is None:
            return False
        try:
            self._broken = self._turns.bring(stretch) or self._broken
            self._helpers_limit = max(1, self._helpers_limit)  # what went wrong for others may be over
        finally:
            self._leave(stretch)
        return True

    # For others, with a connection to spare.

    @property
    def need(self) -> float:
        """Missing pieces for each connection at work, or next to nothing where those at work can be relieved; 0 where
        no help is wanted.
        """
        with self._changed:
            if not self._wants_help:
                return 0.0
            if self._ledger.missing:
                return len(self._ledger.missing) / (1 + self._helpers)
            return 1e-9 if longest(self._under_way, self._usual, self._clock()) else 0.0

    @property
    def _wants_help(self) -> bool:
        is_open = not (self._is_over or self._takes_all)
        return is_open and self._helpers < self._helpers_limit and bool(self.suppliers.due(self._clock()))

    def assist(self) -> None:
        """Bring one stretch, with one try. What goes wrong with a supplier is left to the owner, who has patience.

        Raises:
            Interrupted: a stop was asked for.
        """
        with self._changed:
            due = self.suppliers.due(self._clock())
            stretch = self._taken() if self._wants_help else None
            if stretch is None:
                return
            self._helpers += 1
        try:
            stretch.run(due[0])
        except Interrupted:
            raise
        except VolumeError as error:
            self._broken = error
        except Over:
            return
        except ProvisionError as error:
            if isinstance(error, HubUnavailable):
                self.suppliers.put_off(due[0], error, self._clock())
            if stretch.moved < READ_SIZE:  # so many connections may be more than the supplier bears
                self._helpers_limit = min(self._helpers_limit, self._helpers - 1)
                if isinstance(error, (RateLimited, Unreachable)):
                    self._watch.width.refused()
        else:
            self._helpers_limit += 1
        finally:
            self._leave(stretch)
            with self._changed:
                self._helpers -= 1
                self._changed.notify_all()

    # For stretches, as Site says.

    def begin(self, stretch: Stretch) -> Part | None:
        """As Site says. A piece that the volume has lost before has no trial: it is read back."""
        self._check()
        with self._changed:
            part = stretch.current()
            if part is not None and part.is_fresh and part.piece.index == self._front.index not in self._suspect:
                part.piece.trial = self._front.trial()
            return part

    def span(self, stretch: Stretch) -> tuple[int, int] | None:
        """As Site says."""
        with self._changed:
            return stretch.run_of_bytes()

    def admit(self, stretch: Stretch, part: Part, data: memoryview) -> memoryview:
        """As Site says."""
        with self._changed:
            if self._is_over or stretch.part is not part:
                return data[:0]
            self._writing += 1
            return part.admit(data)

    def settled(self) -> None:
        """As Site says."""
        with self._changed:
            self._writing -= 1
            if self._is_over:
                self._changed.notify_all()

    def write(self, offset: int, data: memoryview) -> None:
        """As Site says."""
        self._partial.write_at(offset, data)
        self._watch.task.advance(len(data))

    def complete(self, part: Part) -> None:
        """As Site says. Whoever brings the last part of a piece completes it."""
        piece = part.piece
        with self._changed:
            if piece.is_over or not piece.is_complete:
                return
            piece.is_over = True
        if not self._hash_later_parts(piece):
            self._lost(piece.index)
            return
        digest = piece.digest()
        self._partial.record(piece.index, digest)
        with self._changed:
            self.names[piece.index] = frozenset(piece.names)
            self._ledger.complete(piece.index, digest)
            if piece.trial is not None:
                self._front.accept(piece.trial)
            self._changed.notify_all()

    def _hash_later_parts(self, piece: Piece) -> bool:
        """They came before their turn; False when they are not what was written."""
        for part in piece.parts[1:]:
            again = piece_hash()
            for _, data in self._read(self._partial, part.begin, part.end):
                piece.take(data)
                again.update(data)
            if again.hexdigest() != part.digest():
                return False
        return True

    def received(self, supplier: Supplier, count: int) -> None:
        """As Site says."""
        with self._changed:
            self.served[supplier.name] += count
        self._check()
        self._watch.width.came(count)
        self._watch.rate.spend(count)

    def at_once(self) -> int:
        """As Site says."""
        return self._watch.rate.at_once(min(READ_SIZE, max(1, self.file.size)))

    def answered(self, stretch: Stretch, *, ranged: bool) -> bool:
        """As Site says."""
        if stretch is self._own:
            self._takes_all = not ranged
        elif not ranged:
            self._takes_all = True
        return ranged or stretch is self._own

    def more(self, after: int) -> list[Part]:
        """As Site says."""
        with self._changed:
            return self._ledger.take_after(after)

    def _taken(self) -> Stretch | None:
        """The next stretch, for whoever asks with the lock held; None when nothing is missing, or can be relieved."""
        now = self._clock()
        parts = self._missing() or self._relieved(now)
        if not parts:
            return None
        stretch = Stretch(self, parts, now)
        self._under_way.add(stretch)
        return stretch

    def _missing(self) -> list[Part]:
        return self._ledger.take_after(0) if self._takes_all else self._ledger.take(self._watch.width.now)

    def _relieved(self, now: float) -> list[Part]:
        slow = longest(self._under_way, self._usual, now)
        if slow is None:
            return []
        parts = relieve(slow, self._ledger, self._usual, now)
        if slow.is_done:
            slow.abandon()
        return parts

    def _leave(self, stretch: Stretch) -> None:
        with self._changed:
            self._under_way.discard(stretch)
            if stretch.moved >= READ_SIZE:
                speed = stretch.speed(self._clock())
                self._usual = (self._usual + speed) / 2 if self._usual else speed
            self._ledger.give_back(stretch.rest())
            self._changed.notify_all()

    def _check(self) -> None:
        self._watch.stop.check()
        if self._broken is not None:
            raise self._broken
        if self._is_over:
            raise Over(f"{self.file.target}: nobody needs these bytes any more")

    def _note(self, text: str) -> None:
        self._watch.task.note(f"{self.file.target}: {text}")
