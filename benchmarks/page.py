"""The page: rows, budgets, and the machine they were measured on. Values and text; nothing is measured here."""

from __future__ import annotations

import os
import platform
import resource
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from measurement import RSS_UNIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from measurement import Measurement

MIB = 1024 * 1024
TIMES = " \N{MULTIPLICATION SIGN}"
HEADS = ("", "provision", "peer", "ratio", "budget")
WIDTH = 120
PREAMBLE = """\
# Benchmarks

Written by `make bench`, which runs everything below anew. The numbers are of one machine on one day; what counts are
the ratios, each against a peer that took turns with `provision` in the same run.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a row is held against: `value`, in the words `shown`, must be `most` or less."""

    value: float
    most: float
    unit: str

    @property
    def shown(self) -> str:
        """The bound and the verdict."""
        return f"≤ {self.most:g}{self.unit}: {'within' if self.value <= self.most else '**over**'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: what was measured, ours, the peer's, how they compare."""

    what: str
    ours: str
    peer: str = ""
    ratio: float | None = None
    budget: Budget | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}{TIMES}"
        return self.what, self.ours, self.peer, ratio, self.budget.shown if self.budget else ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table with heads of its own."""

    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A table under a heading, with what a reader must know about how it came about. `heads` may leave out the last."""

    title: str
    told: str
    rows: tuple[Row | Line, ...]
    heads: tuple[str, ...] = HEADS


def compared(what: str, ours: float, peer: float, texts: tuple[str, str], most: float | None = None) -> Row:
    """A row of two numbers of one kind; `most` is the budget of their ratio."""
    ratio = ours / peer if peer else None
    budget = Budget(value=ratio, most=most, unit=TIMES) if most is not None and ratio is not None else None
    return Row(what=what, ours=texts[0], peer=texts[1], ratio=ratio, budget=budget)


def wall(what: str, ours: Measurement, peer: Measurement, most: float | None = None) -> Row:
    """Wall clock, medians, with the fastest and the slowest run."""
    return compared(what, ours.seconds, peer.seconds, (spread(ours), f"{spread(peer)} {peer.name}"), most)


def cpu(what: str, ours: Measurement, peer: Measurement, most: float | None = None) -> Row:
    """CPU seconds, medians."""
    return compared(what, ours.cpu, peer.cpu, (f"{ours.cpu:.2f} s", f"{peer.cpu:.2f} s {peer.name}"), most)


def peak(what: str, ours: Measurement, peer: Measurement, most_mib: float | None = None) -> Row:
    """Resident memory at its highest; the budget is absolute."""
    budget = None if most_mib is None else Budget(value=ours.peak / MIB, most=most_mib, unit=" MiB")
    texts = mib(ours.peak), f"{mib(peer.peak)} {peer.name}"
    return Row(what=what, ours=texts[0], peer=texts[1], ratio=ours.peak / peer.peak, budget=budget)


def mib(count: float) -> str:
    """Bytes as people read them."""
    return f"{count / MIB:,.1f} MiB"


def rate(size: int, seconds: float) -> str:
    """Bytes a second as people read them; MB are millions here."""
    return f"{size / seconds / 1e6:,.0f} MB/s"


def spread(measurement: Measurement) -> str:
    """The median of the wall, with the fastest and the slowest run."""
    seconds = [run.seconds for run in measurement.runs]
    return f"{measurement.seconds:.2f} s ({min(seconds):.2f}-{max(seconds):.2f})"


def table(section: Section) -> str:
    """The section in Markdown, its columns aligned so that a terminal shows it well. Without rows it is text only."""
    told = f"## {section.title}\n\n{textwrap.fill(section.told, WIDTH, break_on_hyphens=False)}\n"
    if not section.rows:
        return told
    lines = [section.heads, *(row.cells[: len(section.heads)] for row in section.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    first, *others = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    padded = [first, ["-" * width for width in widths], *others]
    body = "\n".join(f"| {' | '.join(line)} |" for line in padded)
    return f"{told}\n{body}\n"


def page(sections: Sequence[Section], facts: Sequence[str]) -> str:
    """All of it."""
    return "\n".join([PREAMBLE, *[f"- {fact}" for fact in facts], "", *map(table, sections)])


def machine() -> list[str]:
    """What the numbers depend on; no names, no addresses."""
    return [
        f"{os.cpu_count()} cores, {_processor()}, {platform.system()} {platform.machine()}",
        f"{platform.python_implementation()} {platform.python_version()}",
        f"before the start, {load()}",
    ]


def at_the_end() -> list[str]:
    """What is known only then."""
    return [
        f"at the end, {load()}",
        f"peaks under {mib(_own_peak())} are not told apart: a child starts with what its parent holds (getrusage)",
    ]


def load() -> str:
    """What else goes on; above the number of cores, times say little and their ratios less than they should."""
    return "load " + " ".join(f"{value:.1f}" for value in os.getloadavg()) + " (1, 5 and 15 minutes)"


def _own_peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown processor"
