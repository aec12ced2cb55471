"""The ledger of a file under way: which of its pieces are missing, begun, done. No I/O, and no lock of its own."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from provision.digest import piece_count, piece_hash, piece_span

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from hashlib import _Hash

STRETCH = 4
"""Most pieces to fetch with one request: so many that a round trip is small beside them, so few that what comes early
is hashed before it leaves the page cache."""


class Piece:
    """A piece that is coming: `offset` is its next byte, `names` are those of the suppliers who sent some of it.

    `trial` is a hash of the whole file up to here, where this piece is the next to be hashed.
    """

    def __init__(self, index: int, size: int, trial: _Hash | None) -> None:
        self.index = index
        self.offset, self.end = piece_span(index, size)
        self.trial = trial
        self.names: set[str] = set()
        self._hash = piece_hash()

    def take(self, data: memoryview) -> None:
        """The next bytes."""
        self._hash.update(data)
        if self.trial is not None:
            self.trial.update(data)
        self.offset += len(data)

    @property
    def is_complete(self) -> bool:
        """Whether all its bytes have come."""
        return self.offset == self.end

    def digest(self) -> str:
        """Of what has come."""
        return self._hash.hexdigest()


class Ledger:
    """The pieces of a file of `size` bytes. `held` are claimed to be there already, and not missing until refuted.

    `done` has the digests of those that are there for certain. Each missing piece is taken by one at a time; one that
    is given back half way is gone on with by whoever takes it next.
    """

    def __init__(self, size: int, held: Collection[int]) -> None:
        self.count = piece_count(size)
        self.held = set(held)
        self.missing = [index for index in range(self.count) if index not in self.held]
        self.done: dict[int, str] = {}
        self._size = size
        self._begun: dict[int, Piece] = {}

    def take(self, connections: int) -> list[int]:
        """The next missing pieces, one after another, for one of as many `connections` as there may be at work: so few
        that each of them gets some.
        """
        most = max(1, min(STRETCH, len(self.missing) // (2 * connections)))
        taken: list[int] = []
        while self.missing and len(taken) < most and (not taken or self.missing[0] == taken[-1] + 1):
            taken.append(heapq.heappop(self.missing))
        return taken

    def take_after(self, index: int) -> list[int]:
        """All missing pieces after `index`."""
        taken = sorted(one for one in self.missing if one > index)
        self.missing = [one for one in self.missing if one <= index]
        heapq.heapify(self.missing)
        return taken

    def give_back(self, pieces: Iterable[int]) -> None:
        """These have not come, or not all of them."""
        for index in pieces:
            heapq.heappush(self.missing, index)

    def begin(self, index: int, trial: _Hash | None) -> Piece:
        """The piece, as far as it has come."""
        if index not in self._begun:
            self._begun[index] = Piece(index, self._size, trial)
        return self._begun[index]

    def forget(self, index: int) -> None:
        """The piece is not there after all."""
        del self.done[index]
        self.give_back([index])

    def complete(self, index: int, digest: str) -> None:
        """The piece is there."""
        self._begun.pop(index, None)
        self.done[index] = digest
