"""scripts/download_models.sh in a pod without a cloud: the job is done, told of in the log, and never done twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import urllib.request
from pathlib import Path

import fill_bed
import pytest
from hub_kinds import HUGGINGFACE
from misbehaving_hub import MisbehavingHub, Rule, stalls
from script_bed import SHELLS, TOKEN, ScriptBed, ended, kill, running, until

from provision.errors import ExitCode
from provision.lock import LockedFile
from provision.pods.job import COMMAND, Task
from provision.pods.status import Phase, read_status
from provision.serve import Folder


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = fill_bed.build(tmp_path_factory.mktemp("hub"), (fill_bed.SMALL, fill_bed.BIG))
    with MisbehavingHub(Folder(root)) as hub:
        yield hub


@pytest.fixture
def bed(hub, tmp_path):
    hub.rules.clear()
    hub.log.clear()
    bed = ScriptBed(hub, tmp_path)
    yield bed
    bed.close()


def ask(address: str, method: str = "GET") -> dict:
    request = urllib.request.Request(address, method=method, headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def port_of(bed, lease) -> int:
    return int(until(lambda: (bed.work(lease) / "port").exists() and (bed.work(lease) / "port").read_text()))


@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_is_done_told_and_kept(bed, shell) -> None:
    lease = bed.lease()
    done = ended(
        bed.pod(shell, lease, bed.job(reports=(".html",), fill=("--connections", "2")), {"HF_TOKEN": "hf_secretsecret"})
    )

    assert done.code == 0, done.err
    assert bed.standing() == {fill_bed.SMALL, fill_bed.BIG}
    assert done.statuses[0]["phase"] == "installing"
    last = read_status(json.dumps(done.statuses[-1]))
    assert (last.phase, last.exit_code, dict(last.counts)["ok"]) == (Phase.ENDED, 0, 2)
    result = done.result
    assert (result["task"], result["exit_code"], result["lease"]) == ("fill", 0, lease["PROVISION_LEASE"])
    assert result["fill"]["fetched_bytes"] == 34_754_435
    assert result["verify"]["ok"]
    assert result["reports"][".html"].startswith("<!DOCTYPE html>")
    assert bed.kept(lease)["phase"] == "ended"
    kept = bed.volume / f".provision/jobs/{lease['PROVISION_LEASE']}.result.json"
    assert json.loads(kept.read_text()) == result
    assert not [secret for secret in (TOKEN, "hf_secretsecret") if secret in done.out + done.err + kept.read_text()]


def test_the_renter_asks_takes_and_the_pod_ends_at_once(bed) -> None:
    lease = bed.lease() | {"PROVISION_GRACE": "100"}
    process = bed.pod("dash", lease, bed.job())
    address = f"http://127.0.0.1:{port_of(bed, lease)}"
    until(lambda: ask(f"{address}/status")["phase"] == "ended")
    result = ask(f"{address}/result")
    began = time.monotonic()
    assert ask(f"{address}/taken", "POST")["ok"]
    done = ended(process)

    assert time.monotonic() - began < 3
    assert done.code == result["exit_code"] == 0
    assert done.result == result


def test_a_verification_alone_fetches_nothing(bed) -> None:
    done = ended(bed.pod("dash", bed.lease(), bed.job(task=Task.VERIFY)))

    assert done.code == ExitCode.BYTES
    assert bed.hub.log == []
    assert done.statuses[-1]["error"] == "2 of 2 files are not as promised"
    assert done.statuses[-1]["counts"]["missing"] == 2
    assert done.result["fill"] is None


def test_a_container_that_is_started_again_does_no_work_twice(bed) -> None:
    lease, job = bed.lease(), bed.job()
    first = ended(bed.pod("dash", lease, job))
    bed.hub.log.clear()
    again = ended(bed.pod("dash", lease, job))
    for path in bed.work(lease).iterdir():  # on another machine only the volume remembers
        if path.is_file():
            path.unlink()
    elsewhere = ended(bed.pod("dash", lease, job))

    assert [first.code, again.code, elsewhere.code] == [0, 0, 0]
    assert first.result == again.result == elsewhere.result
    assert bed.hub.log == []
    assert [one.statuses[-1]["starts"] for one in (first, again, elsewhere)] == [1, 2, 2]


def test_a_pod_that_is_taken_ends_in_time_and_its_restart_resumes(bed) -> None:
    lease, lock = bed.lease(), bed.lock()
    process = bed.pod("dash", lease, bed.job(lock, fill=("--max-rate", "20M")))
    until(lambda: fill_bed.proven(bed.volume, lock))
    process.send_signal(signal.SIGTERM)
    taken = ended(process, 6)

    assert taken.code == ExitCode.INTERRUPTED
    assert bed.kept(lease)["phase"] == "filling"
    again = ended(bed.pod("dash", lease, bed.job(lock)))
    assert again.code == 0
    assert again.result["fill"]["reused_bytes"] > 1_000_000
    assert again.statuses[-1]["starts"] == 2


def test_at_the_deadline_the_work_ends_and_says_so(bed) -> None:
    bed.hub.rules.append(Rule("", stalls, place="cdn"))
    lease = bed.lease(seconds=4)
    done = ended(bed.pod("dash", lease, bed.job()), 20)

    assert done.code == ExitCode.POD
    assert done.statuses[-1]["error"] == "the pod's deadline came before its job was done"
    assert bed.kept(lease)["phase"] == "ended"
    assert time.time() < float(lease["PROVISION_DEADLINE"]) + 3


@pytest.mark.parametrize("shell", SHELLS)
def test_at_the_deadline_whatever_hangs_is_ended(bed, shell) -> None:
    stuck = bed.place / "python"
    stuck.write_text("#!/bin/sh\ntrap '' TERM\nsleep 1000 >/dev/null 2>&1 &\nwait\nwait\n")
    stuck.chmod(0o755)
    lease = bed.lease(seconds=2)
    done = ended(bed.pod(shell, lease, bed.job(), PROVISION_PYTHON=str(stuck)), 20)

    assert done.code == ExitCode.POD
    assert done.statuses[-1]["error"] == "the deadline of the pod came before its job was done"
    assert time.time() < float(lease["PROVISION_DEADLINE"]) + 8


@pytest.mark.parametrize("shell", SHELLS)
def test_one_that_never_comes_to_an_end_is_started_five_times_at_most(bed, shell) -> None:
    lease = bed.lease()
    bed.work(lease).mkdir(parents=True)
    (bed.work(lease) / "starts").write_text("5\n")
    done = ended(bed.pod(shell, lease, bed.job(), PROVISION_PYTHON="/nonexistent"))

    assert done.code == ExitCode.POD
    assert "was started 6 times" in done.statuses[-1]["error"]


def test_five_starts_count_on_other_machines_too(bed) -> None:
    lease, job = bed.lease(), bed.job()
    bed.hub.rules.append(Rule("", stalls, place="cdn"))
    process = bed.pod("dash", lease, job)
    marker = bed.volume / f".provision/jobs/{lease['PROVISION_LEASE']}.json"
    until(marker.exists)
    kill(process)
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"starts": 5}))
    done = ended(bed.pod("dash", lease, job))

    assert done.code == ExitCode.POD
    assert "was started 6 times" in done.statuses[-1]["error"]
    assert done.result["exit_code"] == ExitCode.POD


@pytest.mark.parametrize(
    "change",
    [
        {"PROVISION_PARCEL_0": ""},
        {"PROVISION_PARCEL_0": "!!! no base64 !!!"},
        {"PROVISION_PARCEL_0": "bm8gYXJjaGl2ZQ=="},
    ],
)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_parcel_that_is_broken_is_told(bed, shell, change) -> None:
    done = ended(bed.pod(shell, bed.lease(), bed.job(), change))

    assert done.code == ExitCode.POD
    assert done.statuses[-1]["error"] == "the job did not arrive whole in the pod"
    assert done.statuses[-1]["exit_code"] == ExitCode.POD
    assert done.statuses[-1]["hint"]


def test_an_attendant_that_cannot_start_is_told(bed) -> None:
    done = ended(bed.pod("dash", bed.lease(), bed.job(), PROVISION_PYTHON="no-such-python"))

    assert done.code == ExitCode.POD
    assert "went away with code 127" in done.statuses[-1]["error"]


def test_a_volume_that_is_not_mounted_is_waited_for_and_then_missed(bed) -> None:
    lease = bed.lease() | {"PROVISION_MOUNT": "mount", "PROVISION_MOUNT_WAIT": "1"}
    done = ended(bed.pod("dash", lease, bed.job()))

    assert done.code == ExitCode.VOLUME
    assert [status["phase"] for status in done.statuses] == ["waiting", "ended"]
    assert "was not mounted" in done.statuses[-1]["error"]
    assert list(bed.volume.iterdir()) == [], "nothing is written before the mount is there"


@pytest.mark.system  # needs root, or user namespaces
def test_a_volume_that_is_mounted_late_is_filled(bed) -> None:
    lease = bed.lease() | {"PROVISION_MOUNT": "mount", "PROVISION_MOUNT_WAIT": "30"}
    environment = bed.environment() | lease | bed.job()
    space = bed.place / "volume of the pod"
    space.mkdir()
    mount = '{ sleep 2 && mount -t tmpfs none "$PROVISION_VOLUME"; } & '
    words = ["unshare", "-rm", *COMMAND[:2], mount + COMMAND[2]]
    done = ended(bed.start(words, environment | {"PROVISION_VOLUME": str(space)}))

    assert done.code == 0, done.out + done.err
    assert done.statuses[0]["phase"] == "waiting"
    assert done.result["verify"]["ok"]
    assert list(space.iterdir()) == [], "all is on what was mounted there, which is gone with the pod"


def test_long_and_hostile_values_travel_unharmed(bed) -> None:
    odd = "".join(map(chr, range(1, 128))) + "$(touch here)`touch here`${IFS}'\"\\ 日本" * 1500
    assert len(odd) > 2**15
    long = odd.encode()[: 64 * 1024].decode(errors="ignore")
    promise = bed.lock().models[0].files[0]
    files = tuple(
        LockedFile(
            path=promise.path, target=f"models/{number}/{'x' * 200}.npy", size=promise.size, sha256=promise.sha256
        )
        for number in range(30)
    )
    lock = fill_bed.lock_of(HUGGINGFACE, bed.lock().models[0].commit, *files)
    more = dict.fromkeys(("HF_HUB_USER_AGENT_ORIGIN", "SOMETHING_OF_MINE", "PROVISION_STATUS_TOKEN"), long)
    done = ended(bed.pod("dash", bed.lease(), bed.job(lock), more))

    assert done.code == 0, done.err
    assert not (bed.place / "project/here").exists()
    assert done.result["verify"]["counts"]["ok"] == 30


def test_no_code_of_the_folder_that_it_is_started_in_runs_with_the_pods_key(bed) -> None:
    ran = bed.hostile("click", "provision", "venv", "json", "base64")
    done = ended(bed.pod("dash", bed.lease(), bed.job()))

    assert done.code == 0, done.err
    assert not ran.exists()


def test_an_attendant_that_is_killed_leaves_nobody_who_writes(bed) -> None:
    bed.hub.rules.append(Rule("", stalls, place="cdn"))
    process = bed.pod("dash", bed.lease(), bed.job())
    until(lambda: running(process, b"fill") and bed.hub.log)
    (attendant,) = running(process, b"work")
    os.kill(attendant, signal.SIGKILL)
    done = ended(process, 10)

    assert "went away with code 137" in done.statuses[-1]["error"]
    assert running(process, b"fill") == []


@pytest.mark.parametrize("way", ["below", "link"])
def test_a_temporary_folder_on_the_volume_is_not_used_before_the_mount_is_there(bed, way) -> None:
    lease = bed.lease() | {"PROVISION_MOUNT": "mount", "PROVISION_MOUNT_WAIT": "0"}
    (bed.place / "link").symlink_to(bed.volume)
    place = {"below": bed.volume / "tmp", "link": bed.place / "link"}[way]
    try:
        done = ended(bed.pod("dash", lease, bed.job(), TMPDIR=str(place)))
    finally:
        shutil.rmtree(Path("/tmp") / lease["PROVISION_LEASE"], ignore_errors=True)  # noqa: S108 - where it goes instead

    assert "was not mounted" in done.statuses[-1]["error"]
    assert list(bed.volume.iterdir()) == []
