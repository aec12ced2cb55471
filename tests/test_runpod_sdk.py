"""The laws of a cloud, and what becomes of strings and trouble, by each release of RunPod's own SDK that is known."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest
from sdk_pythons import RELEASES, python_with

HERE = Path(__file__).parent
FILES = ("cloud_contract", "runpod_strings", "runpod_trouble", "runpod_retired", "runpod_rest", "pod_story")

PROGRAM = """
import sys
sys.path.append(sys.argv[1])  # after the SDK's own packages: only what it does not bring
import pytest
sys.exit(pytest.main(sys.argv[2:]))
"""


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("release", RELEASES)
def test_all_laws_hold_by_runpods_own_sdk(release):
    files = [str(HERE / f"test_{name}.py") for name in FILES]
    options = ["-q", "-p", "no:cacheprovider", "-k", "sdk or retired", *files]

    done = subprocess.run(
        [python_with(release), "-c", PROGRAM, sysconfig.get_path("purelib"), *options],
        cwd=HERE.parent, env={**os.environ, "PYTHONPATH": str(HERE.parent)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
