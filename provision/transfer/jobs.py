"""Jobs: what one connection takes up at a time, and what several fills of one volume share by claims. Pure.

A large file is a job of its own. Small ones are put together, so that the cost of a claim is not paid for each. A job
is named after all the files it could have: fills that want the same make the same jobs, whatever stands already, and
those that want others never wait for each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from provision.digest import piece_count
from provision.plan import Action, biggest_first

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    """The jobs that do those of `steps` that are not `keep`, in the order of work: what takes longest begins first, so
    that nothing long is left alone at the end.
    """
    alone: list[Job] = []
    batches: dict[int, list[Step]] = {}
    for step in biggest_first(list(steps)):
        if piece_count(step.file.size) <= 1:
            batches.setdefault(int(sha256(step.file.target.encode()).hexdigest()[:8], 16) % BATCHES, []).append(step)
        elif step.action is not Action.KEEP:
            alone.append(_job([step]))
    together = sorted(map(_job, batches.values()), key=lambda job: -job.size)
    return [*alone, *(job for job in together if job.steps)]


def _job(steps: Sequence[Step]) -> Job:
    names = "".join(sorted(f"{step.file.target}\0{step.file.sha256}\n" for step in steps))
    return Job(name=names, steps=tuple(step for step in steps if step.action is not Action.KEEP))
