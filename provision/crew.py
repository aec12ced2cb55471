"""The crew: many jobs, a few at a time, on threads that never keep the process alive."""

from __future__ import annotations

import queue
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Generic, TypeVar

from provision.errors import Interrupted, TimeIsUp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

J = TypeVar("J")
R = TypeVar("R")

FAREWELL = 2.0
"""Seconds that running jobs, all together, are given to notice that they should stop."""

LOOK = 0.5
"""Seconds between two looks at whether a stop was asked for, by the one who waits for all jobs."""


class Stop:
    """A wish to stop, seen by all jobs: `check` raises, `sleep` ends at once."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._is_time_up = False

    def set(self) -> None:
        """Ask everyone to stop."""
        self._event.set()

    def expire(self) -> None:
        """Ask everyone to stop, since the time that was given is over."""
        self._is_time_up = True
        self._event.set()

    def check(self) -> None:
        """Raise Interrupted when a stop was asked for: TimeIsUp where that was because of the time."""
        if self._is_time_up:
            raise TimeIsUp(
                "the time is up",
                hint="run the same command again; it resumes. Pieces under way come again, 16 MiB for each connection "
                "at most: on a slow line give it more time, or fewer --connections",
            )
        if self._event.is_set():
            raise Interrupted("interrupted", hint="run the same command again; it resumes")

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until a stop is asked for; then raise Interrupted."""
        self._event.wait(seconds)
        self.check()


class Crew(Generic[J, R]):
    """Runs `work` over jobs on `size` threads. The first exception stops everyone and is raised.

    A thread takes a job within `room`, if there is one: a context that may make it wait. When it finds no job any more
    it calls `idle`, if there is one, which has to return by itself in the end.

    An interrupt of the waiting thread (a signal) does the same, and does not wait for a job that is stuck in a system
    call: threads are daemons, and whatever they write must be safe to abandon at any point.
    """

    def __init__(
        self,
        size: int,
        work: Callable[[J], R],
        stop: Stop,
        idle: Callable[[], None] | None = None,
        room: AbstractContextManager[object] | None = None,
    ) -> None:
        self._size, self._work, self._stop, self._idle = size, work, stop, idle
        self._room = room or nullcontext()

    def run(self, jobs: Iterable[J]) -> list[R]:
        """The results, in the order of the jobs."""
        pending = list(enumerate(jobs))[::-1]
        answers: queue.SimpleQueue[tuple[int, R | None, BaseException | None]] = queue.SimpleQueue()
        threads = [
            threading.Thread(target=self._serve, args=(pending, answers), daemon=True)
            for _ in range(self._size if self._idle and pending else min(self._size, len(pending)))
        ]
        expected = len(pending)
        try:
            for thread in threads:
                thread.start()
            return self._gather(answers, expected)
        except BaseException:
            self._stop.set()
            for thread in filter(threading.Thread.is_alive, threads):
                thread.join(FAREWELL / len(threads))
            raise

    def _serve(
        self, pending: list[tuple[int, J]], answers: queue.SimpleQueue[tuple[int, R | None, BaseException | None]]
    ) -> None:
        try:
            while pending:
                with self._room:
                    self._do_one(pending, answers)
            if self._idle is not None:
                self._idle()
        except BaseException as error:  # noqa: BLE001 - it is raised again by the waiting thread
            answers.put((-1, None, error))

    def _do_one(
        self, pending: list[tuple[int, J]], answers: queue.SimpleQueue[tuple[int, R | None, BaseException | None]]
    ) -> None:
        try:
            index, job = pending.pop()
        except IndexError:  # another was faster
            return
        try:
            self._stop.check()
            answers.put((index, self._work(job), None))
        except BaseException as error:  # noqa: BLE001 - as above
            answers.put((index, None, error))

    def _gather(self, answers: queue.SimpleQueue[tuple[int, R | None, BaseException | None]], expected: int) -> list[R]:
        results: dict[int, R] = {}
        while len(results) < expected:
            try:
                index, result, error = answers.get(timeout=LOOK)
            except queue.Empty:
                self._stop.check()  # jobs may be stuck where they do not notice
                continue
            if error is not None:
                raise error
            results[index] = result  # type: ignore[assignment]
        return [results[index] for index in sorted(results)]
