"""The ledger of a file under way: which of its bytes are missing, begun, done. No I/O, and no lock of its own.

Bytes are known by the piece, and taken by the part: a piece has one, and more where several connections share it.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from provision.digest import PIECE_SIZE, piece_count, piece_hash, piece_span

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from hashlib import _Hash

STRETCH = 4
"""Most pieces to fetch with one request: so many that a round trip is small beside them, so few that what comes early
is hashed before it leaves the page cache."""


class Piece:
    """A piece that is coming: `names` are those of the suppliers who sent some of it, `parts` in the order of bytes.

    `trial` is a hash of the whole file up to here, where this piece is the next to be hashed. What its first part
    brings is hashed on the way; the others come too early for that, and are read back. `is_over`: all have come.
    """

    def __init__(self, index: int, size: int) -> None:
        self.index = index
        self.begin, self.end = piece_span(index, size)
        self.is_over = False
        self.trial: _Hash | None = None
        self.names: set[str] = set()
        self.parts = [Part(self, self.begin, self.end)]
        self._hash = piece_hash()

    @property
    def is_complete(self) -> bool:
        """Whether all its bytes have come."""
        return all(part.is_complete for part in self.parts)

    def take(self, data: memoryview) -> None:
        """Hash the next bytes."""
        self._hash.update(data)
        if self.trial is not None:
            self.trial.update(data)

    def digest(self) -> str:
        """Of what has been hashed."""
        return self._hash.hexdigest()


class Part:
    """Bytes of `piece` that one connection brings. `offset` is the next of them; those before `sure` are on their way
    from memory to the volume. `end` comes nearer when somebody else takes the rest; `times` it was taken over whole.
    """

    def __init__(self, piece: Piece, begin: int, end: int) -> None:
        self.piece = piece
        self.begin = self.offset = self.sure = begin
        self.end = end
        self.times = 0
        self._hash = piece_hash()

    @property
    def is_complete(self) -> bool:
        """Whether all its bytes have come."""
        return self.offset == self.end

    @property
    def is_fresh(self) -> bool:
        """Whether nothing of its piece has been hashed, or will have been."""
        return self.begin == self.piece.begin == self.sure

    @property
    def left(self) -> int:
        """Bytes that somebody else could take."""
        return self.end - self.sure

    def admit(self, data: memoryview) -> memoryview:
        """As much of `data`, which comes next, as belongs here: nobody takes these bytes away any more."""
        admitted = data[: self.end - self.offset]
        self.sure = self.offset + len(admitted)
        return admitted

    def take(self, data: memoryview) -> None:
        """The next bytes are written."""
        if self.begin == self.piece.begin:
            self.piece.take(data)
        else:
            self._hash.update(data)
        self.offset += len(data)

    def digest(self) -> str:
        """Of what has come, where it is not the first part of its piece."""
        return self._hash.hexdigest()


class Ledger:
    """The pieces of a file of `size` bytes. `held` are claimed to be there already, and not missing until refuted.

    `missing` has the offsets at which parts begin that nobody brings, `done` the digests of the pieces that are there
    for certain. Each part is taken by one at a time; one that is given back half way is gone on with by whoever takes
    it next.
    """

    def __init__(self, size: int, held: Collection[int]) -> None:
        self.count = piece_count(size)
        self.held = set(held)
        self.missing = [index * PIECE_SIZE for index in range(self.count) if index not in self.held]
        self.done: dict[int, str] = {}
        self._size = size
        self._begun: dict[int, Part] = {}

    def take(self, connections: int) -> list[Part]:
        """The next missing parts, one after another, for one of as many `connections` as there may be at work: so few
        that each of them gets some.
        """
        most = max(1, min(STRETCH, len(self.missing) // (2 * connections)))
        taken: list[Part] = []
        while self.missing and len(taken) < most and (not taken or self.missing[0] == taken[-1].end):
            taken.append(self._part(heapq.heappop(self.missing)))
        return taken

    def take_after(self, offset: int) -> list[Part]:
        """All missing parts from `offset` on."""
        taken = sorted(one for one in self.missing if one >= offset)
        self.missing = [one for one in self.missing if one < offset]
        heapq.heapify(self.missing)
        return [self._part(begin) for begin in taken]

    def give_back(self, parts: Iterable[Part]) -> None:
        """These have not come, or not all of them."""
        for part in parts:
            heapq.heappush(self.missing, part.begin)

    def lack(self, index: int) -> None:
        """A piece is not there: it was only claimed to be, or is not what was written."""
        self.held.discard(index)
        self.done.pop(index, None)
        self._end(index)
        heapq.heappush(self.missing, index * PIECE_SIZE)

    def split(self, part: Part, middle: int) -> Part:
        """The bytes of `part` from `middle` on, as a part of their own. Nobody brings them yet."""
        parts = part.piece.parts
        rest = self._begun[middle] = Part(part.piece, middle, part.end)
        part.end = middle
        parts.insert(parts.index(part) + 1, rest)
        return rest

    def complete(self, index: int, digest: str) -> None:
        """The piece is there."""
        self._end(index)
        self.done[index] = digest

    def _end(self, index: int) -> None:
        begun = self._begun.get(index * PIECE_SIZE)
        for part in begun.piece.parts if begun else ():
            del self._begun[part.begin]

    def _part(self, begin: int) -> Part:
        if begin not in self._begun:
            self._begun[begin] = Piece(begin // PIECE_SIZE, self._size).parts[0]
        return self._begun[begin]
