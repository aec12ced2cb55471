"""The assembly of one file: its pieces, in order, from where they cost least, into one partial.

For each piece in turn:

1. held in our own partial, or in another writer's: read it, and believe it if its digest says so;
2. otherwise, with all pieces after it that nobody holds: one stream from the hub.

Every byte passes the hasher once and in order, so at the end the sha256 of the whole is known without reading the file
again. A stream that is cut goes on at the byte where it ended; bytes that were proven are not asked for twice.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.digest import PIECE_SIZE, PieceHasher, piece_count, piece_span
from provision.errors import ConnectionCut, VolumeTrouble
from provision.hubs.http import READ_SIZE, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from provision.crew import Stop
    from provision.hubs.http import Body
    from provision.progress import Task
    from provision.retry import Retry
    from provision.volume.files import File
    from provision.volume.partials import Partial


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who is asked and told while a file is put together."""

    retry: Retry
    stop: Stop
    task: Task


class Assembly:
    """Puts a file together in its `partial`; `fetch` opens a stream of its bytes.

    `reuse` False: whoever holds pieces is not asked. `fetched` and `reused` count bytes: those that came from the hub,
    and those that were proven where they lay.
    """

    def __init__(self, partial: Partial, fetch: Callable[[Wanted], Body], watch: Watch, *, reuse: bool = True) -> None:
        self._reuses = reuse
        self._file, self._partial, self._fetch, self._watch = partial.file, partial, fetch, watch
        self._hasher = PieceHasher(partial.file.size)
        self._flushed = self._hasher.copy()
        self.fetched = 0
        self.reused = 0

    def run(self) -> PieceHasher:
        """Go through all pieces; the complete hasher tells what the partial holds now."""
        index, count = 0, piece_count(self._file.size)
        while index < count:
            if self._reuse(index):
                index += 1
            else:
                index = self._next_held(index + 1, count)
                self._stream(piece_span(index - 1, self._file.size)[1])
        return self._hasher

    def _holders(self, index: int) -> Iterator[tuple[Partial | File, str]]:
        """Those who claim to hold a piece, ourselves first, with the digest that its bytes must have."""
        if not self._reuses:
            return
        if index in self._partial.held:
            yield self._partial, self._partial.held[index]
        for other in self._partial.others:
            if index in other.pieces:
                yield other.file, other.pieces[index]

    def _next_held(self, index: int, count: int) -> int:
        while index < count and not any(self._holders(index)):
            index += 1
        return index

    def _reuse(self, index: int) -> bool:
        return any(self._try(holder, index, digest) for holder, digest in self._holders(index))

    def _try(self, holder: Partial | File, index: int, digest: str) -> bool:
        """Read a piece from `holder`, copying it where it is not ours; True when it has the claimed `digest`."""
        start, end = piece_span(index, self._file.size)
        trial = self._hasher.copy()
        try:
            for offset in range(start, end, READ_SIZE):
                self._watch.stop.check()
                data = holder.read_at(offset, min(READ_SIZE, end - offset))
                if not data:
                    return False
                trial.update(data)
                if holder is not self._partial:
                    self._partial.write_at(offset, data)
        except VolumeTrouble as error:
            self._watch.task.note(f"{self._file.target}: piece {index} cannot be read ({error}); it is fetched again")
            return False
        if trial.offset != end or trial.pieces[-1] != digest:
            return False
        self._hasher = trial
        if holder is not self._partial and self._partial.record(index, digest):
            self._flushed = trial.copy()
        self.reused += end - start
        self._watch.task.advance(end - start)
        return True

    def _stream(self, end: int) -> None:
        """Fetch from where the hasher stands to `end`, through cuts and stalls."""
        self._watch.retry.call(
            lambda: self._attempt(end),
            position=lambda: self._hasher.offset,
            tell=lambda text: self._watch.task.note(f"{self._file.target}: {text}"),
        )

    def _attempt(self, end: int) -> None:
        start = self._hasher.offset
        wanted = Wanted(path=self._file.path, size=self._file.size, sha256=self._file.sha256, start=start, end=end)
        try:
            with closing(self._fetch(wanted)) as body:
                self._take(body, end)
        except VolumeTrouble:
            self._go_back()
            raise
        if self._hasher.offset < end:
            raise ConnectionCut(
                f"{body.host} ended its answer at byte {self._hasher.offset:,} of {self._file.size:,}",
                hint="run the same command again; it resumes",
            )

    def _go_back(self) -> None:
        """A flush that failed may have dropped what it was to flush: begin again where the last good one ended."""
        self._watch.task.advance(self._flushed.offset - self._hasher.offset)
        self._hasher = self._flushed.copy()

    def _take(self, body: Body, end: int) -> None:
        """Write what comes, up to `end`. What the partial has already is passed over, what comes after is not read."""
        skip = self._hasher.offset - body.start
        for chunk in body.chunks():
            self._watch.stop.check()
            new = memoryview(chunk)[skip : skip + end - self._hasher.offset]
            skip = max(0, skip - len(chunk))
            self.fetched += len(chunk)
            self._keep(new)
            if self._hasher.offset == end:
                return

    def _keep(self, data: memoryview) -> None:
        """Write, hash and record; no byte is written beyond a piece that is not recorded yet."""
        while data:
            offset, index = self._hasher.offset, self._hasher.offset // PIECE_SIZE
            _, end = piece_span(index, self._file.size)
            part, data = data[: end - offset], data[end - offset :]
            self._partial.write_at(offset, part)
            self._hasher.update(part)
            if self._hasher.offset == end and self._partial.record(index, self._hasher.pieces[index]):
                self._flushed = self._hasher.copy()
            self._watch.task.advance(len(part))
