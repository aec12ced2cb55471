"""The commands of a job, as processes of their own: one that is killed, for want of memory, leaves the attendant."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Self

from provision.errors import PodError
from provision.pods.job import MANIFESTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from provision.pods.attendant.duty import Duty, Errand

FAREWELL = 3.0
"""Seconds that a command has to end by itself: the platform gives five, of which the rest is for the marker."""

_LEASH = """
import contextlib, os, sys
with contextlib.suppress(Exception):
    import ctypes
    ctypes.CDLL(None).prctl(1, 15)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""
"""A command begins as this program, on Linux: it asks to get SIGTERM when its parent ends (PR_SET_PDEATHSIG, prctl(2)),
which stays over an exec. So an attendant that is killed leaves none, even where no container ends with it.
"""

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


def _leashed(words: Sequence[str], python: str) -> Sequence[str]:
    return [python, "-I", "-S", "-c", _LEASH, str(os.getpid()), *words] if sys.platform == "linux" else words


class Command:
    """A running command; a context, after which it runs no more. `printed` is what it prints: it takes no room on a
    disk. What it says goes to `hear`, line by line, from another thread. To be made by a thread that outlives it.

    Raises:
        PodError: it cannot be started.
    """

    def __init__(self, words: Sequence[str], duty: Duty, hear: Callable[[str], None]) -> None:
        try:
            self._process = subprocess.Popen(  # noqa: S603 - words of ours and of the job's
                _leashed(words, duty.python),
                cwd=duty.work,
                env=dict(duty.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise PodError(
                f"the commands of the job cannot be started in the pod: {error.strerror}",
                hint="run the same command again; it resumes",
            ) from error
        self.printed = b""
        self._hear = hear
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._listen, self._collect)]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            if self.wait(FAREWELL) is None:
                self._process.kill()  # what is proven by now stands
        self._finish_reading(FAREWELL / 4)

    def wait(self, seconds: float) -> int | None:
        """The exit code, negative for a signal, as soon as there is one; None when there is none after `seconds`."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._finish_reading(FAREWELL)
        return code

    def _finish_reading(self, seconds: float) -> None:
        for reader in self._readers:
            reader.join(seconds)  # a grandchild may hold the pipe open

    def _collect(self) -> None:
        stream = self._process.stdout
        if stream is not None:
            with stream:
                self.printed = stream.read()

    def _listen(self) -> None:
        stream = self._process.stderr
        if stream is not None:
            with stream:
                while line := stream.readline(LINE):
                    self._hear(line.decode(errors="replace").rstrip())
