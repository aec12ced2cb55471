"""What a verification leaves: receipts on the volume, and while a full one is under way, the record of its run.

The record lies on this machine, where those who may write to the volume do not reach it, in the form of receipts
without pieces. The run that ends by itself takes it away. One that is killed leaves it, and the next full run need not
read again what the record proves.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from provision.errors import VolumeError
from provision.names import STATE_FOLDER
from provision.verification.findings import Note
from provision.volume.receipts import RECEIPTS, is_file_of_receipts, lines_of, merge, trusted
from provision.volume.receipts.writing import ReceiptWriter, drop

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping
    from types import TracebackType

    from provision.verification.findings import Promise
    from provision.volume.mount import Volume
    from provision.volume.receipts import Receipt
    from provision.volume.view import Facts, View

VERIFYING = "verifying"
"""The state folder that holds the records of runs under way."""

DAY = 86_400.0
"""Seconds after which the record of a run that was cut short counts no more."""

AHEAD = 3_600.0
"""Seconds by which a clock that wrote a date may have been ahead; what is dated later has no age to be believed."""


class Records:
    """Takes receipts into a state folder for as long as the volume takes them: one that is read-only or full can still
    be verified. Without a volume it takes none. A context: leaving it flushes.
    """

    def __init__(
        self,
        volume: Volume | None,
        clock: Callable[[], float],
        known: Mapping[str, Receipt] = MappingProxyType({}),
        folder: str = RECEIPTS,
    ) -> None:
        self._volume, self._folder = volume, folder
        self._writer = ReceiptWriter(volume, clock, known, folder) if volume is not None else None
        self._takes = volume is not None
        self._kept_back = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            with suppress(VolumeError):
                self._writer.__exit__(kind, error, trace)

    def add(self, receipt: Receipt) -> None:
        """Keep `receipt`, where that can be done."""
        if self._writer is None or not self._takes:
            return
        try:
            self._writer.add(receipt)
        except VolumeError:
            self._takes = False

    def take_back(self, revocation: Receipt) -> None:
        """Keep `revocation`; where that cannot be done, `notes` will say so."""
        self.add(revocation)
        self._kept_back += not self._takes

    def notes(self) -> list[Note]:
        """What to know of what could not be kept."""
        if not self._kept_back:
            return []
        count = f"{self._kept_back:,} receipts" if self._kept_back > 1 else "1 receipt"
        why = "cannot be taken back, since nothing was written to the volume: there --quick may still vouch for it"
        return [Note(kind="records", text=f"{count} for what was found damaged {why}")]

    def take_away(self, others: Iterable[str] = ()) -> None:
        """Unlink what was written here, and the `others` of the folder, where that can be done."""
        if self._volume is None or self._writer is None:
            return
        with suppress(VolumeError):
            drop(self._volume, self._folder, [*self._writer.names, *others])


class Unfinished:
    """What the runs that were cut short, or are still under way, have proven about the files at `targets`.

    `names` are the files of the record that say something about one of them, or are too old to count: they are to be
    taken away by a run that ends by itself. A record is proof whoever wrote it; that of a run which is alive may be
    taken away, too: should it be killed later, it begins anew.
    """

    def __init__(self, view: View | None, targets: Container[str], now: float) -> None:
        self.names: list[str] = []
        self._proven: dict[str, Receipt] = {}
        for name, found in _found(view, now) if view is not None else ():
            ours = {target: one for target, one in found.items() if target in targets}
            if ours or all(not is_recent(one, DAY, now) for one in found.values()):
                self.names.append(name)
            self._proven |= {target: one for target, one in ours.items() if is_recent(one, DAY, now)}

    def proves(self, promise: Promise, found: Facts) -> bool:
        """Whether one of them has read these very bytes, which `found` describes."""
        proof = self._proven.get(promise.file.target)
        return proof is not None and proof.sha256 == promise.file.sha256 and trusted(proof, found)


def _found(view: View, now: float) -> Iterator[tuple[str, dict[str, Receipt]]]:
    """What each file of the record says. One that cannot be had says nothing."""
    with suppress(VolumeError):
        for name in sorted(filter(is_file_of_receipts, view.state_names(VERIFYING))):
            found: dict[str, Receipt] = {}
            merge(found, lines_of(partial(view.open_file, f"{STATE_FOLDER}/{VERIFYING}/{name}")) or (), now)
            yield name, found


def is_recent(receipt: Receipt, age: float, now: float) -> bool:
    """Whether `receipt` was written no more than `age` seconds ago."""
    return now - age <= receipt.proven_at <= now + AHEAD


def without_pieces(receipt: Receipt) -> Receipt:
    """`receipt` as the record of a run keeps it."""
    return replace(receipt, piece_digests="")
