"""A stretch: missing pieces of one file on their way from a supplier into its partial, over one connection."""

from __future__ import annotations

from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Protocol

from provision.buffer import new_buffer
from provision.digest import piece_span
from provision.errors import ConnectionCut
from provision.hubs.http import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provision.hubs import Stream
    from provision.lock import LockedFile
    from provision.transfer.ledger import Piece
    from provision.transfer.suppliers import Supplier, Suppliers

LITTLE = 64 * 1024
"""Bytes. Less is no progress: answers that end after every byte, or are cut there, are as good as none."""


class Site(Protocol):
    """Where a stretch is put in its place: an assembly. Calls come from the thread of the stretch."""

    file: LockedFile
    suppliers: Suppliers

    def begin(self, index: int) -> Piece:
        """Piece `index`, as far as it has come."""

    def write(self, offset: int, data: memoryview) -> None:
        """Some bytes have come."""

    def complete(self, piece: Piece) -> None:
        """All bytes of `piece` are written."""

    def received(self, supplier: Supplier, count: int) -> None:
        """`count` bytes came from `supplier`, wanted or not; waits while that is too fast."""

    def at_once(self) -> int:
        """Most bytes to receive at a time."""

    def alone(self, stretch: Stretch) -> bool:
        """The supplier sends from the start whatever is asked. Whether this stretch goes on, with all that is missing;
        the others would receive the same bytes.
        """

    def more(self, after: int) -> Iterable[int]:
        """Missing pieces after `after` that a stretch that is alone passes by, to be taken along."""


class Stretch:
    """The way of some pieces, in ascending order. What has come stays when a connection ends.

    `moved` counts the bytes of it.
    """

    def __init__(self, site: Site, pieces: Iterable[int]) -> None:
        self._site, self._file = site, site.file
        self._pieces = deque(pieces)
        self._piece: Piece | None = None
        self._is_alone = False
        self.moved = 0

    @property
    def is_done(self) -> bool:
        """Whether all its pieces have come."""
        return self._piece is None and not self._pieces

    def rest(self) -> list[int]:
        """The pieces that have not come, or not all of them."""
        under_way = [] if self._piece is None else [self._piece.index]
        return [*under_way, *self._pieces]

    def run(self, supplier: Supplier) -> None:
        """Receive from `supplier` until all pieces have come, or the stretch had to be left to another (`is_done` is
        False then). A supplier that ends its answers early, as announced, is asked again at once.

        Raises:
            HubRefused, HubUnavailable, PromiseBroken: as the supplier's answers mean. What has come stays.
            VolumeError: it cannot be written.
        """
        buffer = new_buffer(self._site.at_once())
        while not self.is_done:
            before = self.moved
            with closing(self._open(supplier)) as stream:
                if self._overruns(stream):
                    if not self._site.alone(self):
                        return
                    self._is_alone = True
                self._take(stream, supplier, buffer)
            little = self.moved - before < min(LITTLE, self._file.size)
            if not self.is_done and (little or stream.end is None or self._next < stream.end):
                raise ConnectionCut(
                    f"{stream.host} ended its answer at byte {self._next:,} of {self._file.size:,}",
                    hint="run the same command again; it resumes",
                )

    def _current(self) -> Piece | None:
        if self._piece is None and self._pieces:
            self._piece = self._site.begin(self._pieces.popleft())
        return self._piece

    @property
    def _next(self) -> int:
        """The next byte that is missing."""
        piece = self._current()
        return piece.offset if piece is not None else self._file.size

    @property
    def _end(self) -> int:
        """Where the missing bytes end that begin with the next one."""
        last, *others = self.rest()
        for index in others:
            if index != last + 1:
                break
            last = index
        return piece_span(last, self._file.size)[1]

    def _open(self, supplier: Supplier) -> Stream:
        start, file = self._next, self._file
        wanted = Wanted(path=file.path, size=file.size, sha256=file.sha256, start=start, end=self._end)
        return supplier.open(wanted, self._site.suppliers.pace(supplier))

    def _overruns(self, stream: Stream) -> bool:
        """Whether the answer is not the one to this question: a server that ignores ranges sends everything."""
        return stream.start < self._next or (stream.end is not None and stream.end > self._end)

    def _take(self, stream: Stream, supplier: Supplier, buffer: memoryview) -> None:
        offset = stream.start
        while count := stream.read_into(buffer):
            self._site.received(supplier, count)
            before = self.moved
            self._accept(offset, buffer[:count], supplier.name)
            supplier.tally.bytes += self.moved - before
            offset += count
            if self.is_done:
                return

    def _accept(self, offset: int, data: memoryview, name: str) -> None:
        """Put `data`, which begins at `offset`, where it is missing; the rest is passed over."""
        while data and (piece := self._current()) is not None:
            skip = piece.offset - offset
            if skip >= len(data):
                return
            part = data[skip : skip + piece.end - piece.offset]
            offset, data = piece.offset + len(part), data[skip + len(part) :]
            self._site.write(piece.offset, part)
            piece.names.add(name)
            piece.take(part)
            self.moved += len(part)
            if piece.is_complete:
                self._site.complete(piece)
                self._piece = None
                if self._is_alone:
                    self._pieces = deque(sorted({*self._pieces, *self._site.more(piece.index)}))
