"""The commands of a job, as processes of their own: one that is killed, for want of memory, leaves the attendant."""

from __future__ import annotations

import subprocess
import threading
from typing import TYPE_CHECKING, Self

from provision.pods.job import MANIFESTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from provision.pods.attendant.duty import Duty, Errand

FAREWELL = 3.0
"""Seconds that a command has to end by itself: the platform gives five, of which the rest is for the marker."""

LINE = 8192
"""Bytes of a line that are read at once."""


def progress_file(duty: Duty, name: str) -> Path:
    """Where the command `name` writes how far it is."""
    return duty.work / f"{name}.progress.json"


def fill_words(duty: Duty, errand: Errand) -> list[str]:
    """The command that fills."""
    return [*_words(duty, errand, "fill"), "--frozen", *errand.fill]


def verify_words(duty: Duty, errand: Errand) -> list[str]:
    """The command that verifies, and writes the reports that were asked for."""
    reports = [f"--report={duty.work / f'report{ending}'}" for ending in errand.reports]
    return [*_words(duty, errand, "verify"), *reports, *errand.verify]


def _words(duty: Duty, errand: Errand, name: str) -> list[str]:
    return [
        *(duty.python, "-m", "provision", name, *errand.projects),
        *("--manifests", str(duty.work / MANIFESTS), "--volume", duty.volume),
        *("--format", "json", "--progress-file", str(progress_file(duty, name))),
    ]


class Command:
    """A running command; a context, after which it runs no more. What it prints goes into `out`; what it says goes to
    `hear`, line by line, from another thread.
    """

    def __init__(self, words: Sequence[str], duty: Duty, out: Path, hear: Callable[[str], None]) -> None:
        with out.open("wb") as stdout:
            self._process = subprocess.Popen(  # noqa: S603 - words of ours and of the job's
                words,
                cwd=duty.work,
                env=dict(duty.environment),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
            )
        self._hear = hear
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            if self.wait(FAREWELL) is None:
                self._process.kill()  # what is proven by now stands
        self._listener.join(FAREWELL / 4)

    def wait(self, seconds: float) -> int | None:
        """The exit code, negative for a signal, as soon as there is one; None when there is none after `seconds`."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._listener.join(FAREWELL)  # a grandchild may hold the pipe open
        return code

    def _listen(self) -> None:
        stream = self._process.stderr
        if stream is not None:
            with stream:
                while line := stream.readline(LINE):
                    self._hear(line.decode(errors="replace").rstrip())
