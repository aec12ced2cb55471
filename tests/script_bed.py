"""A bed for scripts/download_models.sh: a hub on loopback, a volume, and a shell with an empty environment."""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fill_bed
from hub_kinds import HUGGINGFACE

from provision.lock import dumps
from provision.pods.job import COMMAND, Job, Task, parcel
from provision.pods.lease import new_lease
from provision.pods.status import LINE, RESULT_LINE

if TYPE_CHECKING:
    from collections.abc import Callable

    from misbehaving_hub import MisbehavingHub

    from provision.lock import Lock

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts/download_models.sh"
SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)] + ["busybox sh"] * bool(shutil.which("busybox"))
PATH = "/usr/local/bin:/usr/bin:/bin"
TOKEN = "status-token-of-the-bed"
KEY = "rpa_KEYOFTHEPODKEYOFTHEPOD"
PROJECT = "bed"


@dataclass(frozen=True)
class Ended:
    """A shell that has ended."""

    code: int
    out: str
    err: str

    @property
    def statuses(self) -> list[dict[str, Any]]:
        """What was told of the job in the log."""
        return [json.loads(line[len(LINE) :]) for line in self.out.splitlines() if line.startswith(LINE)]

    @property
    def result(self) -> dict[str, Any]:
        """The result, from the log."""
        parts = [line[len(RESULT_LINE) :].split(" ") for line in self.out.splitlines() if line.startswith(RESULT_LINE)]
        assert [number for number, _ in parts] == [f"{at}/{len(parts)}" for at in range(1, len(parts) + 1)]
        return json.loads(gzip.decompress(base64.b64decode("".join(part for _, part in parts))))


@dataclass
class ScriptBed:
    """One hub, one volume, one place for everything else; what is started here is ended here."""

    hub: MisbehavingHub
    place: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    ports: int = 0

    @property
    def volume(self) -> Path:
        return self.place / "volume"

    @property
    def temporary(self) -> Path:
        return self.place / "tmp"

    def lock(self, *paths: str) -> Lock:
        commit = self.hub.folder.repository("hf", fill_bed.NAME).snapshot().commit
        return fill_bed.lock_of(HUGGINGFACE, commit, *map(fill_bed.file_of, paths or (fill_bed.SMALL, fill_bed.BIG)))

    def environment(self, **more: str) -> dict[str, str]:
        """What an empty shell has, a Python with the package, and where the hub is."""
        return {
            "PATH": PATH,
            "TMPDIR": str(self.temporary),
            "HF_ENDPOINT": self.hub.endpoint,
            "PROVISION_PYTHON": sys.executable,
            **more,
        }

    def by_hand(self, shell: str, *words: str, lock: Lock | None = None, **more: str) -> subprocess.Popen[str]:
        """The script in a folder with `manifests/`."""
        manifests = self.place / "project/manifests"
        manifests.mkdir(parents=True, exist_ok=True)
        (manifests / f"{PROJECT}.lock.json").write_text(dumps(lock or self.lock()))
        return self.start([*shell.split(), str(SCRIPT), *words], self.environment(**more))

    def lease(self, seconds: float = 600, now: float | None = None) -> dict[str, str]:
        """What a pod is told about its lease."""
        lease = new_lease(PROJECT, time.time() if now is None else now, seconds, os.urandom(4).hex())
        return {
            "PROVISION_LEASE": str(lease),
            "PROVISION_DEADLINE": str(int(lease.deadline)),
            "PROVISION_STATUS_TOKEN": TOKEN,
            "PROVISION_STATUS_PORT": "0",
            "PROVISION_VOLUME": str(self.volume),
            "PROVISION_MOUNT": "folder",
            "PROVISION_GRACE": "0",
        }

    def job(self, lock: Lock | None = None, task: Task = Task.FILL, **more: Any) -> dict[str, str]:
        """A job, as it travels."""
        return parcel(Job(task=task, locks=(lock or self.lock(),), **more), SCRIPT.read_bytes())

    def pod(self, shell: str, *parts: dict[str, str], **more: str) -> subprocess.Popen[str]:
        """A pod, by its own command, whose script runs in `shell`."""
        environment = self.environment()
        for part in (*parts, more):
            environment |= part
        return self.start(["sh", "-c", COMMAND[2].replace("exec sh", f"exec {shell}")], environment)

    def start(self, words: list[str], environment: dict[str, str], out: int = subprocess.PIPE) -> subprocess.Popen[str]:
        self.temporary.mkdir(exist_ok=True)
        self.volume.mkdir(exist_ok=True)
        (self.place / "project").mkdir(exist_ok=True)
        process = subprocess.Popen(
            words, env=environment, cwd=self.place / "project", stdin=subprocess.DEVNULL, stdout=out,
            stderr=out, text=True, start_new_session=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def hostile(self, *names: str) -> Path:
        """Modules where the script is started. The file that they make when they run."""
        here, place = self.place / "project", self.place / "they-ran"
        here.mkdir(exist_ok=True)
        for name in names:
            (here / f"{name}.py").write_text(f"open({str(place)!r}, 'a').write({name!r})\nraise SystemExit(1)\n")
        return place

    def close(self) -> None:
        for process in self.started:
            kill(process)
            process.communicate()

    def work(self, lease: dict[str, str]) -> Path:
        """The pod's folder for the job."""
        return self.temporary / lease["PROVISION_LEASE"]

    def kept(self, lease: dict[str, str]) -> dict[str, Any]:
        """The marker on the volume."""
        return json.loads((self.volume / f".provision/jobs/{lease['PROVISION_LEASE']}.json").read_text())

    def standing(self) -> set[str]:
        """The names of the final files that are on the volume."""
        return {path.name for path in (self.volume / "models").glob("[!.]*")} if self.volume.exists() else set()


def alive(process: subprocess.Popen[str]) -> list[int]:
    """All processes of its session, which it leads, as long as there are any."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, _, session = (place / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) == process.pid and state not in "ZX":
                found.append(int(place.name))
    return found


def running(process: subprocess.Popen[str], word: bytes) -> list[int]:
    """Those with that argument."""
    found = []
    for number in alive(process):
        with suppress(OSError):  # it has ended meanwhile
            if word in Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0"):
                found.append(number)
    return found


def kill(process: subprocess.Popen[str]) -> None:
    """All of them, as when a container is taken away."""
    while numbers := alive(process):
        for number in numbers:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)


def ended(process: subprocess.Popen[str], seconds: float = 60) -> Ended:
    """Wait for it."""
    out, err = process.communicate(timeout=seconds)
    return Ended(process.returncode, out, err)


def until(check: Callable[[], Any], seconds: float = 30) -> Any:
    """What `check` answers as soon as that is something."""
    last = time.monotonic() + seconds
    while not (answer := check()):
        assert time.monotonic() < last, "it never came"
        time.sleep(0.02)
    return answer
