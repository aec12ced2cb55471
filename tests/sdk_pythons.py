"""Pythons that have RunPod's own SDK, one for each release; made once, and kept for all tests and runs."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import venv
from pathlib import Path

RELEASES = ("1.12.0", "2.0.0rc1")
KEPT = Path(os.environ.get("PROVISION_TEST_SDKS") or Path(__file__).parent.parent / ".cache/sdks")


def python_with(release: str) -> str:
    """A Python that has that release (up to 311 MB are fetched for it)."""
    place = KEPT / release
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / f"{release}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other tests may want it at the same time
        if not (place / "bin/python").exists():
            _make(place, f"runpod=={release}")
    return str(place / "bin/python")


def _make(place: Path, package: str) -> None:
    made = place.with_name(f"{place.name}.{os.getpid()}")
    uv = shutil.which("uv")
    if uv:
        subprocess.run([uv, "venv", "-q", str(made)], check=True)
        command = [uv, "pip", "install", "-q", "--python", str(made / "bin/python")]
    else:
        venv.create(made, with_pip=True)
        command = [str(made / "bin/python"), "-m", "pip", "install", "-q"]
    subprocess.run([*command, package], check=True, capture_output=True)
    made.rename(place)  # it is used as `bin/python -m …` only, which does not mind
