"""Fetches wheels with whichever pip there is. Nothing is installed and nothing from a package is run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from provision.errors import InputError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provision.demo.packages import Package

TIME_LIMIT = 90
"""Seconds after which the packages are given up: 95 MB that take longer are no demonstration."""

# One try, short waits: without a network this must end soon. Wheels only: a source package would run its own code.
_OPTIONS = (
    *("download", "--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check"),
    *("--quiet", "--retries", "1", "--timeout", "10"),
)


def download(packages: Sequence[Package], into: Path, *, environment: Mapping[str, str]) -> None:
    """Fetch the wheels of `packages` into the folder `into`. `environment` is what pip sees: its indexes and proxies.

    Raises:
        InputError: there is no pip.
        Unreachable: pip could not get them, or not within TIME_LIMIT.
    """
    command = [*_pip(environment), *_OPTIONS, "--dest", str(into), *(package.requirement for package in packages)]
    try:
        ended = subprocess.run(  # noqa: S603 - our own words only
            command, env=dict(environment), capture_output=True, text=True, check=False, timeout=TIME_LIMIT
        )
    except subprocess.TimeoutExpired as error:
        raise Unreachable(f"the package index did not deliver within {TIME_LIMIT} s") from error
    if ended.returncode:
        raise Unreachable(f"pip download: {_last_error(ended.stderr)}")


def _pip(environment: Mapping[str, str]) -> list[str]:
    """How pip is started: the running Python's own, else the one that Python carries for `ensurepip`, else uv's."""
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    carried = find_spec("ensurepip")
    if carried is not None and carried.origin:
        # pip runs from its wheel: nothing is installed into somebody's environment for a demonstration.
        for wheel in sorted(Path(carried.origin).parent.glob("_bundled/pip-*.whl")):
            return [sys.executable, str(wheel / "pip")]
    uv = shutil.which("uv", path=environment.get("PATH"))
    if uv:
        return [uv, "tool", "run", "pip"]
    raise InputError(
        "this Python has no pip to fetch packages with", hint="python -m ensurepip, or: uv pip install pip"
    )


def _last_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it failed and did not say why"])[-1].removeprefix("ERROR: ")
