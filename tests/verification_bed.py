"""A volume to verify: files of every layout, their lock, and verifications of it in this process or one of its own."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volume_material import NOW, content, promised

from provision.crew import Stop
from provision.layout import Layout, Placement, target_of
from provision.lock import Lock, LockedFile, LockedModel, dumps
from provision.progress import Silent
from provision.retry import Patience, Retry
from provision.verification import Mode, Reading, Verification, verify
from provision.volume.mount import Volume

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMIT = "a" * 40
_NOBODY = 65534


@dataclass(slots=True)
class Clock:
    """Seconds since the epoch, moved by hand."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


def reading(mode: Mode | str = Mode.FULL, **asked: Any) -> Reading:
    """A reading that waits for nothing."""
    stop = asked.pop("stop", None) or Stop()
    return Reading(
        mode=Mode(mode),
        files_at_once=asked.pop("files_at_once", 1 if mode == "quick" else 2),
        progress=asked.pop("progress", Silent()),
        stop=stop,
        clock=asked.pop("clock", Clock()),
        retry=Retry(patience=Patience(attempts=2, first_wait=0.0), sleep=lambda _: None),
        draw=asked.pop("draw", random.Random(7)),
        **asked,
    )


@dataclass(slots=True)
class Bed:
    """A volume at `root` and what it was promised. `clock` dates what verifications leave."""

    root: Path
    locks: list[Lock]
    clock: Clock

    def verify(self, mode: Mode | str = Mode.FULL, *, records: bool = True, **asked: Any) -> Verification:
        """A verification in this process; it leaves records but where `records` is False."""
        with Volume.open(str(self.root)) as volume, Volume.open(str(self.runs), create=True) as runs:
            asked.setdefault("clock", self.clock)
            left = {"records": volume, "run": runs} if records else {}
            return verify(volume, self.locks, reading(mode, **left, **asked))

    @property
    def runs(self) -> Path:
        """Where this machine keeps the records of runs under way."""
        return self.root.with_name("runs")

    def states(self, mode: Mode | str = Mode.FULL, **asked: Any) -> dict[str, str]:
        """The state of each file."""
        return {finding.target: finding.state.value for finding in self.verify(mode, **asked).findings}

    def as_nobody(self, mode: Mode | str, **asked: Any) -> Verification:
        """A verification by a user who owns nothing; the volume was opened before. Root becomes nobody for a while."""
        self.root.chmod(0o755)
        with Volume.open(str(self.root)) as volume:
            is_root = os.geteuid() == 0
            if is_root:
                os.seteuid(_NOBODY)
            try:
                return verify(volume, self.locks, reading(mode, clock=self.clock, **asked))
            finally:
                if is_root:
                    os.seteuid(0)

    def at(self, target: str) -> Path:
        return self.root / target

    @property
    def files(self) -> list[LockedFile]:
        return [file for lock in self.locks for _, file in lock.files()]


def bed_of(root: Path, data: Mapping[str, bytes], layout: Layout = Layout.TREE, project: str = "p") -> Bed:
    """A volume that holds `data`, by path in the repository `acme/weights`, in `layout`; nothing is proven yet."""
    placement = Placement(layout=layout, folder="models", repository="acme/weights", revision="main", commit=COMMIT)
    files = []
    for path, held in data.items():
        target = target_of(path, placement)
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        (root / target).write_bytes(held)
        files.append(replace(promised(held, target), path=path))
    if layout is Layout.HF_CACHE:
        ref = root / "models/models--acme--weights/refs/main"
        ref.parent.mkdir()
        ref.write_text(COMMIT)
    return Bed(root=root, locks=[lock_of(files, layout, project)], clock=Clock())


def lock_of(files: list[LockedFile], layout: Layout = Layout.TREE, project: str = "p", root: str = "models") -> Lock:
    model = LockedModel(
        name="weights", source="hf://acme/weights", revision="main", commit=COMMIT, layout=layout, license=None,
        meaning_sha256="b" * 64, files=tuple(files),
    )  # fmt: skip
    return Lock(project=project, root=root, manifest_sha256="c" * 64, models=(model,))


def flip(path: Path, at: int = 0, *, keep_times: bool = False) -> None:
    """One bit is another one from now on, and the time of change a later one, however coarse the clock is."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + (0 if keep_times else 10**9)))


def sizes(*pieces: float) -> dict[str, bytes]:
    """Files of so many pieces each: `0.bin`, `1.bin`, …"""
    return {f"{index}.bin": content(size, index) for index, size in enumerate(pieces)}


_PROCESS = """
import json, pathlib, signal, sys, threading, time
from provision.crew import Stop
from provision.errors import ProvisionError
from provision.lock import loads
from provision.progress import Silent
from provision.retry import Patience, Retry
from provision.verification import Mode, Reading, verify
from provision.volume.mount import Volume

root, lock, asked = sys.argv[1], loads(pathlib.Path(sys.argv[2]).read_bytes(), file="lock"), json.loads(sys.argv[3])
stop, halt = Stop(), asked.pop("halt", None)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))

class Told(Silent):
    def task(self, name, size):
        print("reading", name, flush=True)
        if name == halt:
            threading.Event().wait()  # until it is killed
        return self

with Volume.open(root) as volume, Volume.open(root + "/../runs", create=True) as runs:
    reading = Reading(
        mode=Mode(asked.pop("mode", "full")), files_at_once=asked.pop("files_at_once", 1), progress=Told(), stop=stop,
        clock=time.time, retry=Retry(patience=Patience(attempts=2, first_wait=0.0), sleep=lambda _: None),
        records=volume, run=runs, **asked,
    )
    done = verify(volume, [lock], reading)
document = {
    "states": {finding.target: [finding.state.value, finding.detail] for finding in done.findings},
    "notes": {note.kind: note.text for note in done.notes},
    "peak": next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1],
}
print(json.dumps(document), flush=True)
"""


def start(bed: Bed, place: Path, variables: Mapping[str, str] | None = None, **asked: Any) -> subprocess.Popen[str]:
    """A verification of the bed's first lock in a process of its own; it says what it begins to read, and reads no
    further than `halt`, where that is asked.
    """
    (place / "lock").write_text(dumps(bed.locks[0]))
    return subprocess.Popen(
        [sys.executable, "-c", _PROCESS, str(bed.root), str(place / "lock"), json.dumps(asked)],
        env={**os.environ, **(variables or {})},
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it found."""
    with process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    document: dict[str, Any] = json.loads(out.splitlines()[-1])
    return document
