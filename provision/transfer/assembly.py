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
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.buffer import new_buffer
from provision.digest import piece_hash, piece_span
from provision.errors import (
    HubRefused,
    HubUnavailable,
    Interrupted,
    PromiseBroken,
    ProvisionError,
    Stalled,
    VolumeError,
    VolumeTrouble,
)
from provision.hubs.http import READ_SIZE
from provision.transfer.front import Front
from provision.transfer.ledger import Ledger, Piece
from provision.transfer.stretch import LITTLE, Stretch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from provision.crew import Stop
    from provision.progress import Task
    from provision.retry import Retry
    from provision.transfer.rate import Rate
    from provision.transfer.suppliers import Supplier, Suppliers
    from provision.volume.files import File
    from provision.volume.partials import Partial

LOOK = 1.0
"""Seconds between two looks at whether a stop was asked for, by an owner who waits for others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who is asked and told while a file is put together, on how many connections at most. `clock`: seconds."""

    retry: Retry
    stop: Stop
    task: Task
    rate: Rate
    connections: int
    clock: Callable[[], float]


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
        self._partial, self._watch = partial, watch
        held = {*partial.held, *(index for other in partial.others for index in other.pieces)}
        self._ledger = Ledger(self.file.size, held)
        self._front = Front()
        self._changed = threading.Condition()
        self._own: Stretch | None = None
        self._helpers, self._helpers_limit = 0, self._ledger.count
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
        """The partial may only be closed when nobody writes to it any more."""
        with self._changed:
            self._is_over = True
            self._changed.wait_for(lambda: not self._helpers)

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
            if not any(self._try(holder, index, digest) for holder, digest in self._holders(index)):
                with self._changed:
                    self._ledger.give_back([index])
        else:
            return False
        return True

    def _holders(self, index: int) -> Iterator[tuple[Partial | File, str]]:
        """Those who claim to hold a piece, ourselves first, with the digest that its bytes must have."""
        if index in self._partial.held:
            yield self._partial, self._partial.held[index]
        for other in self._partial.others:
            if index in other.pieces:
                yield other.file, other.pieces[index]

    def _try(self, holder: Partial | File, index: int, digest: str) -> bool:
        """Read a piece from `holder`, copying it where it is not ours; True when it has the claimed `digest`."""
        ours = holder is self._partial
        trial, piece = self._front.trial(), piece_hash()
        try:
            for offset, data in self._read(holder, index):
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
        self._watch.task.advance(end - begin)
        return True

    def _read_back(self, index: int) -> None:
        """Move the front by a piece that came before its turn. One that is not what was written moves again."""
        trial, piece = self._front.trial(), piece_hash()
        for _, data in self._read(self._partial, index):
            trial.update(data)
            piece.update(data)
        with self._changed:
            if piece.hexdigest() == self._ledger.done[index]:
                self._front.accept(trial)
                return
            self._ledger.forget(index)
        self._note(f"piece {index} is not what was written; it is fetched again")

    def _read(self, holder: Partial | File, index: int) -> Iterator[tuple[int, memoryview]]:
        """The bytes of a piece, as far as `holder` has them."""
        begin, end = piece_span(index, self.file.size)
        buffer = new_buffer(min(READ_SIZE, end - begin))
        for offset in range(begin, end, len(buffer)):
            self._check()
            count = holder.read_into(offset, buffer[: end - offset])
            yield offset, buffer[:count]

    def _stream_some(self) -> bool:
        """Fetch a stretch with all patience; False when nothing is missing that is not on its way."""
        with self._changed:
            stretch = self._own = self._taken()
        if stretch is None:
            return False
        try:
            self._watch.retry.call(lambda: self._round(stretch), position=self._progress, tell=self._note)
            self._helpers_limit = max(1, self._helpers_limit)  # what went wrong for others may be over
        finally:
            self._leave(stretch)
        return True

    def _progress(self) -> int:
        """How far the suppliers have come, in steps of LITTLE. With other files too: those may hold all the connections
        that a hub bears.
        """
        return sum(supplier.tally.bytes for supplier in self.suppliers.all) // LITTLE

    def _round(self, stretch: Stretch) -> None:
        """Ask the suppliers in turn, until one has brought the stretch to its end, or on its way."""
        failure: HubUnavailable | None = None
        now, left = self._watch.clock(), self.suppliers.left
        for supplier in [one for one in left if one.tally.not_before <= now] or left:
            before = stretch.moved
            try:
                return stretch.run(supplier)
            except VolumeError as error:  # asking a supplier again cannot help; the owner raises it
                self._broken = error
                return None
            except (HubRefused, PromiseBroken) as error:
                self.suppliers.drop(supplier, error)
                self._tell_turn(supplier, error)
            except HubUnavailable as error:
                supplier.tally.not_before = now + (error.retry_after or 0.0)
                failure = min(failure or error, error, key=lambda one: one.retry_after or 0.0)
                if stretch.moved - before >= LITTLE and not isinstance(error, Stalled):
                    break  # cut on its way: the same supplier goes on
                self.suppliers.pass_on(supplier, error)
                self._tell_turn(supplier, error)
        raise failure or self.suppliers.refusal

    def _tell_turn(self, failed: Supplier, error: ProvisionError) -> None:
        following = self.suppliers.left[:1]
        if following and following[0] is not failed:
            self._note(f"{failed.name}: {error}; {following[0].name} goes on")

    # For others, with a connection to spare.

    @property
    def need(self) -> float:
        """Missing pieces for each connection at work; 0 where no help is wanted."""
        with self._changed:
            return len(self._ledger.missing) / (1 + self._helpers) if self._wants_help else 0.0

    @property
    def _wants_help(self) -> bool:
        is_open = not (self._is_over or self._takes_all)
        return is_open and self._helpers < self._helpers_limit and bool(self.suppliers.left)

    def assist(self) -> None:
        """Bring one stretch, with one try. What goes wrong with a supplier is left to the owner, who has patience.

        Raises:
            Interrupted: a stop was asked for.
        """
        with self._changed:
            stretch = self._taken() if self._wants_help else None
            if stretch is None:
                return
            self._helpers += 1
        try:
            stretch.run(self.suppliers.left[0])
        except Interrupted:
            raise
        except VolumeError as error:
            self._broken = error
        except (ProvisionError, IndexError):
            if stretch.moved < READ_SIZE:  # so many connections may be more than the supplier bears
                self._helpers_limit = min(self._helpers_limit, self._helpers - 1)
        else:
            self._helpers_limit += 1
        finally:
            self._leave(stretch)
            with self._changed:
                self._helpers -= 1
                self._changed.notify_all()

    # For stretches, as Site says.

    def begin(self, index: int) -> Piece:
        """As Site says."""
        with self._changed:
            return self._ledger.begin(index, self._front.trial() if index == self._front.index else None)

    def write(self, offset: int, data: memoryview) -> None:
        """As Site says."""
        self._partial.write_at(offset, data)
        self._watch.task.advance(len(data))

    def complete(self, piece: Piece) -> None:
        """As Site says."""
        digest = piece.digest()
        self._partial.record(piece.index, digest)
        with self._changed:
            self.names[piece.index] = frozenset(piece.names)
            self._ledger.complete(piece.index, digest)
            if piece.trial is not None:
                self._front.accept(piece.trial)
            self._changed.notify_all()

    def received(self, supplier: Supplier, count: int) -> None:
        """As Site says."""
        with self._changed:
            self.served[supplier.name] += count
        self._check()
        self._watch.rate.spend(count)

    def at_once(self) -> int:
        """As Site says."""
        return self._watch.rate.at_once(min(READ_SIZE, max(1, self.file.size)))

    def alone(self, stretch: Stretch) -> bool:
        """As Site says."""
        self._takes_all = True
        return stretch is self._own

    def more(self, after: int) -> list[int]:
        """As Site says."""
        with self._changed:
            return self._ledger.take_after(after)

    def _taken(self) -> Stretch | None:
        """The next stretch, for whoever asks with the lock held; None when nothing is missing."""
        ledger = self._ledger
        pieces = ledger.take_after(-1) if self._takes_all else ledger.take(self._watch.connections)
        return Stretch(self, pieces) if pieces else None

    def _leave(self, stretch: Stretch) -> None:
        with self._changed:
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
