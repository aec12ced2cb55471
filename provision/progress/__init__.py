"""Progress: what long work tells whoever watches. The only module that knows tqdm.

Library code is handed a `Progress` and never prints. `Silent` is the null object, `Bars` draws on a terminal, `Lines`
writes plain lines for logs, at most one every ten seconds, `filed.Filed` keeps a JSON document in a file for other
programs, and `Both` is two of them at once.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tqdm import tqdm

LINE_INTERVAL = 10.0
"""Seconds between two lines of `Lines`."""


class End(StrEnum):
    """How a file, or all work, has ended."""

    OK = "ok"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Task(Protocol):
    """One running file."""

    def advance(self, count: int) -> None:
        """`count` more bytes are done."""

    def reuse(self, count: int) -> None:
        """`count` more bytes are done that lay there already: they say nothing of how fast others come."""

    def restart(self) -> None:
        """What was done of this file counts no more: it begins again."""

    def note(self, text: str) -> None:
        """Say something about this file: a retry, a damaged piece."""

    def finish(self, end: End = End.OK) -> None:
        """Nothing more is done for the file."""


class Progress(Protocol):
    """Work over a known number of bytes, as running files. Calls may come from several threads."""

    def begin(self, label: str, total: int) -> None:
        """Work named `label` over `total` bytes starts."""

    def task(self, name: str, size: int) -> Task:
        """A file of `size` bytes starts."""

    def note(self, text: str) -> None:
        """Say something about all of the work: what it waits for."""

    def end(self, end: End = End.OK) -> None:
        """Nothing more is done."""


class Silent:
    """Says nothing."""

    def begin(self, label: str, total: int) -> None:
        """Nothing to show."""

    def task(self, name: str, size: int) -> Task:  # noqa: ARG002 - the protocol's shape
        """A task that says nothing."""
        return self

    def advance(self, count: int) -> None:
        """Nothing to show."""

    def reuse(self, count: int) -> None:
        """Nothing to show."""

    def restart(self) -> None:
        """Nothing to show."""

    def note(self, text: str) -> None:
        """Nothing to show."""

    def finish(self, end: End = End.OK) -> None:
        """Nothing to show."""

    def end(self, end: End = End.OK) -> None:
        """Nothing to show."""


class Bars:
    """One bar for each running file and one for all of them, on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._overall: tqdm[Any] | None = None
        self._free_rows: list[int] = []
        self._rows = 0

    def begin(self, label: str, total: int) -> None:
        """Draw the bar for all."""
        self._overall = self._bar(label, total, row=0)

    def task(self, name: str, size: int) -> Task:
        """Draw a bar below it."""
        with self._lock:
            if self._free_rows:
                row = self._free_rows.pop(0)
            else:
                self._rows += 1
                row = self._rows
        return _BarTask(self, self._bar(_shortened(name), size, row), row)

    def end(self, end: End = End.OK) -> None:  # noqa: ARG002 - the protocol's shape
        """Leave the bar for all standing, as far as it came."""
        if self._overall is not None:
            self._overall.close()
            self._overall = None

    def note(self, text: str) -> None:
        """A line above the bars."""
        from tqdm import tqdm

        tqdm.write(text, file=self._stream)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Inside, no bar is drawn, by any thread: for a question to the user."""
        from tqdm import tqdm

        with tqdm.external_write_mode(file=self._stream):
            yield

    def _bar(self, label: str, total: int, row: int) -> tqdm[Any]:
        from tqdm import tqdm

        return tqdm(
            desc=label,
            total=total,
            position=row,
            leave=row == 0,
            unit="B",
            unit_scale=True,
            unit_divisor=1000,
            dynamic_ncols=True,
            mininterval=0.2,
            miniters=0,  # else tqdm waits for as many bytes as came at once before: a whole piece that lay there
            file=self._stream,
        )

    def _advance(self, bar: tqdm[Any], count: int) -> None:
        with self._lock:
            for each in self._with_overall(bar):
                each.update(count)

    def _reuse(self, bar: tqdm[Any], count: int) -> None:
        with self._lock:
            for each in self._with_overall(bar):
                each.n += count
                each.initial += count  # from these two tqdm knows what it has to leave out of the rate
                each.last_print_n += count
                each.update(0)

    def _with_overall(self, bar: tqdm[Any]) -> list[tqdm[Any]]:
        return [bar] if self._overall is None else [bar, self._overall]

    def _release(self, bar: tqdm[Any], row: int) -> None:
        with self._lock:
            bar.close()
            self._free_rows = sorted([*self._free_rows, row])


class _BarTask:
    def __init__(self, bars: Bars, bar: tqdm[Any], row: int) -> None:
        self._bars, self._bar, self._row = bars, bar, row

    def advance(self, count: int) -> None:
        self._bars._advance(self._bar, count)  # noqa: SLF001 - one object in two classes

    def reuse(self, count: int) -> None:
        self._bars._reuse(self._bar, count)  # noqa: SLF001 - one object in two classes

    def restart(self) -> None:
        reused = int(self._bar.initial)
        self.advance(reused - int(self._bar.n))
        self.reuse(-reused)

    def note(self, text: str) -> None:
        self._bars.note(text)

    def finish(self, end: End = End.OK) -> None:  # noqa: ARG002 - the protocol's shape
        self._bars._release(self._bar, self._row)  # noqa: SLF001 - one object in two classes


class Lines:
    """A plain line at most every LINE_INTERVAL seconds, and one for each note and each finished file of some size."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._write, self._clock = write, clock
        self._lock = threading.Lock()
        self._label, self._total, self._came, self._reused = "", 0, 0, 0
        self._began = self._last = 0.0

    def begin(self, label: str, total: int) -> None:
        """Say what starts, and how much it is."""
        self._label, self._total, self._came, self._reused = label, total, 0, 0
        self._began = self._last = self._clock()
        if total:
            self._write(f"{label}: {size_text(total)}")

    def task(self, name: str, size: int) -> Task:  # noqa: ARG002 - the protocol's shape
        """A file starts; nothing is written for it."""
        return _LineTask(self)

    def advance(self, count: int) -> None:
        """Count, and write a line when the last one is old enough."""
        with self._lock:
            self._came += count
            self._write_in_time(self._clock())

    def reuse(self, count: int) -> None:
        """As `advance`. The rate is of what comes, from when it begins to come."""
        with self._lock:
            now = self._clock()
            self._reused += count
            if not self._came:
                self._began = now
            self._write_in_time(now)

    def note(self, text: str) -> None:
        """Write `text` at once."""
        with self._lock:
            self._write(text)

    def end(self, end: End = End.OK) -> None:  # noqa: ARG002 - the protocol's shape
        """The last line: what was done, and how fast; nothing where there was nothing to do."""
        with self._lock:
            if self._total:
                self._write(self._line(self._clock(), ended=True))

    def _write_in_time(self, now: float) -> None:
        if now - self._last >= LINE_INTERVAL:
            self._last = now
            self._write(self._line(now))

    def _line(self, now: float, *, ended: bool = False) -> str:
        done = self._came + self._reused
        percent = 100 * done // self._total if self._total else 100
        text = f"{self._label}: {size_text(done)} of {size_text(self._total)} ({percent} %)"
        if self._reused:
            text += f", {size_text(self._reused)} of it already there"
        rate = self._came / max(now - self._began, 1e-3)
        if rate <= 0:
            return text
        text += f", {size_text(int(rate))}/s"
        return text if ended else f"{text}, {duration_text((self._total - done) / rate)} left"


