"""The log of a pod: what its container printed and what the system says of it, and that as server-sent events."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

LONGEST = 16 * 1024
"""Bytes of a line; a longer one becomes several, as container runtimes cut it."""

HEARTBEAT_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line. `source`: container or system; `number` counts from 1."""

    number: int
    ts: str
    source: str
    text: str

    @property
    def id(self) -> str:
        """As in the published example: `2026-06-01T12:02:03Z/000000000001`."""
        return f"{self.ts}/{self.number:012d}"


class Log:
    """All lines of one pod."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.changed = threading.Condition()

    def add(self, text: str, source: str = "container") -> None:
        """One more line, from now."""
        ts = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        with self.changed:
            self.lines.append(Line(number=len(self.lines) + 1, ts=ts, source=source, text=text))
            self.changed.notify_all()

    @property
    def text(self) -> str:
        """What the container printed."""
        return "".join(f"{line.text}\n" for line in list(self.lines) if line.source == "container")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What of a log is asked for. `after`: the id or time of the last line that is known; else `since`, else `tail`."""

    source: str = ""
    tail: int = 100
    since: str = ""
    after: str = ""

    def first(self, lines: list[Line]) -> list[Line]:
        """The lines that are there already."""
        wanted = [line for line in lines if self.source in ("", line.source)]
        if self.after:
            time, _, number = self.after.partition("/")
            return [line for line in wanted if (line.number > int(number) if number.isdigit() else line.ts > time)]
        if self.since:
            return [line for line in wanted if line.ts >= self.since]
        return wanted[-self.tail :] if self.tail else []


def events(log: Log, wish: Wish, closed: threading.Event) -> Iterator[bytes]:
    """The stream: what is there, then what comes, with heartbeats; it ends only with `closed`."""
    with log.changed:
        seen, lines = len(log.lines), wish.first(log.lines)
    while not closed.is_set():
        for line in lines:
            data = json.dumps({"ts": line.ts, "source": line.source, "line": line.text})
            yield f"id: {line.id}\ndata: {data}\n\n".encode()
        with log.changed:
            if len(log.lines) == seen:
                log.changed.wait(HEARTBEAT_SECONDS)
            lines, seen = log.lines[seen:], len(log.lines)
        if not lines:
            yield b": heartbeat\n\n"
        lines = [line for line in lines if wish.source in ("", line.source)]
