"""A shift: the jobs of one fill, done by its crew, beside other fills of the same volume.

Each job is claimed, so that in the normal case one fill does it. What others hold is looked at again at the end: by
then it stands, or is ours to do after all.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from provision.crew import Crew
from provision.errors import VolumeError
from provision.plan import step_for
from provision.transfer.assistance import Assistance
from provision.transfer.steps import Worker
from provision.volume.claims import BEAT
from provision.volume.holdings import survey
from provision.volume.receipts import believed_receipts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from provision.transfer.jobs import Job
    from provision.transfer.outcome import Outcome
    from provision.transfer.steps import Bench
    from provision.volume.claims import Claims

POLL = 2.0
"""Seconds between two looks at what others hold."""

Work = tuple["Outcome", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Does jobs, on as many connections as the width of `bench` says. A job that another fill holds is waited for as
    long as that fill lives.
    """

    bench: Bench
    claims: Claims

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """The outcomes of all jobs, in no order.

        Raises:
            Interrupted: a stop was asked for.
            VolumeError: the volume cannot be looked at any more.
        """
        outcomes: list[Outcome] = []
        bench, left = self.bench, list(jobs)
        with self._beating():
            while left:
                done = self._pass(bench, left)
                outcomes += [outcome for work in done if work is not None for outcome in work]
                left = [job for job, work in zip(left, done, strict=True) if work is None]
                if left:
                    self._wait_for_some(left)
                    bench = replace(bench, known=believed_receipts(bench.volume, bench.clock()))
                    left = [self._renewed(job, bench) for job in left]
        return outcomes

    def _pass(self, bench: Bench, jobs: Sequence[Job]) -> list[Work | None]:
        """What became of each job; None where somebody else holds it."""
        assistance = Assistance(bench.width, bench.stop)
        worker = Worker(bench, assistance)
        crew: Crew[Job, Work | None] = Crew(
            bench.width.most, lambda job: self._claimed(job, worker), bench.stop, assistance.give, bench.width
        )
        try:
            return crew.run(jobs)
        finally:
            assistance.end()

    def _claimed(self, job: Job, worker: Worker) -> Work | None:
        if not self.claims.take(job.name):
            return None
        try:
            work = tuple(worker.do(step) for step in job.steps)
            with suppress(VolumeError):  # it is tried again at the end
                self.bench.receipts.flush()  # before others look: else they would read what was just proven
            return work
        finally:
            self.claims.release(job.name)

    def _wait_for_some(self, jobs: Sequence[Job]) -> None:
        """Returns when one of `jobs` is not held by others any more."""
        names = {job.name for job in jobs}
        files = sum(len(job.steps) for job in jobs)
        self.bench.sources.retry.tell(f"another fill of this volume is at work on {files} more files; waiting for it")
        while self.claims.held_by_others(names) == names:
            self.bench.stop.sleep(POLL)

    def _renewed(self, job: Job, bench: Bench) -> Job:
        """The job, planned by what stands now."""
        holdings = survey(bench.volume, [step.file for step in job.steps], bench.clock(), bench.known)
        steps = (step_for(step.project, step.model, step.file, holdings[step.file.target]) for step in job.steps)
        return replace(job, steps=tuple(steps))

    @contextmanager
    def _beating(self) -> Iterator[None]:
        """Within, a thread shows every BEAT seconds that what is claimed is still worked on."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(BEAT):
                self.claims.beat()

        threading.Thread(target=beat, daemon=True).start()
        try:
            yield
        finally:
            over.set()
