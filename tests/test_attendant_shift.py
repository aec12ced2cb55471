"""The attendant's shift, with a command of the test's own: what it hands on, when it ends, what a full disk does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from attendant_bed import LEASE, AttendantBed, wait_for

from provision.errors import ExitCode
from provision.pods.attendant.attendance import attend
from provision.pods.attendant.marker import Marker

FULL = "/dev/full"
GOOD = '{"files": [], "counts": {"ok": 1}}'


@pytest.fixture
def bed(tmp_path):
    (tmp_path / "volume").mkdir()
    document = {"schema": 1, "task": "verify", "projects": ["p"], "fill": [], "verify": [], "reports": [".html"]}
    (tmp_path / "job.json").write_text(json.dumps(document))
    bed = AttendantBed(tmp_path)
    with bed.service:
        return bed  # its own is not needed


def stand_in(bed, program: str, **changes):
    """The bed's duty, whose Python is a shell that says what `program` does; time goes on as it does."""
    python = bed.work / "python"
    python.write_text(f'#!/bin/sh\ncase $1 in -I) exec {sys.executable} "$@" ;; esac\n{program}\n')
    python.chmod(0o755)
    now = time.time()
    real = {"deadline": now + 60, "clock": time.time, "ticks": time.monotonic, "python": str(python)}
    return replace(bed.duty, environment={"PATH": os.environ["PATH"]}, **{**real, **changes})


def kept(bed):
    status, result = Marker(bed.duty.volume, LEASE).read()
    return status, json.loads(result)


def test_a_job_on_a_full_disk_is_done_kept_on_the_volume_and_told(bed) -> None:
    for name in ("result.json", "port", "ended.tmp"):
        (bed.work / name).symlink_to(FULL)
    (bed.work / "report.html").write_bytes("caf\u00e9".encode()[:-1])
    duty = stand_in(bed, f"echo '{GOOD}'", grace=0.3)
    assert attend(duty) == ExitCode.DONE

    status, result = kept(bed)
    assert (status.phase, status.exit_code, result["verify"]) == ("ended", 0, json.loads(GOOD))
    assert result["reports"] == {".html": "caf\ufffd"}
    assert "cannot be written down: No space left on device" in status.notes[0]
    assert (bed.work / "ended").exists(), "the script asks whether it has ended"

    said = len(bed.said)
    assert attend(duty) == ExitCode.DONE, "and does no work again"
    assert [line for line in bed.said[said:] if "provision-status: " in line]
    assert kept(bed)[1]["ended"] == result["ended"]


def test_a_command_that_cannot_be_started_is_told(bed) -> None:
    assert attend(replace(stand_in(bed, ""), python=str(bed.work / "absent"))) == ExitCode.POD
    assert "cannot be started in the pod: No such file or directory" in kept(bed)[0].error


def test_a_clock_that_is_set_back_puts_no_deadline_off(bed) -> None:
    began = time.time()
    times = iter([began])
    duty = stand_in(bed, "exec sleep 60", deadline=began + 1, clock=lambda: next(times, began - 3600))
    assert attend(duty) == ExitCode.POD
    assert time.time() < began + 10
    assert "deadline" in kept(bed)[0].error


def test_the_result_is_served_no_longer_than_to_the_deadline(bed) -> None:
    began = time.monotonic()
    assert attend(stand_in(bed, f"echo '{GOOD}'", deadline=time.time() + 1.5, grace=100.0)) == ExitCode.DONE
    assert 1 < time.monotonic() - began < 10


def test_commands_get_the_environment_without_what_is_ours(bed) -> None:
    secret = {
        "RUNPOD_API_KEY": "mine", "PROVISION_STATUS_TOKEN": "mine", "PROVISION_PARCEL_0": "mine",
        "PROVISION_PARCEL_1": "mine", "PROVISION_SCRIPT": "mine",
    }  # fmt: skip
    given = {
        "PATH": os.environ["PATH"], "HF_TOKEN": "hf_theirs", "PROVISION_LEASE": LEASE, "PROVISION_VOLUME": "/v",
        "PROVISION_DEADLINE": "1790000000", **secret,
    }  # fmt: skip
    duties = [duty_of(bed.work, given), duty_of(bed.work, {**given, "RUNPOD_POD_ID": "abc"})]

    assert [duty["host"] for duty in duties] == ["127.0.0.1", "0.0.0.0"]
    for duty in duties:
        assert duty["environment"]["HF_TOKEN"] == "hf_theirs"
        assert not secret.keys() & duty["environment"].keys()
    duty = replace(stand_in(bed, f"env >&2; echo '{GOOD}'"), environment=duties[1]["environment"])
    assert attend(duty) == ExitCode.DONE
    said = "\n".join(bed.said)
    assert "RUNPOD_POD_ID=abc" in said
    assert "mine" not in said


def duty_of(work: Path, environment: dict[str, str]) -> dict:
    """What `pod work` makes of that environment, in a process of its own."""
    program = (
        "import json, os, sys; from pathlib import Path; from provision.cli.pod.work import _duty; "
        "duty = _duty(Path(sys.argv[1]), os.environ, print); "
        "print(json.dumps({'host': duty.host, 'environment': dict(duty.environment)}))"
    )
    words = [sys.executable, "-c", program, str(work)]
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, check=True, cwd=Path(__file__).parent.parent)
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's end")
def test_what_kills_the_attendant_ends_its_command(tmp_path) -> None:
    program = (
        "import sys, threading; from dataclasses import replace; from pathlib import Path; "
        "import test_attendant_shift as t; bed = t.AttendantBed(Path(sys.argv[1])); "
        "t.attend(t.stand_in(bed, 'echo $$ >pid.new; mv pid.new pid; exec sleep 60'))"
    )
    (tmp_path / "volume").mkdir()
    document = {"schema": 1, "task": "verify", "projects": [], "fill": [], "verify": [], "reports": []}
    (tmp_path / "job.json").write_text(json.dumps(document))
    here = Path(__file__).parent
    path = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{here}:{here.parent}"}
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], env=path) as attendant:
        wait_for((tmp_path / "pid").exists)
        command = int((tmp_path / "pid").read_text())
        attendant.kill()
    wait_for(lambda: not is_alive(command))


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    return False
