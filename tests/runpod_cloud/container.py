"""A container: the pod's command as a real process of this machine, started again whenever it exits.

There is no image and no namespace. What marks the processes of a container is its pod's id in their environment
(`RUNPOD_POD_ID`), or the session of the first one; when that one ends, all of them are ended, as in a container.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from runpod_cloud.logs import LONGEST, Log


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds. `start`: from the rent to the first process; `restart`: from an exit to the next one; `grace`: from
    SIGTERM, which the first process gets, to SIGKILL, which all get.
    """

    start: float = 0.0
    restart: float = 0.3
    grace: float = 0.5


class Container:
    """The container of one pod. `folder` is its disk: what is in it stays over restarts."""

    def __init__(self, pod_id: str, argv: list[str], env: dict[str, str], folder: Path, timing: Timing) -> None:
        self.pod_id, self.argv, self.env, self.folder, self.timing = pod_id, argv, env, folder, timing
        self.log = Log()
        self.exits: list[int] = []
        """Exit codes so far; below 0: the signal."""
        self.process: subprocess.Popen[bytes] | None = None
        self.sessions: set[int] = set()
        self.began: float | None = None
        self.ended = threading.Event()
        self.wanted_end = threading.Event()
        self.thread = threading.Thread(target=self._live, name=f"pod {pod_id}", daemon=True)

    def start(self) -> None:
        """Let it live."""
        self.thread.start()

    def crash(self) -> None:
        """All its processes are killed, as by the kernel; it is started again."""
        self._kill()

    def end(self) -> None:
        """It ends for good: SIGTERM, grace, SIGKILL, in the background."""
        self.wanted_end.set()
        threading.Thread(target=self._end, name=f"end of {self.pod_id}", daemon=True).start()

    def kill(self) -> None:
        """It ends for good, now. Returns when nothing of it is left."""
        self.wanted_end.set()
        self._kill()
        if self.thread.is_alive():
            self.thread.join(10)
        self._reap()

    def processes(self) -> list[int]:
        """The ids of all processes that are alive in it."""
        mark = f"RUNPOD_POD_ID={self.pod_id}".encode()
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                state, _, _, session = (place / "stat").read_text().rpartition(")")[2].split()[:4]
                is_marked = mark in (place / "environ").read_bytes().split(b"\0")
                if (is_marked or int(session) in self.sessions) and state not in "ZX":
                    found.append(int(place.name))
        return found

    def _live(self) -> None:
        self.log.add("create container", "system")
        self.wanted_end.wait(self.timing.start)
        while not self.wanted_end.is_set():
            self._run_once()
            self.wanted_end.wait(self.timing.restart)
        self.ended.set()

    def _run_once(self) -> None:
        (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
        self.log.add(f"start container for pod {self.pod_id}: begin", "system")
        try:
            self.process = subprocess.Popen(
                self.argv, cwd=self.folder, env=self.env, start_new_session=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            self.log.add(f"error starting container: failed to create task for container: {error}", "system")
            return
        self.sessions.add(self.process.pid)
        self.began = self.began or time.monotonic()
        if self.wanted_end.is_set():
            self._kill()
        reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        reader.start()
        self.exits.append(self.process.wait())
        self._reap()
        reader.join(10)
        self.log.add(f"container exited with code {self.exits[-1]}", "system")

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        with process.stdout as out:
            while line := out.readline(LONGEST):
                self.log.add(line.decode("utf-8", "replace").rstrip("\n"))

    def _end(self) -> None:
        process = self.process
        if process is not None and process.poll() is None:
            process.terminate()  # the first process alone, as container runtimes do
        if not self.ended.wait(self.timing.grace):
            self._kill()

    def _kill(self) -> None:
        process = self.process
        if process is not None and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        self._reap()

    def _reap(self) -> None:
        """Nothing of it is left: a process that is forked meanwhile is found the next time."""
        for _ in range(100):
            processes = self.processes()
            if not processes:
                return
            for process_id in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process_id, signal.SIGKILL)
            time.sleep(0.01)
