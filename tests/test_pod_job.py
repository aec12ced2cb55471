"""A job travels as environment variables, whole, with nothing in it to quote."""

from __future__ import annotations

import base64
import io
import json
import random
import re
import string
import subprocess
import tarfile
from dataclasses import replace

import pytest
from small_volume import DATA, lock_of

from provision.errors import InputError
from provision.lock import LockedFile, dumps
from provision.pods.job import COMMAND, PARCEL, PARCEL_LIMIT, SCRIPT, VARIABLE_LIMIT, Job, Task, parcel

ODD = b"project: p  # \"quotes\" 'and' $(more) `than` \\that\n\xc3\xa9\n\x00"


def job(**changed: object) -> Job:
    return replace(Job(task=Task.FILL, locks=(lock_of(DATA),), manifests={"p": ODD}), **changed)


def unpacked(variables: dict[str, str]) -> dict[str, bytes]:
    names = sorted((name for name in variables if name.startswith(PARCEL)), key=lambda name: int(name[len(PARCEL) :]))
    packed = base64.b64decode("".join(variables[name] for name in names), validate=True)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}


def large(files: int):
    made = random.Random(7)
    lock = lock_of(DATA)
    many = tuple(
        LockedFile(path=f"{n}.bin", target=f"models/{n}.bin", size=1, sha256=made.randbytes(32).hex())
        for n in range(files)
    )
    return replace(lock, models=(replace(lock.models[0], files=many),))


def test_what_is_sent_is_what_arrives():
    files = unpacked(parcel(job(fill=("--connections", "4"), reports=(".html",), wheels={"a.whl": b"\x00PK"}), b"#!"))

    assert files["manifests/p.yaml"] == ODD
    assert files["manifests/p.lock.json"] == dumps(lock_of(DATA)).encode()
    assert files["a.whl"] == b"\x00PK"
    assert json.loads(files["job.json"]) == {
        "schema": 1, "task": "fill", "projects": ["p"], "fill": ["--connections", "4"], "verify": [],
        "reports": [".html"],
    }  # fmt: skip


def test_no_value_has_a_letter_that_any_shell_or_query_could_misread():
    variables = parcel(job(), b"#!/bin/sh\n" + ODD)

    plain = set(string.ascii_letters + string.digits + "+/=")
    assert all(set(value) <= plain for value in variables.values())
    assert all(re.fullmatch(r"PROVISION_[A-Z]+(_\d+)?", name) for name in variables)


def test_a_long_parcel_is_split_below_the_kernels_limit_and_joins_again():
    lock = large(5000)
    variables = parcel(job(locks=(lock,)), b"#!")

    assert len(variables) > 3
    assert all(len(name) + len(value) < 128 * 1024 for name, value in variables.items())
    assert max(map(len, variables.values())) == VARIABLE_LIMIT
    assert unpacked(variables)["manifests/p.lock.json"] == dumps(lock).encode()


def test_what_no_process_could_be_handed_is_refused_before_anything_is_rented():
    with pytest.raises(InputError, match="too large to travel") as caught:
        parcel(job(wheels={"a.whl": random.Random(1).randbytes(PARCEL_LIMIT)}), b"#!")
    assert caught.value.hint


def test_the_same_job_gives_the_same_variables():
    assert parcel(job(), b"#!") == parcel(job(), b"#!")


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_the_pods_command_runs_the_script_in_any_shell_without_a_disk(shell):
    script = b'printf \'%s\\n\' "$0" "$PROVISION_PARCEL_0"; exit 5\n'
    variables = parcel(job(), script)

    done = subprocess.run(
        [shell, *COMMAND[1:]], capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": "/dev/null", "PROVISION_LEASE": "provision-p-1", **variables},
    )  # fmt: skip

    assert done.returncode == 5, done.stderr
    assert done.stdout.splitlines() == ["download_models.sh", variables[f"{PARCEL}0"]]


def test_the_script_has_a_variable_of_its_own():
    """So that whatever is wrong with the parcel, there is somebody who gives the pod back."""
    assert base64.b64decode(parcel(job(), b"#!/bin/sh\n")[SCRIPT]) == b"#!/bin/sh\n"