class _LineTask:
    def __init__(self, lines: Lines) -> None:
        self._lines, self._came, self._reused = lines, 0, 0

    def advance(self, count: int) -> None:
        self._came += count
        self._lines.advance(count)

    def reuse(self, count: int) -> None:
        self._reused += count
        self._lines.reuse(count)

    def restart(self) -> None:
        self.advance(-self._came)
        self.reuse(-self._reused)

    def note(self, text: str) -> None:
        self._lines.note(text)

    def finish(self, end: End = End.OK) -> None:
        """A file's end is told by the report."""


class Both:
    """Two at once."""

    def __init__(self, first: Progress, second: Progress) -> None:
        self._each = (first, second)

    def begin(self, label: str, total: int) -> None:
        """Of both."""
        for progress in self._each:
            progress.begin(label, total)

    def task(self, name: str, size: int) -> Task:
        """A task of both."""
        return _BothTask(*(progress.task(name, size) for progress in self._each))

    def note(self, text: str) -> None:
        """To both."""
        for progress in self._each:
            progress.note(text)

    def end(self, end: End = End.OK) -> None:
        """Of both."""
        for progress in self._each:
            progress.end(end)


class _BothTask:
    def __init__(self, *each: Task) -> None:
        self._each = each

    def advance(self, count: int) -> None:
        for task in self._each:
            task.advance(count)

    def reuse(self, count: int) -> None:
        for task in self._each:
            task.reuse(count)

    def restart(self) -> None:
        for task in self._each:
            task.restart()

    def note(self, text: str) -> None:
        for task in self._each:
            task.note(text)

    def finish(self, end: End = End.OK) -> None:
        for task in self._each:
            task.finish(end)


def size_text(count: int) -> str:
    """Bytes for people: `0 B`, `1.2 MB`, `13.3 GB` (decimal, as hubs and volumes count)."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 999.5:
            return f"{size:.0f} {unit}" if unit in {"B", "kB"} else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} TB"


def count_text(count: int) -> str:
    """A number of things for people: `310 k`, `22.7 M`, `14.3 B`."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def duration_text(seconds: float) -> str:
    """A duration for people: `4 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _shortened(name: str, width: int = 32) -> str:
    return name if len(name) <= width else f"…{name[-width + 1 :]}"
