"""`provision fill` as its users run it: a process of its own, with an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from fill_bed import TOKEN

from provision.lock import dumps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fill_bed import Bed

    from provision.lock import Lock

_MEASURED = """
import pathlib, sys
from provision.cli import run
code = run(sys.argv[1:])
sys.stderr.write(pathlib.Path("/proc/self/status").read_text())
sys.exit(code)
"""

_CHANGED = """
import sys
from provision.cli import main
{change}
main(sys.argv[1:])
"""

_NO_RELIEF = "from provision.transfer import relief; relief.SOON = float('inf')"
"""Lest it depends on who is faster which bytes come twice."""

_CLAIMS_BROKEN = "from provision.volume.claims import Claims; Claims.take = lambda claims, name: True"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A fill that has ended. `document` is its JSON report, None when it gave none; sizes in bytes."""

    code: int
    document: dict | None
    stderr: str

    @property
    def peak(self) -> int:
        """Most memory it ever held, where it was measured."""
        line = next(line for line in self.stderr.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024


def start(
    bed: Bed,
    lock: Lock,
    *flags: str,
    measured: bool = False,
    claims: bool = True,
    change: str = "",
    variables: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[str]:
    """A fill of the bed's volume, under way, with `variables` in its environment; without `claims` it is told that all
    of them are its own, and `change` is a line of Python for other constants.
    """
    home = bed.home
    home.mkdir(exist_ok=True)
    project = home / f"{lock.project}.lock.json"
    project.write_text(dumps(lock))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "MODELSCOPE_CACHE": str(home / "modelscope"),
        "LC_ALL": "C.UTF-8",
        bed.kind.endpoint_variable: bed.hub.endpoint,
        bed.kind.token_variable: TOKEN,
        **variables,
    }
    changes = [_NO_RELIEF, change, "" if claims else _CLAIMS_BROKEN]
    program = ["-c", _MEASURED if measured else _CHANGED.format(change="\n".join(changes))]
    words = ["fill", "--frozen", str(project), "--volume", str(bed.volume), "--format", "json", *flags]
    return subprocess.Popen(
        [sys.executable, "-W", "always::ResourceWarning", *program, *words],
        env=environment,
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> Ended:
    """Wait for it. The token is nowhere in what it said, and nothing was left open."""
    with process:
        out, err = process.communicate(timeout=60)
    assert TOKEN not in out + err
    assert "Traceback" not in err, err
    if process.returncode >= 0:
        assert "ResourceWarning" not in err
    return Ended(code=process.returncode, document=json.loads(out) if out else None, stderr=err)


def run(bed: Bed, lock: Lock, *flags: str, measured: bool = False) -> Ended:
    """A fill from start to end."""
    return end(start(bed, lock, *flags, measured=measured))
