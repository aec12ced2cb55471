"""How a verification reads: what a caller wants, and what it is handed to work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from provision.errors import VolumeTrouble

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from provision.crew import Stop
    from provision.lock import Lock
    from provision.progress import Progress
    from provision.retry import Retry
    from provision.shard import Shard
    from provision.verification.findings import Mode
    from provision.volume.mount import Volume

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How to verify. `clock` tells seconds since the epoch, for receipts; `retry` is for trouble of the file system.

    `records` is the mounted volume that takes receipts; None: nothing is left.
    `run`, full mode: where the record of a run under way is kept, in the shape of a volume; None: nowhere. It is this
    machine's own folder, not the volume: who may write to that must not be able to spare a file from being read.
    `max_age`, full mode: what a receipt proves that is no older, in seconds, is not read again.
    `anew`, full mode: what a verification that was cut short has read is read again.
    `share` of all pieces are read in sample mode, more than 0 and at most 1; `draw` draws them.
    `fail_fast`: the first finding that is not ok ends the run.
    `strict`: files below the roots of the projects that nobody was promised are findings; `promised` are the further
    locks that are known, whose files are not among those.
    `shard`: only the files of this share of all locks are looked at.
    `scan_pickles`: promised pickles are searched for dangerous imports, with the picklescan package.
    """

    mode: Mode
    files_at_once: int
    progress: Progress
    stop: Stop
    clock: Callable[[], float]
    retry: Retry
    records: Volume | None = None
    run: Volume | None = None
    max_age: float | None = None
    anew: bool = False
    share: float = 1.0
    draw: Random | None = None
    fail_fast: bool = False
    strict: bool = False
    promised: tuple[Lock, ...] = ()
    scan_pickles: bool = False
    shard: Shard | None = None


def patiently(reading: Reading, operation: Callable[[], T]) -> T:
    """The result of `operation`, called again after trouble that often passes.

    The retry policy is asked when there is trouble only: a worker's start must not pay for its import.
    """
    try:
        return operation()
    except VolumeTrouble:
        return reading.retry.call(operation)
