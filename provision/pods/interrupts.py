"""Interrupts: what SIGINT, SIGTERM and SIGHUP do while a pod is rented.

A signal may come between any two steps, so that a second one could tear us from giving a pod back. Here the first one
raises KeyboardInterrupt, and from then on the rental is told, not torn.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

INSISTENCE = 3
"""So many signals while pods are given back mean that the user does not want to wait for it."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Inside, SIGINT, SIGTERM and SIGHUP come to `handler`; below nohup, which ignores it, SIGHUP is ignored still.

    For the main thread.
    """
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
    before = {number: signal.signal(number, handler) for number in _SIGNALS if number not in ignored}
    try:
        yield
    finally:
        for number, one in before.items():
            signal.signal(number, one)


class Interrupts:
    """Signals, heeded or only counted. At first they are heeded; one that was heeded lets the next be counted.

    Where it is not installed, as in every thread but the main one, it only counts what it is told of.
    """

    def __init__(self) -> None:
        self.count = 0
        self._is_heeded = True

    def heed(self) -> None:
        """From here on the next signal raises KeyboardInterrupt."""
        self._is_heeded = True

    def shield(self) -> None:
        """From here on signals are counted, from 0; the INSISTENCE-th raises KeyboardInterrupt."""
        self._is_heeded = False
        self.count = 0

    def add(self) -> None:
        """A KeyboardInterrupt that was raised all the same counts as well."""
        self.count += 1

    @property
    def are_insistent(self) -> bool:
        """Whether the user does not want to wait any longer."""
        return self.count >= INSISTENCE

    def handler(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the shape of a signal handler
        """For `signal.signal`."""
        if self._is_heeded:
            self._is_heeded = False
            raise KeyboardInterrupt
        self.count += 1
        if self.count == INSISTENCE:
            raise KeyboardInterrupt

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Inside, signals come here: see `handled`."""
        with handled(self.handler):
            yield
