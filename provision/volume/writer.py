"""Who writes: an identity that no other process has, and the facts by which others can tell that it is dead."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass
from typing import Any

_PID_LIMIT = 2**22  # Linux gives no larger process id (PID_MAX_LIMIT)
_BOOT = re.compile(r"[0-9a-f-]{36}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A process, for whoever shares its kernel: boot id, inode of its pid namespace, pid, start time in clock ticks.

    The empty Owner is one of which nothing is known: it can never be shown to be dead.
    """

    boot: str = ""
    pidns: int = 0
    pid: int = 0
    started: int = 0

    def document(self) -> dict[str, Any]:
        """As a journal holds it."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """One process that writes to volumes. `id` is eight hexadecimal digits and part of the names of its files."""

    id: str
    owner: Owner


def new_writer() -> Writer:
    """A writer for this process."""
    return Writer(id=os.urandom(4).hex(), owner=this_process())


def this_process() -> Owner:
    """The facts of this process; the empty Owner where there is no Linux /proc to read them from."""
    try:
        boot = _text("/proc/sys/kernel/random/boot_id").strip()
        pidns = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 - as _text
        pid = os.getpid()
        _, started = _life(pid)
    except (OSError, ValueError, IndexError):
        return Owner()
    return Owner(boot=boot, pidns=pidns, pid=pid, started=started)


def owner_from(document: object) -> Owner:
    """The owner that a journal names; the empty one when it is not fit to be believed."""
    if not isinstance(document, dict):
        return Owner()
    boot = document.get("boot")
    pidns, pid, started = (_positive(document.get(key)) for key in ("pidns", "pid", "started"))
    if not isinstance(boot, str) or not _BOOT.fullmatch(boot) or not (pidns and started and 0 < pid <= _PID_LIMIT):
        return Owner()
    return Owner(boot=boot, pidns=pidns, pid=pid, started=started)


def _positive(value: object) -> int:
    return value if type(value) is int and value > 0 else 0


def is_dead(owner: Owner, here: Owner) -> bool:
    """Whether `owner` certainly runs no more, as seen from `here`, this process.

    Certain means: the same boot of the same kernel, the same pid namespace, and no such process, or another one under
    its number. Inodes of namespaces are used again only after the namespace, and with it every process in it, is gone.
    """
    if not owner.pid or (owner.boot, owner.pidns) != (here.boot, here.pidns):
        return False
    if _is_gone(owner.pid):
        return True
    try:
        state, started = _life(owner.pid)
    except (OSError, ValueError, IndexError):
        return False
    return started != owner.started or state in {"Z", "X"}


def _is_gone(pid: int) -> bool:
    """Asked of kill, not of /proc: mounted with hidepid, that shows no processes of other users."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _life(pid: int) -> tuple[str, int]:
    """State and start time of a process: fields 3 and 22 of its stat (proc_pid_stat(5)); its name may hold anything."""
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - pathlib costs a worker's start 3 ms
        return file.read()
