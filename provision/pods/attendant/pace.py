"""The pace: bytes a second of late. What a fill did an hour ago says nothing about when it will be done."""

from __future__ import annotations

from collections import deque

WINDOW = 20.0
"""Seconds that count."""


class Pace:
    """Take samples with `add`; `rate` is over those of the last WINDOW seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, ticks: float, done: int) -> None:
        """At `ticks`, `done` bytes were done in all."""
        self._samples.append((ticks, done))
        while len(self._samples) > 2 and self._samples[1][0] <= ticks - WINDOW:
            self._samples.popleft()

    def clear(self) -> None:
        """Other work begins."""
        self._samples.clear()

    @property
    def rate(self) -> float:
        """Bytes a second; zero while there is nothing to tell it from, or the work went back."""
        if len(self._samples) < 2:
            return 0.0
        (begin, before), (end, after) = self._samples[0], self._samples[-1]
        return max(0.0, (after - before) / (end - begin)) if end > begin else 0.0
