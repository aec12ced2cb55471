"""Measurements: one run of a command, and the medians of contenders that took turns.

Time is of the wall. CPU and memory are the kernel's own account of a child process and of those it waited for
(wait4(2), getrusage(2)); the server is another process and does not count. A child's peak is never told as less than
what its parent held when it forked, so this process stays small.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage(2) tells bytes there, kibibytes here
_TOLD = 2000  # characters of a failed command's last words


class CommandFailed(Exception):
    """A contender did not do its work, so there is nothing to compare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is run, where, and the exit codes of which it must have one."""

    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]
    codes: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What it took: `seconds` of the wall, `cpu` seconds in user and kernel mode, `peak` bytes resident.

    `sent`: bytes of files that left the server meanwhile, where that was counted. `code`: how it ended.
    """

    seconds: float
    cpu: float
    peak: int
    sent: int = 0
    code: int = 0

    def then(self, other: Run) -> Run:
        """Both, one after the other."""
        return Run(
            seconds=self.seconds + other.seconds,
            cpu=self.cpu + other.cpu,
            peak=max(self.peak, other.peak),
            sent=self.sent + other.sent,
            code=other.code,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Whose work is compared. `work` does it once, in a fresh folder that is removed afterwards."""

    name: str
    work: Callable[[Path], Run]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Several runs of one contender."""

    name: str
    runs: tuple[Run, ...]

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(run.seconds for run in self.runs)

    @property
    def cpu(self) -> float:
        """The median."""
        return statistics.median(run.cpu for run in self.runs)

    @property
    def peak(self) -> int:
        """The highest."""
        return max(run.peak for run in self.runs)

    @property
    def sent(self) -> float:
        """The median."""
        return statistics.median(run.sent for run in self.runs)


def measure(command: Command, meanwhile: Callable[[int], None] | None = None) -> Run:
    """Run `command` to its end. `meanwhile` is handed its process id right after its start.

    Raises:
        CommandFailed: it ended with another code than it must.
    """
    with tempfile.TemporaryFile() as words:
        began = time.perf_counter()
        process = subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env=dict(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
        )
        if meanwhile is not None:
            meanwhile(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in command.codes:
            words.seek(0)
            told = words.read().decode(errors="replace")[-_TOLD:]
            raise CommandFailed(f"{' '.join(command.argv)}\nended with {process.returncode}\n{told}")
    return Run(
        seconds=seconds,
        cpu=usage.ru_utime + usage.ru_stime,
        peak=usage.ru_maxrss * RSS_UNIT,
        code=process.returncode,
    )


def measure_all(commands: Sequence[Command]) -> Run:
    """Run `commands` one after the other."""
    first, *others = commands
    total = measure(first)
    for command in others:
        total = total.then(measure(command))
    return total


def take_turns(contenders: Sequence[Contender], runs: int, below: Path, *, idle: int = 1) -> list[Measurement]:
    """Measure all `contenders` `runs` times: A B A B, so that what the machine does meanwhile meets them alike.

    `idle` turns more come first and do not count: they find caches cold, and memory that a virtual machine has not got.
    """
    taken: list[list[Run]] = [[] for _ in contenders]
    for _ in range(idle + runs):
        for contender, list_of_runs in zip(contenders, taken, strict=True):
            list_of_runs.append(in_fresh_folder(below, contender.work))
    return [
        Measurement(name=contender.name, runs=tuple(list_of_runs[idle:]))
        for contender, list_of_runs in zip(contenders, taken, strict=True)
    ]


def in_fresh_folder(below: Path, work: Callable[[Path], T]) -> T:
    """What `work` gives, done in a folder that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(dir=below))
    try:
        return work(folder)
    finally:
        shutil.rmtree(folder)
