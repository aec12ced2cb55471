"""Jobs: what one connection takes up at a time, and what several fills of one volume share by claims. Pure.

A large file is a job of its own. Small ones are put together, so that the cost of a claim is not paid for each; which
go together is told by their targets alone, so that every fill that wants them makes the same jobs.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from provision.digest import piece_count
from provision.plan import biggest_first

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provision.plan import Step

BATCHES = 32
"""Into so many jobs all small files go: more than there are connections, few enough to claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Steps that are done one after another. `name` is the same in every fill that has this job."""

    name: str
    steps: tuple[Step, ...]

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(step.file.size for step in self.steps)


def jobs(steps: Iterable[Step]) -> list[Job]:
    """The jobs that do `steps`, in the order of work: what takes longest begins first, so that nothing long is left
    alone at the end.
    """
    alone: list[Job] = []
    batches: dict[int, list[Step]] = {}
    for step in biggest_first(list(steps)):
        if piece_count(step.file.size) > 1:
            alone.append(Job(name=f"{step.file.target}\0{step.file.sha256}", steps=(step,)))
        else:
            batches.setdefault(int(sha256(step.file.target.encode()).hexdigest()[:8], 16) % BATCHES, []).append(step)
    together = [Job(name=f"small files {index}", steps=tuple(batch)) for index, batch in batches.items()]
    return [*alone, *sorted(together, key=lambda job: -job.size)]
