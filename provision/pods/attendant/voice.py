"""The voice: lines for a log that perhaps nobody reads. A pipe that is full or closed holds up nobody but the voice."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from provision.pods.status import RESULT_LINE

if TYPE_CHECKING:
    from collections.abc import Callable

ROOM = 4 * 1024 * 1024
"""Characters that may wait to be written: more than a result that is told has."""

FAREWELL = 2.0
"""Seconds at the end for what still waits."""


class Voice:
    """Gives lines to `write`, whole and in order, from a thread of its own; calls may come from several threads. What
    there is no room for is forgotten: the oldest, and lines of a result last. What `write` refuses is not said.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._change = threading.Condition()
        self._lines: deque[str] = deque()
        self._waiting = 0
        self._is_busy = False
        threading.Thread(target=self._speak, daemon=True).start()

    def say(self, line: str) -> None:
        """`line`, as soon as may be."""
        with self._change:
            self._lines.append(line)
            self._waiting += len(line)
            while self._waiting > ROOM:
                self._forget()
            self._change.notify_all()

    def end(self, seconds: float = FAREWELL) -> bool:
        """Wait, no longer than `seconds`, until all is said; whether that is so."""
        with self._change:
            return self._change.wait_for(lambda: not self._lines and not self._is_busy, seconds)

    def _forget(self) -> None:
        idle = (at for at, line in enumerate(self._lines) if not line.startswith(RESULT_LINE))
        at = next(idle, 0)
        self._waiting -= len(self._lines[at])
        del self._lines[at]

    def _speak(self) -> None:
        while True:
            with self._change:
                self._is_busy = False
                self._change.notify_all()
                self._change.wait_for(lambda: self._lines)
                line = self._lines.popleft()
                self._waiting -= len(line)
                self._is_busy = True
            with suppress(OSError):
                self._write(f"{line}\n".encode(errors="backslashreplace"))
