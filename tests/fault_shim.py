"""`fault_shim.c`, ready to be preloaded into a process of `fill_process`: what it makes go wrong, and its proof."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ALWAYS = ""
VOLUME_ITSELF = ""
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="faults from below Python are made with gcc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong, as `fault_shim.c` takes it."""

    calls: str
    number: int
    on: str = ".partial"
    after: int = 0
    times: str = ALWAYS
    loses: str = ""

    def variables(self, shim: Path, log: Path, volume: Path) -> dict[str, str]:
        """The environment of a process in which it goes wrong; `log` is there as soon as it has."""
        return {
            "LD_PRELOAD": str(shim),
            "FAULT_CALLS": self.calls,
            "FAULT_ON": self.on or str(volume),
            "FAULT_ERRNO": str(self.number),
            "FAULT_AFTER": str(self.after),
            "FAULT_LOSES": self.loses,
            "FAULT_LOG": str(log),
            **({"FAULT_TIMES": self.times} if self.times else {}),
        }


def compiled(folder: Path) -> Path:
    """The shim, made in `folder`."""
    made, source = folder / "fault_shim.so", Path(__file__).with_suffix(".c")
    words = ["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", made, source, "-ldl", "-lpthread"]
    subprocess.run(words, check=True)
    return made
