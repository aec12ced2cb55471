"""A stretch: missing pieces of one file on their way from a supplier into its partial, over one connection."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from provision.buffer import new_buffer
from provision.errors import ConnectionCut, HubUnavailable
from provision.hubs.http import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from provision.hubs import Stream
    from provision.lock import LockedFile
    from provision.transfer.ledger import Part
    from provision.transfer.suppliers import Supplier, Suppliers

LITTLE = 64 * 1024
"""Bytes. Less is no progress: answers that end after every byte, or are cut there, are as good as none."""


class Site(Protocol):
    """Where a stretch is put in its place: an assembly. Calls come from the thread of the stretch."""

    file: LockedFile
    suppliers: Suppliers

    def begin(self, stretch: Stretch) -> Part | None:
        """What `stretch` is to bring now; None when that is all. Somebody else may have taken what it had."""

    def span(self, stretch: Stretch) -> tuple[int, int] | None:
        """What `stretch` is to ask for: from where, and to where (exclusive). None when all is there."""

    def admit(self, stretch: Stretch, part: Part, data: memoryview) -> memoryview:
        """As much of `data`, which comes next, as belongs to `part`; nothing when somebody else has taken that. What is
        admitted is `settled` in the end.
        """

    def settled(self) -> None:
        """What was admitted is written, or cannot be."""

    def write(self, offset: int, data: memoryview) -> None:
        """Some bytes have come."""

    def complete(self, part: Part) -> None:
        """All bytes of `part` are written."""

    def received(self, supplier: Supplier, count: int) -> None:
        """`count` bytes came from `supplier`, wanted or not; waits while that is too fast."""

    def at_once(self) -> int:
        """Most bytes to receive at a time."""

    def answered(self, stretch: Stretch, *, ranged: bool) -> bool:
        """How the supplier answers. One that sends from the start whatever is asked (`ranged` False) is for one
        stretch alone, with all that is missing; the others would receive the same bytes. Whether this one goes on.
        """

    def more(self, after: int) -> Iterable[Part]:
        """Missing parts from byte `after` on that a stretch that is alone passes by, to be taken along."""


class Stretch:
    """The way of some parts, in ascending order. What has come stays when a connection ends.

    `moved` counts the bytes of it, `began` is when, `part` the one under way. `is_alone`: its supplier sends from the
    start, whatever is asked.
    """

    def __init__(self, site: Site, parts: Iterable[Part], began: float) -> None:
        self._site, self._file = site, site.file
        self.waiting = deque(parts)
        self.part: Part | None = None
        self.is_alone = False
        self.began, self.moved = began, 0
        self._stream: Stream | None = None
        self._guard = threading.Lock()

    @property
    def is_done(self) -> bool:
        """Whether all its parts have come, or were taken away."""
        return self.part is None and not self.waiting

    @property
    def left(self) -> int:
        """Bytes that have not come."""
        return sum(part.left for part in self.rest())

    def speed(self, now: float) -> float:
        """Bytes a second since it began."""
        return self.moved / max(now - self.began, 0.001)

    def rest(self) -> list[Part]:
        """The parts that have not come, or not all of them."""
        part = self.part
        return [*self.waiting] if part is None else [part, *self.waiting]

    def run(self, supplier: Supplier) -> None:
        """Receive from `supplier` until all parts have come, or the stretch had to be left to another (`is_done` is
        False then). A supplier that ends its answers early, as announced, is asked again at once.

        Raises:
            HubRefused, HubUnavailable, PromiseBroken: as the supplier's answers mean. What has come stays.
            VolumeError: it cannot be written.
        """
        buffer = new_buffer(self._site.at_once())
        try:
            while (span := self._site.span(self)) is not None:
                if not self._once(supplier, span, buffer):
                    return
        except HubUnavailable:
            if not self.is_done:
                raise

    def _once(self, supplier: Supplier, span: tuple[int, int], buffer: memoryview) -> bool:
        """Ask for `span`, and take the answer; False when this is left to another."""
        before, (start, end) = self.moved, span
        with self._opened(supplier, start, end) as stream:
            self.is_alone = stream.start < start or (stream.end is not None and stream.end > end)
            if not self._site.answered(self, ranged=not self.is_alone):
                return False
            self._take(stream, supplier, buffer)
        following = self._site.span(self)
        is_little = self.moved - before < min(LITTLE, end - start)
        if following is not None and (is_little or stream.end is None or following[0] < stream.end):
            raise ConnectionCut(
                f"{stream.host} ended its answer at byte {following[0]:,} of {self._file.size:,}",
                hint="run the same command again; it resumes",
            )
        return True

    # With the lock of the site.

    def current(self) -> Part | None:
        """The part under way, which is the first that waits if there is none."""
        if self.part is None and self.waiting:
            self.part = self.waiting.popleft()
        return self.part

    def run_of_bytes(self) -> tuple[int, int] | None:
        """Where the bytes begin that are missing, and where they end without a gap."""
        part = self.current()
        if part is None:
            return None
        end = part.end
        for other in self.waiting:
            if other.offset != end:
                break
            end = other.end
        return part.offset, end

    def abandon(self) -> None:
        """Somebody else brings all it had: its thread need not wait for bytes. Before an answer begins, it does."""
        with self._guard:
            if self._stream is not None:
                self._stream.abandon()

    @contextmanager
    def _opened(self, supplier: Supplier, start: int, end: int) -> Iterator[Stream]:
        file = self._file
        wanted = Wanted(path=file.path, size=file.size, sha256=file.sha256, start=start, end=end)
        stream = self._stream = supplier.open(wanted, self._site.suppliers.pace(supplier))
        try:
            yield stream
        finally:
            with self._guard:  # its connection may be another's after this
                self._stream = None
            stream.close()

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
        while data and (part := self._site.begin(self)) is not None:
            start = part.offset
            if start - offset >= len(data):
                return
            mine = self._site.admit(self, part, data[start - offset :])
            if not mine:
                continue  # taken away just now
            data, offset = data[start - offset + len(mine) :], start + len(mine)
            try:
                self._put(part, mine, name)
            finally:
                self._site.settled()

    def _put(self, part: Part, data: memoryview, name: str) -> None:
        self._site.write(part.offset, data)
        part.piece.names.add(name)
        part.take(data)
        self.moved += len(data)
        if part.is_complete:
            self._leave(part)

    def _leave(self, part: Part) -> None:
        self.part = None
        self._site.complete(part)
        if self.is_alone:
            self.waiting = deque(sorted([*self.waiting, *self._site.more(part.end)], key=lambda one: one.begin))
