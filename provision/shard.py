"""Shards: a fill split over many processes by arithmetic alone. Pure; no I/O.

Every process computes the whole split from the locks, never from what stands on the volume, and takes its own share: so
they agree without a word, whenever each of them starts and however often it is started again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from heapq import heapify, heapreplace
from typing import TYPE_CHECKING

from provision.errors import InputError
from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provision.lock import Lock

COUNT_LIMIT = 10_000
"""Into no more shards is a fill split."""

_SHARD = re.compile(r"([0-9]{1,5})/([0-9]{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Share `index` of `count`, counted from 1 as it is read: 1/8, 2/8 … 8/8.

    What schedulers give their tasks becomes a shard so:

        Slurm, --array=1-8                 --shard $SLURM_ARRAY_TASK_ID/8
        Kubernetes, an Indexed Job of 8    --shard $((JOB_COMPLETION_INDEX + 1))/8      (it counts from 0)

    Whoever forgets to add the 1 learns it from the first task: 0/8 is refused. Were shards counted from 0, an array of
    1 to 8 would silently leave the first share undone.
    """

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def parse(text: str) -> Shard:
    """The shard that `text` names.

    Raises:
        InputError: it is not INDEX/COUNT with an index between 1 and count, or the count is beyond COUNT_LIMIT.
    """
    match = _SHARD.fullmatch(text.strip())
    if match is None:
        raise InputError(f"`{shown(text)}` is no shard", hint="write INDEX/COUNT: 1/8, 2/8 and so on up to 8/8")
    index, count = int(match[1]), int(match[2])
    if not 1 <= count <= COUNT_LIMIT:
        raise InputError(f"`{shown(text)}`: a fill is split into 1 to {COUNT_LIMIT} shards", hint="write 2/8")
    if not 1 <= index <= count:
        raise InputError(
            f"`{shown(text)}`: there is no such shard, they are 1/{count} to {count}/{count}",
            hint=f"to an index that counts from 0 add 1: --shard $((JOB_COMPLETION_INDEX + 1))/{count}",
        )
    return Shard(index=index, count=count)


def share(locks: Iterable[Lock], shard: Shard) -> frozenset[str]:
    """The targets of the files in `locks` that belong to `shard`.

    Each file is in exactly one shard; one that several locks promise counts once. The largest goes first, each to the
    shard that has the fewest bytes yet, the first of these where several have. So no shard has more than the average
    and one largest file (R. L. Graham, Bounds on Multiprocessing Timing Anomalies, 1969).
    """
    sizes: dict[str, int] = {}
    for lock in locks:
        for _, file in lock.files():
            sizes[file.target] = max(file.size, sizes.get(file.target, 0))
    loads = [(0, index) for index in range(1, shard.count + 1)]
    heapify(loads)
    ours = []
    for target, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        load, index = loads[0]
        heapreplace(loads, (load + size, index))
        if index == shard.index:
            ours.append(target)
    return frozenset(ours)
