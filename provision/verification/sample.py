"""Sampling: pieces drawn at random over a whole volume, read and compared with what was recorded of them.

Every piece of which a digest is known is as likely as any other: those of files with a receipt for the promised bytes,
and files of a single piece, whose sha256 is in the lock. What a sample finds is certain; what it does not find has a
chance that can be told.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from provision.buffer import new_buffer
from provision.crew import Crew
from provision.digest import PIECE_SIZE, PieceHasher, piece_count, piece_hash, piece_span
from provision.errors import VolumeError, VolumeTrouble
from provision.progress import End, size_text
from provision.verification.damage import damage_text, ranges_of
from provision.verification.findings import Note, State
from provision.verification.header import instead
from provision.verification.quick import verify_quick
from provision.verification.reading import patiently
from provision.verification.records import Records
from provision.verification.steadiness import check_unreplaced, check_unwritten
from provision.volume.mount import Volume
from provision.volume.receipts import revoked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from random import Random

    from provision.verification.findings import Finding, Promise
    from provision.verification.reading import Reading
    from provision.volume.receipts import Receipt
    from provision.volume.view import Readable, View

READ_SIZE = 1024 * 1024
"""Bytes of one read; less where very many are under way."""

ROOM = 32 * 1024 * 1024
"""Bytes that are read at once, all reads together."""

IN_FLIGHT = 16
"""Pieces of a mounted volume that are read at once."""

_AT_ONCE = 16  # pieces of one file that are read under one descriptor
_DAMAGES = (("one piece", 1), ("64 MiB", 2**26 // PIECE_SIZE), ("1 GiB", 2**30 // PIECE_SIZE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A promised file whose pieces can be compared; `receipt` is None where its one piece is the whole file."""

    promise: Promise
    receipt: Receipt | None

    @property
    def count(self) -> int:
        """Its pieces."""
        return piece_count(self.promise.file.size)


_Draw = tuple[Known, list[int]]
_Key = tuple[str, int, str, str]  # of a promise


def verify_sample(
    view: View, promises: Sequence[Promise], receipts: Mapping[str, Receipt], reading: Reading
) -> tuple[list[Finding | None], list[Note]]:
    """What quick verification finds, but where a piece that was drawn is not as recorded; and how much that tells."""
    findings = verify_quick(view, promises, receipts, reading)
    if reading.fail_fast and any(finding is None or finding.state is not State.OK for finding in findings):
        return findings, []
    known = _known(promises, findings, receipts)
    total = sum(one.count for one in known)
    drawn = _drawn(known, min(total, max(1, math.ceil(round(reading.share * total, 6)))), reading.draw)
    refuted, read, notes = _read_all(view, drawn, receipts, reading)
    told = [_verdict(promise, finding, refuted) for promise, finding in zip(promises, findings, strict=True)]
    return told, [_note(sum(len(indices) for _, indices in drawn), total, read), *notes]


def _known(
    promises: Sequence[Promise], findings: Sequence[Finding | None], receipts: Mapping[str, Receipt]
) -> list[Known]:
    """The files that are there with their length, and of whose pieces a digest is known; each once."""
    once: dict[_Key, Known] = {}
    for promise, finding in zip(promises, findings, strict=True):
        if finding is None or finding.state not in {State.OK, State.UNPROVEN} or not promise.file.size:
            continue
        receipt = receipts.get(promise.file.target)
        has_pieces = receipt is not None and receipt.sha256 == promise.file.sha256 and bool(receipt.pieces)
        if has_pieces or piece_count(promise.file.size) == 1:
            one = Known(promise=promise, receipt=receipt if has_pieces else None)
            once[promise.key] = one
    return list(once.values())


