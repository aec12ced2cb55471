"""The fleet: several errands at once, each on a thread of its own, and one answer for all when somebody interrupts.

Signals never tear: the main thread only counts them, and looks at the count. So nothing can come between renting a pod
and writing down that it was rented.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

from provision.crew import Stop
from provision.errors import PodNotReturned, ProvisionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from provision.pods.cloud import Pod

E = TypeVar("E")
R = TypeVar("R")

INSISTENCE = 3
"""So many further interrupts mean that the user does not want to wait until the pods are given back."""

_LOOK = 0.1


class Fleet(Generic[E, R]):
    """Runs `work` over errands, all at once. `stop` is set when somebody interrupts.

    `ask` is called once, in the main thread, after a first SIGINT: whether the pods are to go on without us. After a
    SIGTERM nobody is asked: they are given back. `tell` gets what people should know.
    """

    def __init__(self, ask: Callable[[], bool], tell: Callable[[str], None]) -> None:
        self.stop = Stop()
        self._ask, self._tell = ask, tell
        self._signals: list[int] = []
        self._stays = False
        self._is_answered = threading.Event()

    def leave(self, pod: Pod) -> bool:  # noqa: ARG002 - the shape of `Renting.leave`
        """For `Renting.leave`: whether a pod is to go on without us. Waits for the answer."""
        self._is_answered.wait()
        return self._stays

    def run(self, errands: Sequence[E], work: Callable[[E], R]) -> list[R | ProvisionError]:
        """What came of each errand, in their order. For the main thread.

        Raises:
            PodNotReturned: the user did not want to wait until the pods were given back.
        """
        results: dict[int, R | BaseException] = {}

        def carry_out(index: int, errand: E) -> None:
            try:
                results[index] = work(errand)
            except BaseException as error:  # noqa: BLE001 - it is told, or raised again, by the main thread
                results[index] = error

        threads = [
            threading.Thread(target=carry_out, args=(index, errand), daemon=True)
            for index, errand in enumerate(errands)
        ]
        with self._counted():
            for thread in threads:
                thread.start()
            self._wait(threads)
        return [_told(results[index]) for index in range(len(threads))]

    def _wait(self, threads: Sequence[threading.Thread]) -> None:
        heeded = 0
        for thread in threads:
            while thread.is_alive():
                thread.join(_LOOK)
                if len(self._signals) > heeded:
                    self._heed(len(self._signals))
                    heeded = len(self._signals)

    def _heed(self, count: int) -> None:
        if not self._is_answered.is_set():
            self._stays = self._signals[0] == signal.SIGINT and self._asked()
            del self._signals[1:]  # what came while the question stood
            self.stop.set()
            self._is_answered.set()
        elif count > INSISTENCE:
            raise PodNotReturned(
                f"interrupted {count} times: pods may still be rented",
                hint="provision pod ls shows them, provision pod rm gives them back",
            )
        else:
            self._tell("giving back, a moment; interrupt again and again to leave it as it is")

    def _asked(self) -> bool:
        """Whatever goes wrong with the question, the answer is no; a second Ctrl-C is one."""
        counting = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return self._ask()
        except (KeyboardInterrupt, Exception):  # noqa: BLE001 - as above
            return False
        finally:
            signal.signal(signal.SIGINT, counting)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        def count(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the shape of a signal handler
            self._signals.append(signum)

        before = {number: signal.signal(number, count) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _told(result: R | BaseException) -> R | ProvisionError:
    if isinstance(result, BaseException) and not isinstance(result, ProvisionError):
        raise result  # a fault of ours
    return result
