"""A pod's processes on this machine: told from all others, so that no other is ever taken for them and ended.

A process is known by its number and the moment at which it started, since numbers are used again. Its children are
known by their session while it lives, and by a mark in their environment also when it does not, where there is a /proc.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator

MARK = "PROVISION_POD"
"""A variable that every process of a pod has: the pod's id."""

_PROC = Path("/proc")
_STAT = _PROC / "self/stat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """The first process of a pod, leader of a session of its own. `mark`: `NAME=VALUE`, in the environment of all.

    `started` is in the words of the system, `boot` and `namespace` tell where `pid` means anything.
    """

    pid: int
    started: str
    boot: str
    namespace: str
    mark: str

    @property
    def is_hidden(self) -> bool:
        """Whether it lives, if it does, where it cannot be seen: in another container on this machine."""
        boot, namespace = _place()
        return self.boot == boot and self.namespace != namespace

    @property
    def leads(self) -> bool:
        """Whether the first process itself is alive, and is still the one that was started."""
        return (self.boot, self.namespace) == _place() and _started(self.pid) == self.started

    @property
    def is_alive(self) -> bool:
        """Whether any of them is alive; also where that cannot be told."""
        return self.is_hidden or self.leads or bool(self._marked())

    def send(self, number: signal.Signals) -> None:
        """A signal to all of them, and to no other."""
        if self.leads:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)
        for pid in self._marked():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def document(self) -> dict[str, Any]:
        """As a record holds it."""
        return asdict(self)

    def _marked(self) -> list[int]:
        """Those with the mark that live outside the leader's group, or after it."""
        if self.boot != _place()[0]:
            return []
        mark, leads = self.mark.encode(), self.leads
        return [pid for pid in _numbers() if mark in _environment(pid) and not (leads and _group(pid) == self.pid)]


def process_of(pid: int, mark: str) -> Process:
    """The process with the number `pid`, a child of ours that nobody has waited for yet."""
    boot, namespace = _place()
    return Process(pid=pid, started=_started(pid), boot=boot, namespace=namespace, mark=mark)


def process_marked(mark: str) -> Process:
    """One of which nothing is known but the mark."""
    boot, namespace = _place()
    return Process(pid=0, started="unknown", boot=boot, namespace=namespace, mark=mark)


def _place() -> tuple[str, str]:
    if not _STAT.exists():
        return "", ""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - a link to nowhere


def _started(pid: int) -> str:
    """When it started; "" where there is no such process, or only what is left until its parent has looked."""
    state, started = _life(pid) if _STAT.exists() else _told(pid)
    return "" if state[:1] in {"Z", "X"} else started


def _life(pid: int) -> tuple[str, str]:
    """State and start time: fields 3 and 22 of its stat (proc_pid_stat(5)); its name may hold anything."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "", ""
    return fields[0], fields[19]


def _told(pid: int) -> tuple[str, str]:
    """The same where there is no /proc: macOS."""
    told = subprocess.run(  # noqa: S603 - a number
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)],
        env={"LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    state, _, started = told.stdout.strip().partition(" ")
    return state, " ".join(started.split())


def _numbers() -> Iterator[int]:
    with suppress(FileNotFoundError):
        for path in _PROC.iterdir():
            if path.name.isdecimal():
                yield int(path.name)


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # another user's, or gone
        return []


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
