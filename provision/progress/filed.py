"""Progress in a file, for other programs: schedulers, dashboards, the attendant of a pod."""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.progress import Task

INTERVAL = 1.0
"""Seconds between two writes."""

SCHEMA = 1
NOTES = 20
"""Of all notes, so many last ones are in the file."""


class Filed:
    """The work as it stands, as one JSON document in the file at `path`, whole at any moment, written at most every
    INTERVAL seconds of `clock`, which tells the time of day. Sizes are bytes:

        {"schema": 1, "label", "total", "done", "began", "now", "ended", "finished", "running": [{"name", "size",
        "done"}], "notes": [...]}

    `finished` are files. `begin` raises OSError where the file cannot be written; later writes that fail are left out,
    since long work must not die of them.
    """

    def __init__(self, path: str, clock: Callable[[], float]) -> None:
        self._path, self._clock = path, clock
        self._lock = threading.Lock()
        self._label, self._total, self._done, self._finished = "", 0, 0, 0
        self._began = self._last = 0.0
        self._running: list[_FiledTask] = []
        self._notes: deque[str] = deque(maxlen=NOTES)

    def begin(self, label: str, total: int) -> None:
        """Count from zero; notes are kept."""
        with self._lock:
            self._label, self._total, self._done, self._finished = label, total, 0, 0
            self._began = self._clock()
            self._running.clear()
            self._write(self._began)

    def task(self, name: str, size: int) -> Task:
        """One of `running`, until it is finished."""
        task = _FiledTask(self, name, size)
        with self._lock:
            self._running.append(task)
            self._write_in_time()
        return task

    def end(self) -> None:
        """Write a last time."""
        with self._lock, suppress(OSError):
            self._write(self._clock(), ended=True)

    def advance(self, task: _FiledTask, count: int) -> None:
        """`count` more bytes of `task` are done."""
        with self._lock:
            task.done += count
            self._done += count
            self._write_in_time()

    def note(self, text: str) -> None:
        """The last of `notes`."""
        with self._lock:
            self._notes.append(text)
            self._write_in_time()

    def finish(self, task: _FiledTask) -> None:
        """One file more."""
        with self._lock:
            if task in self._running:
                self._running.remove(task)
                self._finished += 1
            self._write_in_time()

    def _write_in_time(self) -> None:
        now = self._clock()
        if not 0 <= now - self._last < INTERVAL:  # a clock may be set back
            with suppress(OSError):
                self._write(now)

    def _write(self, now: float, *, ended: bool = False) -> None:
        self._last = now
        document = {
            "schema": SCHEMA,
            "label": self._label,
            "total": self._total,
            "done": self._done,
            "began": self._began,
            "now": now,
            "ended": ended,
            "finished": self._finished,
            "running": [{"name": task.name, "size": task.size, "done": task.done} for task in self._running],
            "notes": list(self._notes),
        }
        fresh = f"{self._path}.{os.getpid()}"
        with open(fresh, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs a worker's start 3 ms
            json.dump(document, file)
        os.replace(fresh, self._path)  # noqa: PTH105 - as above


class _FiledTask:
    def __init__(self, filed: Filed, name: str, size: int) -> None:
        self.name, self.size, self.done = name, size, 0
        self._filed = filed

    def advance(self, count: int) -> None:
        self._filed.advance(self, count)

    def restart(self) -> None:
        self.advance(-self.done)

    def note(self, text: str) -> None:
        self._filed.note(text)

    def finish(self) -> None:
        self._filed.finish(self)
