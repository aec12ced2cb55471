"""scripts/download_models.sh as people run it: by hand, in a Dockerfile, in a job of Kubernetes; in an empty shell."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import fill_bed
import pytest
from misbehaving_hub import MisbehavingHub, Rule, answers, stalls
from script_bed import PATH, PROJECT, SCRIPT, SHELLS, ScriptBed, ended, until

import provision
from provision.digest import piece_span
from provision.errors import ExitCode
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


def test_its_version_is_that_of_the_package() -> None:
    assert re.findall(r"^VERSION=(.*)$", SCRIPT.read_text(), re.MULTILINE) == [provision.__version__]


def test_shellcheck_finds_nothing() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("shellcheck")), str(SCRIPT)], check=False, capture_output=True
    )
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.parametrize("shell", SHELLS)
def test_it_fills_and_verifies(bed, shell) -> None:
    done = ended(bed.by_hand(shell, PROJECT, "--frozen", "--volume", str(bed.volume)))

    assert done.code == 0, done.err
    assert "2 files: 34.8 MB fetched" in done.out
    assert done.out.endswith("all 2 files as promised\n")
    assert bed.standing() == {fill_bed.SMALL, fill_bed.BIG}


def test_a_fill_that_was_stopped_is_not_verified(bed) -> None:
    bed.hub.rules.append(Rule("", stalls, place="cdn"))
    done = ended(bed.by_hand("dash", PROJECT, "--frozen", "--max-time", "1", "--volume", str(bed.volume)))

    assert done.code == ExitCode.INTERRUPTED
    assert "verif" not in done.out


def test_what_is_not_as_promised_decides_the_exit_code(bed) -> None:
    right = bed.lock(fill_bed.SMALL, fill_bed.BIG)
    wrong = replace(right, models=(replace(right.models[0], files=tuple(
        replace(file, sha256="0" * 64) if file.path == fill_bed.SMALL else file for file in right.models[0].files
    )),))  # fmt: skip
    done = ended(bed.by_hand("dash", PROJECT, "--frozen", "--volume", str(bed.volume), lock=wrong))

    assert done.code == ExitCode.BYTES
    assert bed.standing() == {fill_bed.BIG}
    assert "missing" in done.out


def test_words_after_the_options_may_hold_anything(bed) -> None:
    volume = bed.place / "a volume; $(touch here) 'quoted' \"twice\""
    volume.mkdir()
    done = ended(bed.by_hand("dash", PROJECT, "--frozen", "--quiet", f"--volume={volume}"))

    assert done.code == 0, done.err
    assert (volume / "models" / fill_bed.BIG).exists()
    assert not (bed.place / "project/here").exists()


def test_no_code_of_the_folder_that_it_is_started_in_runs_while_its_relative_paths_count(bed) -> None:
    ran = bed.hostile("click", "provision", "venv", "json")
    done = ended(bed.by_hand("dash", PROJECT, "--frozen", "--manifests", "manifests", "--volume", "../volume"))

    assert done.code == 0, done.err
    assert bed.standing() == {fill_bed.SMALL, fill_bed.BIG}
    assert not ran.exists()


def test_a_dry_run_is_not_verified(bed) -> None:
    done = ended(bed.by_hand("dash", PROJECT, "--frozen", "--dry-run", "--volume", str(bed.volume)))

    assert done.code == 0
    assert bed.standing() == set()


def test_a_share_is_filled_and_verified_as_one(bed) -> None:
    done = ended(bed.by_hand("dash", PROJECT, "--frozen", "--shard", "1/2", "--volume", str(bed.volume)))

    assert done.code == 0, done.out + done.err
    assert len(bed.standing()) == 1


@pytest.mark.parametrize("shell", SHELLS)
def test_without_a_volume_it_says_so_before_anything_is_made(bed, shell) -> None:
    done = ended(bed.by_hand(shell, PROJECT, PROVISION_PYTHON=""))

    assert done.code == ExitCode.VOLUME
    assert done.err.startswith("error: no volume was given")
    assert "\nhint: attach the network volume" in done.err
    assert list(bed.temporary.iterdir()) == []


def test_a_volume_that_is_not_mounted_is_waited_for_and_then_missed(bed) -> None:
    done = ended(
        bed.by_hand("dash", PROJECT, "--volume", str(bed.volume), PROVISION_MOUNT="mount", PROVISION_MOUNT_WAIT="1")
    )

    assert done.code == ExitCode.VOLUME
    assert "waiting for the volume" in done.err
    assert "was not mounted" in done.err
    assert list(bed.volume.iterdir()) == []


def test_without_the_hub_it_is_6_and_partials_are_kept(bed) -> None:
    lock, words = bed.lock(), (PROJECT, "--frozen", "--volume", str(bed.volume))
    process = bed.by_hand("dash", *words, "--max-rate", "20M", lock=lock)
    until(lambda: fill_bed.proven(bed.volume, lock))
    process.send_signal(signal.SIGTERM)
    ended(process)
    kept = fill_bed.proven(bed.volume, lock)

    bed.hub.rules.append(Rule("", answers(503, {"Retry-After": "86400"})))
    done = ended(bed.by_hand("dash", *words, lock=lock))

    assert done.code == ExitCode.UNAVAILABLE
    assert "missing" in done.out  # it was verified all the same
    assert fill_bed.proven(bed.volume, lock) == kept
    bed.hub.rules.clear()
    assert ended(bed.by_hand("dash", *words, lock=lock)).code == 0


@pytest.mark.parametrize(("shell", "number"), [("dash", signal.SIGTERM), ("bash", signal.SIGINT)])
def test_a_signal_to_the_shell_alone_ends_the_fill_and_the_next_run_resumes(bed, shell, number) -> None:
    lock = bed.lock()
    process = bed.by_hand(shell, PROJECT, "--frozen", "--max-rate", "20M", "--volume", str(bed.volume), lock=lock)
    until(lambda: fill_bed.proven(bed.volume, lock))
    process.send_signal(number)
    assert ended(process, 6).code == ExitCode.INTERRUPTED
    assert fill_bed.BIG not in bed.standing()
    kept = [
        (file.size, index)
        for _, file in lock.files()
        for index in fill_bed.proven(bed.volume, lock).get(file.target, ())
    ]

    done = ended(bed.by_hand(shell, PROJECT, "--frozen", "--format", "json", "--volume", str(bed.volume), lock=lock))
    report, _ = json.JSONDecoder().raw_decode(done.out)
    assert done.code == 0
    assert kept
    assert report["reused_bytes"] >= sum(
        end - begin for begin, end in (piece_span(index, size) for size, index in kept)
    )


def test_no_python_is_told(bed) -> None:
    tools = bed.place / "tools"
    tools.mkdir()
    for name in ("dirname", "id", "cksum", "tr", "cat", "date", "mktemp", "rm", "find", "sed", "grep"):
        (tools / name).symlink_to(shutil.which(name))
    done = ended(bed.by_hand("/bin/dash", PROJECT, "--volume", str(bed.volume), PATH=str(tools), PROVISION_PYTHON=""))

    assert done.code == ExitCode.INPUT
    assert "error: there is no Python 3.11 or newer\nhint: install one" in done.err
    assert list(bed.temporary.iterdir()) == []


def test_a_package_that_is_none_is_2_and_its_address_stays_secret(bed) -> None:
    told = "error: no such wheel at https://someone:secretpassword@example.org/no.whl?token=hush"
    tool = bed.place / "tools/uv"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\necho '{told}'\nexit 2\n")
    tool.chmod(0o755)
    path = f"{tool.parent}:{PATH}"
    done = ended(bed.by_hand("dash", PROJECT, "--volume", str(bed.volume), PROVISION_PYTHON="", PATH=path))

    assert done.code == ExitCode.INPUT, done.err
    assert "no such wheel at https://***@example.org/no.whl?token=***" in done.err
    assert "hint: is PROVISION_PACKAGE right?" in done.err
    assert list(bed.temporary.iterdir()) == []


def test_a_folder_that_is_something_else_is_left_alone(bed) -> None:
    (bed.place / "mine").mkdir()
    done = ended(
        bed.by_hand(
            "dash", PROJECT, "--volume", str(bed.volume), PROVISION_PYTHON="", PROVISION_VENV=str(bed.place / "mine")
        )
    )

    assert done.code == ExitCode.INPUT
    assert "is something else than an environment" in done.err
    assert list((bed.place / "mine").iterdir()) == []


def test_its_help_is_what_stands_at_its_head(bed) -> None:
    done = ended(bed.by_hand("dash", "--help"))

    assert done.code == 0
    assert done.out.startswith("Fill a volume with model weights")
    assert "--volume DIR" in done.out
    assert "set -u" not in done.out
