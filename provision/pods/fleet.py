"""The fleet: several errands at once, each on a thread of its own, and one answer for all when somebody interrupts.

Signals never tear: the main thread only counts them, and looks at the count. So nothing can come between renting a pod
and writing down that it was rented. And nothing that goes wrong in the main thread ends its waiting: threads would die
with the process, while they give back.
"""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from provision.crew import Stop
from provision.errors import PodNotReturned, ProvisionError, without_secrets
from provision.pods.interrupts import INSISTENCE, handled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from provision.pods.cloud import Pod

E = TypeVar("E")
R = TypeVar("R")

_LOOK = 0.1


def _unknown(_: object) -> PodNotReturned:
    return PodNotReturned(
        "interrupted again and again: pods may still be rented",
        hint="provision pod ls shows them, provision pod rm gives them back",
    )


class Fleet(Generic[E, R]):
    """Runs `work` over errands, all at once. `stop` is set when somebody interrupts.

    `ask` is called once, in the main thread, after a first SIGINT: whether the pods are to go on without us. Any signal
    that comes while the question stands ends it. `unasked` is the answer where there was none, and after SIGTERM and
    SIGHUP, when nobody is asked. `tell` gets what people should know.
    """

    def __init__(self, ask: Callable[[], bool], tell: Callable[[str], None], *, unasked: bool = False) -> None:
        self.stop = Stop()
        self._ask, self._tell, self._unasked = ask, tell, unasked
        self._signals: list[int] = []
        self._further = 0
        self._is_asking = self._stays = False
        self._is_answered = threading.Event()

    def leave(self, pod: Pod) -> bool:  # noqa: ARG002 - the shape of `Renting.leave`
        """For `Renting.leave`: whether a pod is to go on without us. Waits for the answer."""
        self._is_answered.wait()
        return self._stays

    def run(
        self,
        errands: Sequence[E],
        work: Callable[[E], R],
        abandoned: Callable[[E], R | ProvisionError] = _unknown,
    ) -> list[R | ProvisionError]:
        """What came of each errand, in their order: what `work` gives or raises. For the main thread.

        `abandoned` says it of an errand that is still given back when the user does not want to wait any longer. A
        fault of ours is a plain ProvisionError, whose cause it is.
        """
        results: dict[int, R | BaseException] = {}

        def carry_out(index: int, errand: E) -> None:
            try:
                results[index] = work(errand)
            except BaseException as error:  # noqa: BLE001 - the main thread tells it
                results[index] = error

        threads = [
            threading.Thread(target=carry_out, args=(index, errand), daemon=True)
            for index, errand in enumerate(errands)
        ]
        with handled(self._note):
            for thread in threads:
                thread.start()
            self._wait(threads)
        return [
            _told(results[index]) if index in results else abandoned(errand) for index, errand in enumerate(errands)
        ]

    def _wait(self, threads: Sequence[threading.Thread]) -> None:
        """Until all have ended, or the user insists."""
        for thread in threads:
            while thread.is_alive() and self._further < INSISTENCE:
                thread.join(_LOOK)
                signals, self._signals = self._signals, []
                if signals:
                    self._heed(signals)

    def _heed(self, signals: Sequence[int]) -> None:
        if not self._is_answered.is_set():
            is_to_ask = all(number == signal.SIGINT for number in signals)
            self._stays = self._asked() if is_to_ask else self._unasked
            self.stop.set()
            self._is_answered.set()
        else:
            self._further += len(signals)
        if not self._stays:
            with suppress(Exception):  # whoever listened may have left
                self._tell("giving back, a moment; interrupt again and again to leave it as it is")

    def _asked(self) -> bool:
        """Whatever goes wrong with the question, it is as if nobody had been asked."""
        try:
            self._is_asking = True
            try:
                return self._unasked if self._signals else self._ask()
            finally:
                self._is_asking = False
        except (KeyboardInterrupt, Exception):  # noqa: BLE001 - as above
            return self._unasked

    def _note(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the shape of a signal handler
        if self._is_asking:
            self._is_asking = False  # it ends the question, and nothing after it
            raise KeyboardInterrupt
        self._signals.append(signum)


def _told(result: R | BaseException) -> R | ProvisionError:
    if not isinstance(result, BaseException) or isinstance(result, ProvisionError):
        return result
    fault = ProvisionError(without_secrets(f"{type(result).__name__}: {result}"))
    fault.__cause__ = result
    return fault