def _drawn(known: Sequence[Known], count: int, draw: Random | None) -> list[_Draw]:
    """`count` pieces of all, none twice, by file."""
    if draw is None:
        from random import SystemRandom

        draw = SystemRandom()
    ends = list(accumulate(one.count for one in known))
    by_file: dict[int, list[int]] = defaultdict(list)
    for number in sorted(draw.sample(range(ends[-1] if ends else 0), count)):
        at = bisect_right(ends, number)
        by_file[at].append(number - ends[at] + known[at].count)
    return [
        (known[at], indices[first : first + _AT_ONCE])
        for at, indices in by_file.items()
        for first in range(0, len(indices), _AT_ONCE)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """What reading some pieces of a file has shown: those that differ, or why they could not be read."""

    key: _Key
    read: int = 0
    wrong: tuple[int, ...] = ()
    unreadable: str = ""
    instead: str = ""


def _read_all(
    view: View, drawn: Sequence[_Draw], receipts: Mapping[str, Receipt], reading: Reading
) -> tuple[dict[_Key, list[_Compared]], int, list[Note]]:
    """What was refuted; how many bytes were read; and what is to be known of the records."""
    width = max(reading.files_at_once, IN_FLIGHT if isinstance(view, Volume) else 1)
    reader = _Reader(view, reading, min(READ_SIZE, ROOM // width))
    reading.progress.begin("sample", sum(_size(one, indices) for one, indices in drawn))
    end = End.INTERRUPTED
    try:
        compared = [found for found in Crew(width, reader.read, reading.stop).run(drawn) if found is not None]
        end = End.FAILED if any(found.wrong or found.unreadable for found in compared) else End.OK
    finally:
        reading.progress.end(end)
    refuted: dict[_Key, list[_Compared]] = defaultdict(list)
    for found in compared:
        if found.wrong or found.unreadable:
            refuted[found.key].append(found)
    with Records(reading.records, reading.clock, receipts) as records:
        for (target, _, sha256, _), all_found in refuted.items():
            receipt = receipts.get(target)
            if receipt is not None and receipt.sha256 == sha256 and any(found.wrong for found in all_found):
                records.take_back(revoked(receipt, reading.clock()))
    return refuted, sum(found.read for found in compared), records.notes()


def _size(one: Known, indices: Sequence[int]) -> int:
    spans = [piece_span(index, one.promise.file.size) for index in indices]
    return sum(end - begin for begin, end in spans)


class _Reader:
    """Reads pieces and compares them, on any thread."""

    def __init__(self, view: View, reading: Reading, read_size: int) -> None:
        self._view, self._reading, self._read_size = view, reading, read_size
        self._enough = False

    def read(self, drawn: _Draw) -> _Compared | None:
        """None where a first fault was enough."""
        if self._enough:
            return None
        one, indices = drawn
        key = one.promise.key
        task = self._reading.progress.task(key[0], _size(one, indices))
        try:
            found = patiently(self._reading, lambda: self._compared(key, one, indices))
            task.advance(found.read)
        except VolumeError as error:
            found = _Compared(key=key, unreadable=error.message)
        finally:
            task.finish()
        self._enough = self._enough or (self._reading.fail_fast and bool(found.wrong or found.unreadable))
        return found

    def _compared(self, key: _Key, one: Known, indices: Sequence[int]) -> _Compared:
        opened = self._view.open_file(key[0])
        if opened is None:
            raise VolumeTrouble(f"{key[0]} was taken away while it was looked at")
        with opened:
            before = opened.stat()
            wrong = tuple(index for index in indices if not self._is_right(one, opened, index))
            check_unwritten(key[0], opened, before)
            check_unreplaced(self._view, key[0], opened)
            what = instead(one.promise, opened) if wrong else ""
        return _Compared(key=key, read=_size(one, indices), wrong=wrong, instead=what)

    def _is_right(self, one: Known, opened: Readable, index: int) -> bool:
        begin, end = piece_span(index, one.promise.file.size)
        if one.receipt is None:
            whole = PieceHasher(end, by_piece=False)
            for block in self._blocks(opened, begin, end):
                whole.update(block)
            return whole.sha256() == one.promise.file.sha256
        piece = piece_hash()
        for block in self._blocks(opened, begin, end):
            piece.update(block)
        return piece.hexdigest() == one.receipt.pieces[index]

    def _blocks(self, opened: Readable, begin: int, end: int) -> Iterator[memoryview]:
        buffer = new_buffer(min(self._read_size, end - begin))
        while begin < end:
            self._reading.stop.check()
            count = opened.read_into(begin, buffer[: end - begin])
            if not count:
                return
            yield buffer[:count]
            begin += count


def _verdict(promise: Promise, finding: Finding | None, refuted: Mapping[_Key, Sequence[_Compared]]) -> Finding | None:
    """The finding, with what the sample has found of the file."""
    found = refuted.get(promise.key, ())
    wrong = sorted(index for one in found for index in one.wrong)
    if finding is None or not found:
        return finding
    if not wrong:
        return promise.found(State.UNREADABLE, detail=found[0].unreadable)
    ranges = ranges_of(wrong, promise.file.size)
    detail = next(filter(None, (one.instead for one in found)), "") or damage_text(ranges, promise.file.size)
    return promise.found(State.DIGEST, promise.file.sha256, None, detail, ranges)


def _note(drawn: int, total: int, read: int) -> Note:
    """How much was read, and what that tells."""
    damages = {name: count for name, count in _DAMAGES if count <= total}
    if total >= 100:
        damages["1 %"] = math.ceil(total / 100)
    chances = ", ".join(f"{name} {_percent(chance_of_missing(count, drawn, total))}" for name, count in damages.items())
    what = f"{drawn:,} of {total:,} pieces were read ({size_text(read)})"
    return Note(kind="sample", text=f"{what}; the chance to miss damage of {chances}" if chances else what)


def chance_of_missing(damaged: int, drawn: int, total: int) -> float:
    """The chance that none of `drawn` pieces is one of the `damaged` ones among `total`: hypergeometric, so exact
    where pieces are drawn without putting any back.
    """
    fewer, more = sorted((damaged, drawn))
    if fewer + more > total:
        return 0.0
    return math.prod((total - more - step) / (total - step) for step in range(fewer))


def _percent(chance: float) -> str:
    """`94.8 %`; never 0 % where there is a chance, never 100 % where there is a hope."""
    if chance in {0.0, 1.0}:
        return f"{chance:.0%}".replace("%", " %")
    percent = 100 * chance
    if percent < 0.01:
        return "under 0.01 %"
    return f"over {99.9} %" if percent >= 99.95 else f"{percent:.3g} %"
