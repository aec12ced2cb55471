"""Full verification: every byte is read back, and what that proves or refutes is put on record."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from provision.crew import Crew
from provision.digest import PieceHasher, piece_count
from provision.errors import VolumeError
from provision.progress import End, Silent, size_text
from provision.verification.damage import damage_text, differing_pieces, ranges_of
from provision.verification.findings import Note, State
from provision.verification.header import header_finding, instead, size_finding
from provision.verification.phrases import unreadable
from provision.verification.reading import patiently
from provision.verification.records import VERIFYING, Records, Unfinished, is_recent, without_pieces
from provision.verification.steadiness import check_unreplaced, check_unwritten, still_stands
from provision.verification.stream import BLOCK, Readers
from provision.volume.mount import Volume
from provision.volume.receipts import Receipt, receipt_of, revoked, trusted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provision.progress import Task
    from provision.verification.findings import Finding, Promise
    from provision.verification.reading import Reading
    from provision.volume.view import Facts, Readable, View

FRESH = 86_400.0
"""Seconds for which a receipt is not renewed."""


def verify_full(
    view: View, promises: Sequence[Promise], receipts: Mapping[str, Receipt], reading: Reading
) -> tuple[list[Finding | None], list[Note]]:
    """A finding for each promise, in their order, None where a first fault was enough; and what is to be known of them.
    What several projects promise alike is read once.
    """
    once = {promise.key: promise for promise in promises}
    order = sorted(once.values(), key=lambda promise: -promise.file.size)
    reading.progress.begin("verify", sum(promise.file.size for promise in order))
    unfinished = Unfinished(reading.run, {promise.file.target for promise in order}, reading.clock())
    with (
        Records(reading.records, reading.clock, receipts) as records,
        Records(reading.run, reading.clock, folder=VERIFYING) as run,
    ):
        reader = _Reader(view, receipts, reading, (records, run, unfinished))
        found = reader.read_all(order)
    if all(found):
        run.take_away(unfinished.names)
    verdicts = {promise.key: finding for promise, finding in zip(order, found, strict=True)}
    told = [_told_to(promise, verdicts[promise.key]) for promise in promises]
    return told, [*reader.notes(), *records.notes()]


def _told_to(promise: Promise, verdict: Finding | None) -> Finding | None:
    if verdict is None:
        return None
    return promise.found(verdict.state, verdict.expected, verdict.actual, verdict.detail, verdict.damaged)


class _EnoughError(Exception):
    """A first fault was found, and that was all that was asked for."""


class _Reader:
    """Reads files back, on any thread."""

    def __init__(
        self,
        view: View,
        receipts: Mapping[str, Receipt],
        reading: Reading,
        records: tuple[Records, Records, Unfinished],
    ) -> None:
        self._view, self._receipts, self._reading = view, receipts, reading
        self._records, self._run, self._unfinished = records
        self._readers = Readers(reading.files_at_once, reading.stop, ahead=isinstance(view, Volume))
        self._enough = False
        self._resumed: list[int] = []
        self._young: list[int] = []

    def read_all(self, promises: Sequence[Promise]) -> list[Finding | None]:
        end = End.INTERRUPTED
        try:
            found = Crew(self._reading.files_at_once, self._read_one, self._reading.stop).run(promises)
            end = End.OK if all(one is not None and one.state is State.OK for one in found) else End.FAILED
            return found
        finally:
            self._readers.close()
            self._reading.progress.end(end)

    def notes(self) -> list[Note]:
        """What was not read, and why."""
        notes = []
        if self._resumed:
            what = f"{_count_text(self._resumed)} read by a verification that was cut short, and not again"
            notes.append(Note(kind="resumed", text=f"{what}; --anew reads all"))
        if self._young:
            what = (
                f"{_count_text(self._young)} proven within {_age_text(self._reading.max_age or 0)}, and not read again"
            )
            notes.append(Note(kind="max-age", text=what))
        return notes

    def _read_one(self, promise: Promise) -> Finding | None:
        if self._enough:
            return None
        task, end = self._reading.progress.task(promise.file.target, promise.file.size), End.INTERRUPTED
        try:
            finding = patiently(self._reading, lambda: self._read(promise, task))
            end = End.OK if finding.state is State.OK else End.FAILED
        except VolumeError as error:
            finding, end = unreadable(promise, error), End.FAILED
        except _EnoughError:
            return None
        finally:
            task.finish(end)
        self._enough = self._enough or (self._reading.fail_fast and finding.state is not State.OK)
        return finding

    def _read(self, promise: Promise, task: Task) -> Finding:
        task.restart()
        opened = self._view.open_file(promise.file.target)
        if opened is None:
            return promise.found(State.MISSING)
        with opened:
            return self._judge(promise, opened, task)

    def _judge(self, promise: Promise, opened: Readable, task: Task) -> Finding:
        file, before = promise.file, opened.stat()
        if before.st_size != file.size:
            return size_finding(promise, opened, before.st_size)
        spared = self._spared(promise, before)
        if spared is not None:
            task.reuse(file.size)
            spared.append(file.size)
            return header_finding(promise, opened) or promise.found(State.OK)
        known = self._known(promise)
        is_fresh = self._is_fresh(known, before)
        hasher = self._hashed(promise, opened, task, by_piece=not is_fresh)
        check_unwritten(file.target, opened, before, is_complete=hasher.is_complete)
        if file.size > BLOCK:  # what is smaller was read in one moment
            check_unreplaced(self._view, file.target, opened)
        if hasher.sha256() != file.sha256:
            return self._refuted(promise, opened, known, hasher.sha256())
        wrong = header_finding(promise, opened)
        if wrong is None:
            self._vouch(receipt_of(file, before, hasher.pieces, self._reading.clock()), is_fresh=is_fresh)
        return wrong or promise.found(State.OK)

    def _spared(self, promise: Promise, found: Facts) -> list[int] | None:
        """Where a file is counted that need not be read; None when it must be: as when a receipt speaks against it."""
        receipt = self._receipts.get(promise.file.target)
        if receipt is not None and (receipt.sha256 != promise.file.sha256 or not trusted(receipt, found)):
            return None
        if not self._reading.anew and self._unfinished.proves(promise, found):
            return self._resumed
        if receipt is None:
            return None
        age = self._reading.max_age
        return self._young if age is not None and is_recent(receipt, age, self._reading.clock()) else None

    def _known(self, promise: Promise) -> Receipt | None:
        """The receipt for these very bytes, with all their pieces."""
        receipt = self._receipts.get(promise.file.target)
        if receipt is None or receipt.sha256 != promise.file.sha256:
            return None
        return receipt if receipt.pieces or piece_count(promise.file.size) <= 1 else None

    def _hashed(self, promise: Promise, opened: Readable, task: Task, *, by_piece: bool) -> PieceHasher:
        hasher = PieceHasher(promise.file.size, by_piece=by_piece)
        with closing(self._readers.blocks(opened, hasher.size)) as blocks:
            for block in blocks:
                if self._enough:
                    raise _EnoughError
                hasher.update(block)
                task.advance(len(block))
        return hasher

    def _is_fresh(self, known: Receipt | None, found: Facts) -> bool:
        """Whether no new receipt is due: verifying every hour must not fill a volume."""
        age = self._reading.max_age
        fresh = FRESH if age is None else min(FRESH, age / 2)
        return known is not None and trusted(known, found) and self._reading.clock() - known.proven_at <= fresh

    def _vouch(self, receipt: Receipt, *, is_fresh: bool) -> None:
        """Leave `receipt`, unless a fresh one says the same."""
        if not is_fresh:
            self._records.add(receipt)
        self._run.add(without_pieces(receipt))

    def _refuted(self, promise: Promise, opened: Readable, known: Receipt | None, actual: str) -> Finding:
        """The bytes are wrong: say where, if a receipt tells, and take back whatever vouches for others than these, so
        that a fill repairs.

        A file that another has taken the place of since it was opened is none of ours any more.
        """
        size = promise.file.size
        ranges: tuple[tuple[int, int], ...] = ()
        receipt = self._receipts.get(promise.file.target)
        if receipt is not None and receipt.sha256 != actual and still_stands(self._view, promise.file.target, opened):
            self._records.take_back(revoked(receipt, self._reading.clock()))
        if known is not None:
            pieces = self._hashed(promise, opened, Silent(), by_piece=True).pieces
            ranges = ranges_of(differing_pieces(known.pieces, pieces), size)
        detail = damage_text(ranges, size) or instead(promise, opened)
        return promise.found(State.DIGEST, promise.file.sha256, actual, detail, ranges)


def _count_text(sizes: Sequence[int]) -> str:
    count = f"{len(sizes):,} files" if len(sizes) > 1 else "1 file"
    return f"{count} ({size_text(sum(sizes))}) {'were' if len(sizes) > 1 else 'was'}"


def _age_text(seconds: float) -> str:
    """The longest unit that tells it whole: `7 days`, `12 hours`."""
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length and not seconds % length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds:.0f} s"
