"""Full verification: every byte is read back, and what that proves or refutes is put on record."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Self

from provision.buffer import new_buffer
from provision.crew import Crew
from provision.digest import PieceHasher, differing, piece_count
from provision.errors import VolumeError
from provision.progress import Silent
from provision.verification.findings import State
from provision.verification.header import header_finding, instead, size_finding
from provision.volume.receipts import Receipt, receipt_of, revoked, trusted
from provision.volume.receipts.writing import ReceiptWriter

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from provision.progress import Task
    from provision.verification import Reading
    from provision.verification.findings import Finding, Promise
    from provision.volume.files import File
    from provision.volume.mount import Volume

READ_SIZE = 1024 * 1024
FRESH = 86_400.0
"""Seconds for which a receipt is not renewed."""


def verify_full(
    volume: Volume, promises: Sequence[Promise], receipts: Mapping[str, Receipt], reading: Reading
) -> list[Finding]:
    """A finding for each promise, in their order; what several projects promise alike is read once."""
    once = {(promise.file.target, promise.file.sha256): promise for promise in promises}
    order = sorted(once.values(), key=lambda promise: -promise.file.size)
    reading.progress.begin("verify", sum(promise.file.size for promise in order))
    with Records(volume, reading.clock, receipts) as records:
        reader = _Reader(volume, receipts, records, reading)
        try:
            found = Crew(reading.files_at_once, reader.read, reading.stop).run(order)
        finally:
            reading.progress.end()
    verdicts = {(promise.file.target, promise.file.sha256): f for promise, f in zip(order, found, strict=True)}
    return [_told_to(promise, verdicts[promise.file.target, promise.file.sha256]) for promise in promises]


def _told_to(promise: Promise, verdict: Finding) -> Finding:
    return promise.found(verdict.state, verdict.expected, verdict.actual, verdict.detail)


class Records:
    """Takes receipts for as long as the volume takes them: one that is read-only or full can still be verified."""

    def __init__(self, volume: Volume, clock: Callable[[], float], known: Mapping[str, Receipt]) -> None:
        self._writer = ReceiptWriter(volume, clock, known)
        self._takes = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(VolumeError):
            self._writer.__exit__(kind, error, trace)

    def add(self, receipt: Receipt) -> None:
        """Keep `receipt`, where that can be done."""
        if not self._takes:
            return
        try:
            self._writer.add(receipt)
        except VolumeError:
            self._takes = False


class _Reader:
    """Reads files back, on any thread."""

    def __init__(self, volume: Volume, receipts: Mapping[str, Receipt], records: Records, reading: Reading) -> None:
        self._volume, self._receipts, self._records, self._reading = volume, receipts, records, reading

    def read(self, promise: Promise) -> Finding:
        task = self._reading.progress.task(promise.file.target, promise.file.size)
        try:
            return self._reading.retry.call(lambda: self._read(promise, task))
        except VolumeError as error:
            return promise.found(State.UNREADABLE, detail=error.message)
        finally:
            task.finish()

    def _read(self, promise: Promise, task: Task) -> Finding:
        task.restart()
        opened = self._volume.open_file(promise.file.target)
        if opened is None:
            return promise.found(State.MISSING)
        with opened:
            return self._judge(promise, opened, task)

    def _judge(self, promise: Promise, opened: File, task: Task) -> Finding:
        file, before = promise.file, opened.stat()
        if before.st_size != file.size:
            return size_finding(promise, opened, before.st_size)
        known = self._known(promise)
        hasher = self._hashed(promise, opened, task, by_piece=known is None)
        if not hasher.is_complete or opened.stat().st_mtime_ns != before.st_mtime_ns:
            return promise.found(State.UNREADABLE, detail="it was written to while it was read")
        if hasher.sha256() != file.sha256:
            return self._refuted(promise, opened, known, hasher.sha256())
        wrong = header_finding(promise, opened)
        if wrong is None:
            self._vouch(promise, known, hasher, before)
        return wrong or promise.found(State.OK)

    def _known(self, promise: Promise) -> Receipt | None:
        """The receipt for these very bytes, with all their pieces."""
        receipt = self._receipts.get(promise.file.target)
        if receipt is None or receipt.sha256 != promise.file.sha256:
            return None
        return receipt if receipt.pieces or piece_count(promise.file.size) <= 1 else None

    def _hashed(self, promise: Promise, opened: File, task: Task, *, by_piece: bool) -> PieceHasher:
        hasher = PieceHasher(promise.file.size, by_piece=by_piece)
        buffer = new_buffer(min(READ_SIZE, promise.file.size))
        while not hasher.is_complete:
            self._reading.stop.check()
            count = opened.read_into(hasher.offset, buffer[: hasher.size - hasher.offset])
            if not count:
                break
            hasher.update(buffer[:count])
            task.advance(count)
        return hasher

    def _vouch(self, promise: Promise, known: Receipt | None, hasher: PieceHasher, found: os.stat_result) -> None:
        """Leave a receipt, unless a fresh one says the same: verifying every hour must not fill a volume."""
        now = self._reading.clock()
        if known is None or not trusted(known, found) or now - known.proven_at > FRESH:
            pieces = hasher.pieces if known is None else known.pieces
            self._records.add(receipt_of(promise.file, found, pieces, now))

    def _refuted(self, promise: Promise, opened: File, known: Receipt | None, actual: str) -> Finding:
        """The bytes are wrong: say where, if a receipt tells, and take that receipt back so that a fill repairs.

        A file that another has taken the place of since it was opened is none of ours any more.
        """
        where = ""
        if known is not None:
            if self._still_stands(promise, opened):
                self._records.add(revoked(known, self._reading.clock()))
            pieces = self._hashed(promise, opened, Silent(), by_piece=True).pieces
            where = differing(known.pieces, pieces, promise.file.size)
            where = where and f"damaged in {where} of {promise.file.size:,}"
        return promise.found(State.DIGEST, promise.file.sha256, actual, where or instead(promise, opened))

    def _still_stands(self, promise: Promise, opened: File) -> bool:
        standing, read = self._volume.stat(promise.file.target), opened.stat()
        return standing is not None and (standing.st_dev, standing.st_ino) == (read.st_dev, read.st_ino)
