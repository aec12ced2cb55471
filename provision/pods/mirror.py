"""A mirror: the progress of a pod's job, shown here as if it were our own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.pods.status import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from provision.pods.status import Past, Running, Status
    from provision.progress import Progress, Task

LABELS = {Phase.FILLING: "fill", Phase.VERIFYING: "verify"}
TOLD = {Phase.WAITING: "waiting for the volume to be mounted", Phase.INSTALLING: "installing provision in the pod"}


class Mirror:
    """Shows one pod's statuses: its files as tasks of `progress`, its notes, each once, through `tell`.

    With a `label` it is one of several that share `progress`, whose owner begins and ends it: then the whole pod is
    one task, called by its label.
    """

    def __init__(self, progress: Progress, tell: Callable[[str], None], label: str = "") -> None:
        self._progress, self._tell, self._label = progress, tell, label
        self._phase: Phase | None = None
        self._starts = 0
        self._over: set[Phase] = set()
        self._begun: tuple[Phase, int] | None = None
        self._whole: Task | None = None
        self._tasks: dict[str, tuple[Task, int]] = {}
        self._shown = 0
        self._notes: tuple[str, ...] = ()

    def show(self, status: Status) -> None:
        """Bring what is shown to `status`."""
        if status.starts != self._starts:  # the container was started again, and so was its work
            self._starts = status.starts
            self._over.clear()
        if status.phase is not self._phase:
            self._phase = status.phase
            if status.phase in TOLD:
                self._say(TOLD[status.phase])
        for note in unseen(self._notes, status.notes):
            self._say(note)
        self._notes = status.notes
        for past in status.past:
            self._show_past(past)
        if status.phase not in LABELS:
            self.end()
        elif status.total:
            self._begin(status.phase, status.total)
            self._advance(status)

    def _show_past(self, past: Past) -> None:
        """How a phase has ended, which may be more than was seen of it."""
        if past.phase in LABELS and past.phase not in self._over:
            self._over.add(past.phase)
            self._begin(past.phase, past.total)
            self._show_rest(past.done - self._shown)
            self.end()

    def end(self) -> None:
        """Nothing more comes of what is shown."""
        for task, _ in self._tasks.values():
            task.finish()
        self._tasks.clear()
        if self._whole is not None:
            self._whole.finish()
            self._whole = None
        elif self._begun is not None:
            self._progress.end()
        self._begun, self._shown = None, 0

    def _say(self, text: str) -> None:
        self._tell(f"{self._label}: {text}" if self._label else text)

    def _begin(self, phase: Phase, total: int) -> None:
        if self._begun == (phase, total):
            return
        self.end()
        self._begun = (phase, total)
        if self._label:
            self._whole = self._progress.task(f"{self._label} {LABELS[phase]}", total)
        else:
            self._progress.begin(LABELS[phase], total)

    def _advance(self, status: Status) -> None:
        shown = 0 if self._whole is not None else sum(self._show_running(status.running))
        self._show_rest(status.done - self._shown - shown)
        self._shown = status.done

    def _show_running(self, running: Sequence[Running]) -> list[int]:
        """By how much each of the running files moves what is shown in all."""
        names = {file.name for file in running}
        for name in [name for name in self._tasks if name not in names]:
            self._tasks.pop(name)[0].finish()
        return [self._show_file(file) for file in running]

    def _show_file(self, file: Running) -> int:
        known = self._tasks.get(file.name)
        task, done = known or (self._progress.task(file.name, file.size), 0)
        if file.done < done:
            task.restart()
            task.advance(file.done)
        else:
            task.advance(file.done - done)
        self._tasks[file.name] = (task, file.done)
        return file.done - done

    def _show_rest(self, count: int) -> None:
        """What files have moved that were not seen running: small ones, and the ends of others."""
        if self._whole is not None:
            self._whole.advance(count)
        elif count:
            task = self._progress.task("", abs(count))
            task.advance(count)
            task.finish()


def unseen(before: Sequence[str], now: Sequence[str]) -> Sequence[str]:
    """The notes in `now` that follow those in `before`: both are the end of one growing list."""
    for count in range(min(len(before), len(now)), 0, -1):
        if tuple(before[-count:]) == tuple(now[:count]):
            return now[count:]
    return now
