"""The laws of a cloud, and what becomes of strings and trouble, by each release of RunPod's own SDK that is known."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = ("cloud_contract", "runpod_strings", "runpod_trouble", "runpod_retired", "runpod_rest")
RELEASES = ("1.12.0", "2.0.0rc1")

PROGRAM = """
import sys
sys.path.append(sys.argv[1])  # after the SDK's own packages: only what it does not bring
import pytest
sys.exit(pytest.main(sys.argv[2:]))
"""


@pytest.fixture
def python(request, tmp_path) -> str:
    """A Python with that release: PROVISION_TEST_SDKS/1.12.0/bin/python, else a new one (up to 311 MB)."""
    kept = Path(os.environ.get("PROVISION_TEST_SDKS", os.devnull)) / request.param / "bin/python"
    if kept.exists():
        return str(kept)
    venv.create(tmp_path / "venv", with_pip=True)
    made = str(tmp_path / "venv/bin/python")
    subprocess.run([made, "-m", "pip", "install", "-q", f"runpod=={request.param}"], check=True, capture_output=True)
    return made


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("python", RELEASES, indirect=True)
def test_all_laws_hold_by_runpods_own_sdk(python):
    files = [str(HERE / f"test_{name}.py") for name in FILES]
    options = ["-q", "-p", "no:cacheprovider", "-k", "sdk or retired", *files]

    done = subprocess.run(
        [python, "-c", PROGRAM, sysconfig.get_path("purelib"), *options],
        cwd=HERE.parent, env={**os.environ, "PYTHONPATH": str(HERE.parent)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
