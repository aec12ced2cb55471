"""Watching: what a pod says of itself, by whichever way it can be had, until its job has ended or the pod is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.errors import PodError, PodLost
from provision.names import shown
from provision.pods.cloud import State
from provision.pods.rental import Heard
from provision.pods.status import Phase
from provision.pods.ways import Endpoint, Log
from provision.progress import duration_text, size_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from provision.pods.cloud import Pod
    from provision.pods.returning import Renting
    from provision.pods.status import Status
    from provision.pods.ways import Way

MARGIN = 15.0
"""Seconds before its deadline from when on a pod ends its work by itself."""

OVERDUE = 60.0
"""Seconds past its deadline that a pod is given to end by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vigilance:
    """How to watch; all in seconds. `fresh`: as long as a way brought something so recently, no further one is asked.

    `check`: between two questions to the cloud whether the pod is there. `silence`: after so long without a word it is
    told what is known. `lost`: after so long, where it can be asked and says nothing, it is given up. `fetching`: how
    long to try for its result.
    """

    fresh: float = 20.0
    check: float = 15.0
    silence: float = 120.0
    lost: float = 900.0
    fetching: float = 90.0


class Watch:
    """One pod, watched over several `ways`, the best first. `status` is the last that is known; `show` gets each."""

    def __init__(
        self, renting: Renting, pod: Pod, ways: Sequence[Way], show: Callable[[Status], None], vigilance: Vigilance
    ) -> None:
        self._renting, self._pod, self._ways, self._show = renting, pod, tuple(ways), show
        self._vigilance = vigilance
        self._asked: dict[Way, float] = {}
        self._brought: dict[Way, float] = {}
        self._lines = 0
        self._answers: dict[Way, bool] = {}
        self._word_at = self._checked_at = self._told_at = renting.clock()
        self._missing = 0
        self.status: Status | None = None

    def heard(self) -> Heard:
        """Look once: whether the pod has ever said something."""
        self._look()
        if self.status is not None or self._lines:
            return Heard.WORD
        return Heard.NOTHING if self._is_askable else Heard.UNKNOWN

    def until_ended(self, deadline: float) -> Status:
        """The last status of a job that has ended. `deadline`: time of day in seconds, when it has to have ended.

        Raises:
            PodLost: the pod is gone, stopped, or silent for long, before its job has ended.
            PodError: its deadline came before that.
        """
        self._word_at = self._renting.clock()
        while True:
            self._look()
            if self.status is not None and self.status.has_ended:
                return self.status
            loss = self._loss(deadline)
            if loss:
                return self._last_look(loss, is_over=self._renting.now() >= deadline - MARGIN)
            self._tell_of_silence()
            self._renting.sleep(self._renting.look)

    def result(self) -> bytes | None:
        """The result document, by any way that has it; None where none has it after a while."""
        began = self._renting.clock()
        while True:
            for way in self._ways:
                result = way.result()
                if result is not None:
                    return result
            if self._renting.clock() - began >= self._vigilance.fetching or self._is_gone():
                return None
            self._renting.sleep(self._renting.look)

    def taken(self) -> None:
        """Tell the pod that it need not wait any longer; where it does not hear it, it gives itself back later."""
        for way in self._ways:
            if isinstance(way, Endpoint) and way.taken():
                return

    def _look(self) -> None:
        """Ask the ways in turn, until one has brought something lately."""
        for way in self._ways:
            now = self._renting.clock()
            if way not in self._asked or now - self._asked[way] >= way.pause:
                self._asked[way] = now
                self._ask(way)
            if way in self._brought and self._renting.clock() - self._brought[way] < self._vigilance.fresh:
                return

    def _ask(self, way: Way) -> None:
        try:
            status = way.status()
        except PodError:  # as while it starts; another way may be open
            self._answers[way] = False
            return
        self._answers[way] = True
        if status is not None and status.lease == self._pod.name and self._is_news(status):
            self.status = status
            self._note_word(way)
            self._show(status)
        if isinstance(way, Log) and way.count != self._lines:
            self._lines = way.count
            self._note_word(way)

    def _is_news(self, status: Status) -> bool:
        return self.status is None or status.now > self.status.now or (status.has_ended and not self.status.has_ended)

    @property
    def _is_askable(self) -> bool:
        """Whether any way was open when it was last tried."""
        return any(self._answers.values())

    def _note_word(self, way: Way) -> None:
        self._brought[way] = self._word_at = self._told_at = self._renting.clock()

    def _loss(self, deadline: float) -> str:
        """Why there is nothing more to expect of the pod, as a phrase; "" where there may be."""
        now = self._renting.clock()
        if self._renting.now() > deadline + OVERDUE:
            return "did not end by its deadline"
        if self._is_askable and now - self._word_at >= self._vigilance.lost:
            return f"has said nothing for {duration_text(now - self._word_at)}"
        if now - self._checked_at < self._vigilance.check:
            return ""
        self._checked_at = now
        try:
            return self._absence()
        except PodError:  # the pod itself may be heard all the same
            return ""

    def _absence(self) -> str:
        seen = self._renting.cloud.pod(self._pod.id)
        self._missing = 0 if seen is not None else self._missing + 1
        if self._missing > 1:  # one answer may be wrong
            return "is gone"
        if seen is not None and seen.state is State.STOPPED:
            return "was stopped, as a cloud does when the balance is used up"
        return "has failed" if seen is not None and seen.state is State.FAILED else ""

    def _is_gone(self) -> bool:
        try:
            return bool(self._absence())
        except PodError:
            return False

    def _last_look(self, loss: str, *, is_over: bool) -> Status:
        """Its last words, wherever they are: it may have ended in the meantime. `is_over`: so was its time. Raises
        PodLost, or PodError where its time was over: another pod would not have more.
        """
        for way in self._ways:
            self._ask(way)
        if self.status is not None and self.status.has_ended:
            return self.status
        if is_over:
            raise PodError(
                f"the deadline of pod {shown(self._pod.id)} came before its job was done; {self._known()}",
                hint="run the same command with more time (--max-time); it resumes",
            )
        raise PodLost(
            f"pod {shown(self._pod.id)} {loss}; {self._known()}",
            hint="\n".join(["its last words:", *self._last_words()]),
        )

    def _known(self) -> str:
        if self.status is None:
            return "nothing is known of its job"
        status = self.status
        far = f", {size_text(status.done)} of {size_text(status.total)}" if status.total else ""
        return f"it was last {PHRASES[status.phase]}{far}"

    def _last_words(self) -> list[str]:
        logs = [line for way in self._ways if isinstance(way, Log) for line in way.last]
        notes = list(self.status.notes) if self.status is not None else []
        return [shown(line, 200) for line in (logs or notes)[-8:]] or ["none"]

    def _tell_of_silence(self) -> None:
        now = self._renting.clock()
        if now - self._told_at >= self._vigilance.silence:
            self._told_at = now
            silent = duration_text(now - self._word_at)
            self._renting.tell(f"nothing was heard of pod {shown(self._pod.id)} for {silent}; {self._known()}")


PHRASES = {
    Phase.WAITING: "waiting for the volume",
    Phase.INSTALLING: "installing",
    Phase.FILLING: "filling",
    Phase.VERIFYING: "verifying",
    Phase.ENDED: "done",
}
