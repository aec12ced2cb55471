"""`provision volume`: what is made, grown and deleted, at what price, and only when it is meant. Some at this machine,
what RunPod does otherwise at its stand-in.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from runpod_cloud import RunPodCloud
from small_volume import DATA, filled_volume, lock_of
from volume_material import promised

from provision.cli import run
from provision.errors import ExitCode
from provision.lock import Lock, dumps

GB = 10**9


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This machine as the cloud, below a folder of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PROVISION_CLOUD", "local")
    monkeypatch.setenv("PROVISION_MANIFESTS", str(tmp_path / "manifests"))
    (tmp_path / "manifests").mkdir()
    return tmp_path / "state/provision/cloud"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch):
    """RunPod, by its stand-in, in place of this machine."""
    monkeypatch.setattr("provision.cli.volume.create.LOOKS", (0.0, 0.0))
    monkeypatch.setattr("provision.cli.volume.rm.PAUSES", (0.0, 0.0))
    monkeypatch.setenv("PROVISION_CLOUD", "runpod")
    with RunPodCloud() as account:
        for name, value in account.environment.items():
            monkeypatch.setenv(name, value)
        yield account


def locked(tmp_path: Path, project: str, **sizes: int) -> None:
    """A project whose lock promises files of so many GB at these targets."""
    files = tuple(replace(promised(b"", target), size=size * GB) for target, size in sizes.items())
    model = replace(lock_of(DATA).models[0], files=files)
    lock = Lock(project=project, root="", manifest_sha256="c" * 64, models=(model,))
    (tmp_path / f"manifests/{project}.lock.json").write_text(dumps(lock))
    (tmp_path / f"manifests/{project}.yaml").write_text(f"project: {project}\nmodels:\n  - source: hf://o/n\n")


def volume(capsys, *words: str) -> tuple[int, dict]:
    """What a command says to programs."""
    code = run(["volume", *words, "--format", "json"])
    return code, json.loads(capsys.readouterr().out)


def made(capsys, *words: str) -> str:
    code, told = volume(capsys, "create", *words)
    assert code == ExitCode.DONE, told
    return told["volume"]["id"]


def test_a_volume_has_room_for_what_its_projects_promise_and_a_fifth_more(tmp_path: Path, capsys):
    locked(tmp_path, "a", shared=20, own=7)
    locked(tmp_path, "b", shared=20, other=4)

    assert run(["volume", "create", "models", "a", "b", "--format", "json"]) == ExitCode.DONE

    told = capsys.readouterr()
    assert json.loads(told.out)["volume"]["size_gb"] == 38  # 31 GB: what they share is there once
    assert "a, b: 31.0 GB promised" in told.err
    assert "38 GB" in told.err


def test_without_a_project_every_manifest_counts_and_ten_gb_are_the_least(tmp_path: Path, capsys):
    locked(tmp_path, "a", one=1)
    locked(tmp_path, "b", two=1)

    assert volume(capsys, "create", "models")[1]["volume"]["size_gb"] == 10


def test_more_than_a_volume_can_hold_is_refused(tmp_path: Path, capsys):
    locked(tmp_path, "a", one=3500)

    code, told = volume(capsys, "create", "models", "a")

    assert (code, told["error"]["kind"]) == (ExitCode.INPUT, "InputError")
    assert "4096" in told["error"]["message"]
    assert volume(capsys, "ls")[1]["volumes"] == []


@pytest.mark.parametrize(("size", "wanted"), [("50G", 50), ("50.2GB", 51), ("1.5T", 1500), ("10Gi", 11)])
def test_a_given_size_is_rounded_up_to_whole_gb_and_needs_no_lock(size: str, wanted: int, capsys):
    assert volume(capsys, "create", "models", "--size", size)[1]["volume"]["size_gb"] == wanted


@pytest.mark.parametrize("size", ["9G", "4097G", "512M", "some"])
def test_no_volume_has_such_a_size(size: str):
    assert run(["volume", "create", "models", "--size", size]) == ExitCode.INPUT


def test_a_given_size_that_is_too_small_for_what_was_named_is_refused(tmp_path: Path, capsys):
    locked(tmp_path, "a", one=60)

    assert run(["volume", "create", "models", "a", "--size", "50G"]) == ExitCode.INPUT
    assert "60.0 GB promised" in capsys.readouterr().err


def test_without_a_data_center_those_that_have_volumes_are_named(account: RunPodCloud, capsys):
    assert run(["volume", "create", "models", "--size", "50G"]) == ExitCode.INPUT

    told = capsys.readouterr().err
    assert "EU-RO-1" in told
    assert "--datacenter" in told
    assert account.asked("createNetworkVolume") == []


def test_a_volume_at_runpod_is_told_with_its_price_and_what_to_do_next(account: RunPodCloud, capsys):
    assert run(["volume", "create", "models", "--size", "50G", "--datacenter", "EU-RO-1"]) == ExitCode.DONE

    (created,) = account.account.volumes
    told = capsys.readouterr().out
    assert f"{created} `models`: 50 GB in EU-RO-1, $3.50 a month" in told
    assert f"provision pod fill PROJECT --volume-id {created}" in told


def test_a_name_that_is_taken_is_taken_again_only_when_that_is_meant(capsys):
    first = made(capsys, "models", "--size", "50G")

    assert run(["volume", "create", "models", "--size", "50G"]) == ExitCode.INPUT
    assert first in capsys.readouterr().err
    assert made(capsys, "models", "--size", "50G", "--another") != first


@pytest.mark.parametrize("kind", ["cut", "500", "torn"])
def test_a_volume_that_was_made_without_an_answer_is_found_and_not_made_twice(account: RunPodCloud, kind: str, capsys):
    account.create_volume("models")
    account.faults.on("createNetworkVolume", kind, after=True)

    new = made(capsys, "models", "--size", "50G", "--datacenter", "EU-RO-1", "--another")

    assert len(account.account.volumes) == 2
    assert new == list(account.account.volumes)[-1]


def test_a_volume_that_was_not_made_is_not_asked_for_again_by_itself(account: RunPodCloud, capsys):
    account.faults.on("createNetworkVolume", "500", times=None)

    assert run(["volume", "create", "models", "--size", "50G", "--datacenter", "EU-RO-1"]) == ExitCode.POD
    assert "provision volume ls" in capsys.readouterr().err
    assert len(account.asked("createNetworkVolume")) == 1


def test_what_is_on_volumes_is_known_from_proofs_and_where_they_are_folders_from_their_locks(
    tmp_path: Path, machine: Path, capsys
):
    proven, filled = made(capsys, "proven", "--size", "50G"), made(capsys, "filled", "--size", "60G")
    (machine / "volumes" / filled).rmdir()
    filled_volume(machine / "volumes" / filled)
    proof = {
        "schema": 1, "volume": {"id": proven}, "locks": {"wan22": "0" * 64}, "exit_code": 0, "ended": 1_790_000_000.0,
        "verify": {"ok": True},
    }  # fmt: skip
    earlier = proof | {"ended": 1_780_000_000.0, "verify": {"ok": False}}
    (tmp_path / "manifests/a.proof.json").write_text(json.dumps(earlier))
    (tmp_path / "manifests/wan22.proof.json").write_text(json.dumps(proof))
    (tmp_path / "manifests/other.proof.json").write_text('{"volume": ')

    known = {one["name"]: one for one in volume(capsys, "ls")[1]["volumes"]}

    assert known["proven"]["projects"] == [{"project": "wan22", "ok": True, "at": 1_790_000_000}]
    assert known["filled"]["projects"] == [{"project": "p", "ok": None, "at": None}]
    assert (known["filled"]["size_gb"], known["filled"]["datacenter"]) == (60, "local")
    assert run(["volume", "ls"]) == ExitCode.DONE
    shown = capsys.readouterr().out
    assert "wan22, proven" in shown
    assert "in all: $0.00 a month" in shown


def test_what_all_volumes_cost_is_told(account: RunPodCloud, capsys):
    account.create_volume("a", 50)
    account.create_volume("b", 100)

    assert run(["volume", "ls"]) == ExitCode.DONE
    assert "in all: $10.50 a month" in capsys.readouterr().out


def test_a_volume_grows_and_never_shrinks(account: RunPodCloud, capsys):
    created = account.create_volume("models", 50)

    assert run(["volume", "resize", created.id, "40G"]) == ExitCode.INPUT
    assert "only grow" in capsys.readouterr().err
    assert run(["volume", "resize", created.id, "50G"]) == ExitCode.DONE
    assert account.asked("updateNetworkVolume") == []
    assert run(["volume", "resize", created.id, "100G"]) == ExitCode.DONE
    assert "100 GB in EU-RO-1, $7.00 a month" in capsys.readouterr().out
    assert created.size == 100


def test_a_volume_is_named_by_its_id(account: RunPodCloud, capsys):
    created = account.create_volume("models", 50)

    for words in (["resize", "models", "60G"], ["rm", "models", "--yes-delete", "models"]):
        assert run(["volume", *words]) == ExitCode.INPUT
        assert f"did you mean `{created.id}`?" in capsys.readouterr().err
    assert list(account.account.volumes) == [created.id]


def test_a_volume_is_deleted_when_its_name_is_given(account: RunPodCloud, capsys):
    created = account.create_volume("models", 50)

    assert run(["volume", "rm", created.id, "--yes-delete", "model"]) == ExitCode.INPUT
    assert list(account.account.volumes) == [created.id]
    assert run(["volume", "rm", created.id, "--yes-delete", "models"]) == ExitCode.DONE
    assert account.account.volumes == {}
    assert "is lost" in capsys.readouterr().err


def test_without_a_terminal_nothing_is_deleted_that_was_not_named(capsys):
    created = made(capsys, "models", "--size", "50G")

    assert run(["volume", "rm", created]) == ExitCode.INPUT
    assert "--yes-delete" in capsys.readouterr().err
    assert [one["id"] for one in volume(capsys, "ls")[1]["volumes"]] == [created]


@pytest.mark.parametrize(("typed", "code"), [("models", 0), ("modles", 2), ("", 2)])
def test_on_a_terminal_the_name_is_asked_for(machine: Path, typed: str, code: int, capsys):
    created = made(capsys, "models", "--size", "50G")
    (machine / "volumes" / created / "weights").write_bytes(DATA)
    ours, theirs = pty.openpty()

    with os.fdopen(ours, "wb", buffering=0) as keys, os.fdopen(theirs, "rb", buffering=0) as terminal:
        keys.write(typed.encode() + b"\n")
        done = subprocess.run(
            [sys.executable, "-m", "provision", "volume", "rm", created],
            stdin=terminal, stdout=subprocess.PIPE, stderr=terminal, check=False,
        )  # fmt: skip

    assert done.returncode == code
    assert (machine / "volumes" / created).exists() == (code != 0)


def test_a_volume_that_a_pod_uses_is_not_deleted(account: RunPodCloud, capsys):
    from runpod_bed import rent

    created = account.create_volume("models", 50)
    pod = rent(account, created.id, name="provision-demo-20261121T101500Z-14400s-k3f9a2xq")

    assert run(["volume", "rm", created.id, "--yes-delete", "models"]) == ExitCode.INPUT
    assert f"provision pod rm {pod}" in capsys.readouterr().err
    assert list(account.account.volumes) == [created.id]


def test_a_volume_that_stays_listed_is_not_called_deleted(account: RunPodCloud, capsys):
    created = account.create_volume("models", 50)
    account.faults.on("deleteNetworkVolume", "404", times=None)

    assert run(["volume", "rm", created.id, "--yes-delete", "models"]) == ExitCode.POD
    assert "may still cost money" in capsys.readouterr().err


def test_a_folder_of_the_users_is_never_deleted(tmp_path: Path):
    (tmp_path / "mine").mkdir()

    assert run(["volume", "rm", str(tmp_path / "mine"), "--yes-delete", "mine"]) == ExitCode.INPUT
    assert (tmp_path / "mine").exists()


def test_an_error_is_a_document_too_and_has_no_key(account: RunPodCloud, capsys):
    account.faults.on("*", "401", times=None)

    code, told = volume(capsys, "ls")

    assert (code, told["ok"], told["error"]["kind"]) == (ExitCode.POD, False, "CloudRefused")
    assert account.keys[0] not in json.dumps(told)
