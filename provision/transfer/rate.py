"""Rate: how many bytes a second a fill may take from the network, all connections together."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BURST = 0.25
"""Seconds' worth of bytes that may come at once after a pause; what was not used before is not made up for."""


class Rate:
    """A limit shared by threads. `limit` None: none.

    Bytes are accounted for after they came, and whoever brought them waits until they are due: the kernel's buffers
    fill, and the sender slows down. `clock` never jumps, `sleep` may raise (a stop was asked for); both in seconds.
    """

    def __init__(self, limit: float | None, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._limit, self._clock, self._sleep = limit, clock, sleep
        self._guard = threading.Lock()
        self._due = 0.0

    def at_once(self, size: int) -> int:
        """How many of `size` bytes to take at a time, so that a low rate is kept evenly: a tenth of a second's."""
        return size if self._limit is None else max(4096, min(size, int(self._limit / 10)))

    def spend(self, count: int) -> None:
        """`count` bytes have come. Returns when they were due."""
        if self._limit is None:
            return
        with self._guard:
            now = self._clock()
            self._due = max(self._due, now - BURST) + count / self._limit
            wait = self._due - now
        if wait > 0:
            self._sleep(wait)
