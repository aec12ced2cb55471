"""What every scenario is handed: the hub, the material, the tools, and a place to work."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from material import REPOSITORY
from measurement import Command, measure, measure_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hub import Hub
    from material import Material
    from measurement import Run

BIN = Path(sys.executable).parent
PROJECTS = {"hf": "from-hf", "modelscope": "from-modelscope"}
"""Which project is filled from which hub."""
CONNECTIONS = "--connections"

_HASH_IN_PYTHON = "import hashlib, sys; print(hashlib.file_digest(open(sys.argv[1], 'rb'), 'sha256').hexdigest())"
_INHERITED = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashing:
    """A program that prints the sha256 of one file."""

    name: str
    argv: tuple[str, ...]


def hashing() -> Hashing:
    """`openssl dgst`; where it is not installed, Python's hashlib, under that name."""
    if shutil.which("openssl"):
        return Hashing(name="openssl dgst", argv=("openssl", "dgst", "-sha256"))
    return Hashing(name="hashlib (openssl is not installed)", argv=(sys.executable, "-c", _HASH_IN_PYTHON))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """`folder` is where runs happen, `where` says so in words; `disk` is on a disk. Each contender has `runs` turns.

    Commands are started `through` another program where they must. `small`: little of everything, to try it out.
    """

    folder: Path
    where: str
    disk: Path
    manifests: Path
    hub: Hub
    material: Material
    runs: int
    small: bool
    through: tuple[str, ...] = ()

    def command(self, place: Path, program: str, *arguments: str, code: int = 0) -> Command:
        """`program` of our own environment, else of the system, with a home below `place`."""
        own = BIN / program
        argv = *self.through, str(own) if own.exists() else program, *arguments
        return Command(argv=argv, cwd=place, environment=environment(self.hub, place), codes=(code,))

    def counted(self, *commands: Command) -> Run:
        """Run `commands` one after the other, and count what leaves the hub."""
        self.material.warm()
        before = self.hub.sent()
        run = measure_all(commands)
        return replace(run, sent=self.hub.sent() - before)

    def fill(self, place: Path, scheme: str, connections: int | None = None) -> Command:
        """`provision fill` of `place`/volume from the hub of `scheme`."""
        (place / "volume").mkdir(exist_ok=True)
        where = "--manifests", str(self.manifests), "--volume", "volume"
        width = () if connections is None else (CONNECTIONS, str(connections))
        return self.command(place, "provision", "fill", PROJECTS[scheme], *where, *width, "--quiet")

    def verify(self, place: Path, *options: str, code: int = 0) -> Command:
        """`provision verify` of `place`/volume."""
        return self.command(place, "provision", "verify", "--volume", "volume", *options, code=code)

    def modelscope(self, place: Path) -> Command:
        """`modelscope download`, which checks sha256."""
        return self.command(place, "modelscope", "download", REPOSITORY, "--local-dir", "volume")

    def hf(self, place: Path, *options: str) -> Command:
        """`hf download`, which does not."""
        return self.command(place, "hf", "download", REPOSITORY, "--local-dir", "volume", *options)

    def hf_verify(self, place: Path, code: int = 0, folder: str = "volume") -> Command:
        """`hf cache verify`, which does nothing else."""
        return self.command(place, "hf", "cache", "verify", REPOSITORY, "--local-dir", folder, code=code)

    def modelscope_verify(self, place: Path) -> Command:
        """`modelscope cache verify`, of what we have filled."""
        return self.command(place, "modelscope", "cache", "verify", REPOSITORY, "--local-dir", "volume/weights")

    def hash_all(self, place: Path, files: Sequence[Path], program: tuple[str, ...] = ()) -> Command:
        """sha256 of `files` with `hashing()`, or another `program`, as many at once as there are cores."""
        names = place / "names"
        names.write_bytes(b"\0".join(bytes(path) for path in files))
        script = 'names=$1 cores=$2; shift 2; exec xargs -0 -n 1 -P "$cores" "$@" < "$names"'
        cores = str(os.cpu_count() or 1)
        argv = ("sh", "-c", script, "sh", str(names), cores, *(program or hashing().argv))
        return Command(argv=argv, cwd=place, environment=environment(self.hub, place))

    @contextmanager
    def elsewhere(self, name: str, material: Material, hub: Hub, through: tuple[str, ...] = ()) -> Iterator[Bench]:
        """The same bench with other `material`, served by another `hub`."""
        other = replace(self, manifests=self.folder / f"{name}-manifests", hub=hub, material=material, through=through)
        other.lock()
        try:
            yield other
        finally:
            shutil.rmtree(other.manifests)

    def lock(self) -> None:
        """Write the manifests, and have them locked."""
        self.manifests.mkdir(parents=True)
        for scheme, project in PROJECTS.items():
            text = f"project: {project}\nmodels:\n  - {{source: '{scheme}://{REPOSITORY}', target: weights}}\n"
            (self.manifests / f"{project}.yaml").write_text(text, encoding="utf-8")
            measure(self.command(self.manifests, "provision", "lock", project, "--manifests", "."))


def environment(hub: Hub, place: Path) -> dict[str, str]:
    """No settings of the caller's, fresh caches, no calls to anyone but the hub; Xet off, since it is another wire."""
    return {
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
        "HOME": str(place),
        "HF_ENDPOINT": hub.endpoint,
        "MODELSCOPE_ENDPOINT": hub.endpoint,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "NO_PROXY": urlsplit(hub.endpoint).hostname or "",
    }
