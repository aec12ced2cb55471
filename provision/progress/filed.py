"""Progress in a file, for other programs: schedulers, dashboards, the attendant of a pod."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter, deque
from contextlib import suppress
from typing import TYPE_CHECKING

from provision.progress import End

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

        {"schema": 1, "label", "total", "done", "reused", "began", "now", "ended", "result", "finished", "failed",
        "running": [{"name", "size", "done"}], "notes": [...]}

    `reused` are those of the bytes `done` that lay there already. `finished` and `failed` are files; one that was
    interrupted is neither. `result` is null until it has `ended`, then an End. `begin` raises OSError where the file
    cannot be written; later writes that fail are left out, since long work must not die of them.
    """

    def __init__(self, path: str, clock: Callable[[], float]) -> None:
        self._path, self._clock = path, clock
        self._lock = threading.Lock()
        self._label, self._total, self._done, self._reused = "", 0, 0, 0
        self._ends: Counter[End] = Counter()
        self._began = self._last = 0.0
        self._running: list[_FiledTask] = []
        self._notes: deque[str] = deque(maxlen=NOTES)

    def begin(self, label: str, total: int) -> None:
        """Count from zero; notes are kept."""
        with self._lock:
            self._label, self._total, self._done, self._reused = label, total, 0, 0
            self._ends.clear()
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

    def note(self, text: str) -> None:
        """The last of `notes`, written at once: nothing may follow it for long."""
        with self._lock, suppress(OSError):
            self._notes.append(text)
            self._write(self._clock())

    def end(self, end: End = End.OK) -> None:
        """Write a last time."""
        with self._lock, suppress(OSError):
            self._write(self._clock(), end)

    def advance(self, task: _FiledTask, count: int, *, reused: bool = False) -> None:
        """`count` more bytes of `task` are done."""
        with self._lock:
            task.done += count
            self._done += count
            if reused:
                task.reused += count
                self._reused += count
            self._write_in_time()

    def hear(self, text: str) -> None:
        """The last of `notes`, written in time."""
        with self._lock:
            self._notes.append(text)
            self._write_in_time()

    def finish(self, task: _FiledTask, end: End) -> None:
        """One file less is running."""
        with self._lock:
            if task in self._running:
                self._running.remove(task)
                self._ends[end] += 1
            self._write_in_time()

    def _write_in_time(self) -> None:
        now = self._clock()
        if not 0 <= now - self._last < INTERVAL:  # a clock may be set back
            with suppress(OSError):
                self._write(now)

    def _write(self, now: float, result: End | None = None) -> None:
        self._last = now
        document = {
            "schema": SCHEMA,
            "label": self._label,
            "total": self._total,
            "done": self._done,
            "reused": self._reused,
            "began": self._began,
            "now": now,
            "ended": result is not None,
            "result": result,
            "finished": self._ends[End.OK],
            "failed": self._ends[End.FAILED],
            "running": [{"name": task.name, "size": task.size, "done": task.done} for task in self._running],
            "notes": list(self._notes),
        }
        fresh = f"{self._path}.{os.getpid()}"
        with open(fresh, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs a worker's start 3 ms
            json.dump(document, file)
        os.replace(fresh, self._path)  # noqa: PTH105 - as above


class _FiledTask:
    def __init__(self, filed: Filed, name: str, size: int) -> None:
        self.name, self.size, self.done, self.reused = name, size, 0, 0
        self._filed = filed

    def advance(self, count: int) -> None:
        self._filed.advance(self, count)

    def reuse(self, count: int) -> None:
        self._filed.advance(self, count, reused=True)

    def restart(self) -> None:
        self.advance(self.reused - self.done)
        self.reuse(-self.reused)

    def note(self, text: str) -> None:
        self._filed.hear(text)

    def finish(self, end: End = End.OK) -> None:
        self._filed.finish(self, end)
