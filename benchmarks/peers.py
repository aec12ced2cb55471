"""Who else could fetch the files: what each of them runs, and what it proves by that."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import PROJECTS, hashing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench import Bench
    from measurement import Command

STREAMS = 16  # of aria2c for one file and of curl for all: the most that aria2c allows


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """`commands` fetch the material to `volume` below the folder they are handed. `needs`: a program."""

    name: str
    proves: str
    scheme: str
    commands: Callable[[Bench, Path], list[Command]]
    needs: str | None = None

    @property
    def absent(self) -> str | None:
        """Why it cannot run here."""
        missing = self.needs is not None and shutil.which(self.needs) is None
        return f"skipped: {self.needs} is not installed" if missing else None


def ours(scheme: str) -> Tool:
    """`provision fill` from the hub of `scheme`."""
    name = {"modelscope": "ModelScope", "hf": "Hugging Face"}[scheme]
    return Tool(
        name=f"**provision fill**, {name}",
        proves="sha256, headers",
        scheme=scheme,
        commands=lambda bench, place: [bench.fill(place, scheme)],
    )


MODELSCOPE = Tool(
    name="modelscope download",
    proves="sha256",
    scheme="modelscope",
    commands=lambda bench, place: [bench.modelscope(place)],
)
HF = Tool(
    name="hf download, hf cache verify",
    proves="sha256",
    scheme="hf",
    commands=lambda bench, place: [bench.hf(place), bench.hf_verify(place)],
)
HF_ALONE = Tool(name="hf download", proves="nothing", scheme="hf", commands=lambda bench, place: [bench.hf(place)])
ARIA2 = Tool(
    name=f"aria2c -x{STREAMS} -s{STREAMS} -k1M",
    proves="sha256",
    scheme="modelscope",
    commands=lambda bench, place: [aria2(bench, place)],
    needs="aria2c",
)
CURL = Tool(
    name="curl --parallel",
    proves="nothing",
    scheme="modelscope",
    commands=lambda bench, place: [curl(bench, place)],
    needs="curl",
)
CURL_AND_HASH = Tool(
    name=f"curl --parallel, {hashing().name}",
    proves="sha256",
    scheme="modelscope",
    commands=lambda bench, place: [curl(bench, place), bench.hash_all(place, bench.material.copy)],
    needs="curl",
)


def aria2(bench: Bench, place: Path, *options: str) -> Command:
    """All files through an input file, each with its sha256.

    Files are not allocated ahead, as a network volume has it; on a disk aria2c would do so by default (`prealloc`).
    """
    digests = _digests(bench.manifests)
    given = place / "aria2.txt"
    given.write_text(
        "".join(
            f"{bench.hub.address(path.name)}\n out={path.name}\n checksum=sha-256={digests[path.name]}\n"
            for path in bench.material.files
        ),
        encoding="utf-8",
    )
    width = f"-x{STREAMS}", f"-s{STREAMS}", "-k1M", "--file-allocation=none"
    quiet = "--no-conf", "--quiet", "--dir=volume", f"--input-file={given}"
    return bench.command(place, "aria2c", *width, *quiet, *options)


def curl(bench: Bench, place: Path) -> Command:
    """All files through a config file."""
    given = place / "curl.txt"
    given.write_text(
        "".join(
            f'url = "{bench.hub.address(path.name)}"\noutput = "volume/{path.name}"\n' for path in bench.material.files
        ),
        encoding="utf-8",
    )
    width = "--parallel", "--parallel-immediate", "--parallel-max", str(STREAMS), "--create-dirs", "--location"
    return bench.command(place, "curl", "-q", *width, "--fail", "--silent", "--show-error", "--config", str(given))


def _digests(manifests: Path) -> dict[str, str]:
    """The sha256 of every file, from the lock."""
    lock = json.loads((manifests / f"{PROJECTS['modelscope']}.lock.json").read_bytes())
    return {file["path"]: file["sha256"] for model in lock["models"] for file in model["files"]}
