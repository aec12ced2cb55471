"""What a report proposes can be pasted: it names what was given, works where it is run, and helps."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from report_material import found
from runner_bed import PROJECT, TARGET, scene_in
from s3_bed import BUCKET, KEYS, bed_of_a_test, honest_server  # noqa: F401 - fixtures

from provision.cli import run
from provision.errors import ExitCode
from provision.report.advice import NOTHING_GIVEN, Commands, Named, Remedy, remedy
from provision.verification.findings import State
from provision.verification.phrases import IN_THE_WAY, KNOWN_DAMAGED

S3 = Commands(volume="s3://vol12345", datacenter="EU-RO-1", endpoint_url="http://127.0.0.1:9", is_mounted=False)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch):
    made = scene_in(tmp_path)
    monkeypatch.chdir(made.repository)
    monkeypatch.delenv("PROVISION_VOLUME", raising=False)
    return made


def proposed(capsys, *arguments: str) -> list[str]:
    """What a command's report says to do."""
    capsys.readouterr()
    run(arguments)
    return [line.partition("-> ")[2] for line in capsys.readouterr().out.splitlines() if "-> " in line]


def helped(finding, commands: Commands = NOTHING_GIVEN) -> str:
    return str(commands.advice(remedy(finding), finding.project))


@pytest.mark.parametrize("helps", Remedy)
@pytest.mark.parametrize("commands", [NOTHING_GIVEN, S3], ids=["mounted", "through S3"])
def test_there_is_something_to_do_whatever_was_found(helps, commands):
    assert str(commands.advice(helps, "p"))
    assert "s3://" not in commands.advice(Remedy.FILL, "p").command


def test_what_was_found_damaged_before_is_filled_not_read_again():
    file = ("a", 1)

    assert helped(found("p", "m", file, State.UNPROVEN, None, None, KNOWN_DAMAGED)) == "provision fill p"
    assert helped(found("p", "m", file, State.UNPROVEN)) == "provision verify --full"


def test_what_is_in_the_way_is_to_be_moved_away_and_filled():
    link = found("p", "m", ("a", 1), State.UNREADABLE, None, None, f"/v/a is a symbolic link{IN_THE_WAY}")

    assert helped(link) == "move it away, then provision fill p"
    assert helped(link, S3) == "move it away, then in a pod with the volume attached: provision fill p"


def test_through_s3_a_fill_is_for_a_pod_and_a_verification_keeps_its_server():
    named = Commands(
        projects={"p": Named(word="p", has_manifest=True)},
        volume=S3.volume, datacenter=S3.datacenter, endpoint_url=S3.endpoint_url, is_mounted=False,
    )  # fmt: skip

    assert str(named.advice(Remedy.FILL, "p")) == "in a pod with the volume attached: provision fill p"
    assert str(named.advice(Remedy.READ, "p")) == (
        "provision verify --full p --volume s3://vol12345 --datacenter EU-RO-1 --endpoint-url http://127.0.0.1:9"
    )


def test_what_was_given_is_quoted_and_tells_no_secret():
    given = Commands(
        projects={"p": Named(word="a b/$x.lock.json", has_manifest=False)},
        volume="/v; rm",
        endpoint_url="http://u:hf_abcdefghijklmnopqrstuvwxyzabcdefgh@h",
    )

    command = given.advice(Remedy.READ, "p").command

    assert shlex.split(command)[3:6] == ["a b/$x.lock.json", "--volume", "/v; rm"]
    assert "hf_abc" not in command


def test_the_path_of_a_lock_is_named_again_and_the_command_works(scene, capsys):
    """The lock of an image has no manifest beside it."""
    lock = scene.lock.rename(scene.repository / scene.lock.name)
    (scene.volume / TARGET).write_bytes(b"x" * 7000)

    told = proposed(capsys, "verify", "--quick", str(lock), "--volume", str(scene.volume))

    assert told == [f"provision verify --full {lock} --volume {scene.volume}"]
    assert (told := proposed(capsys, *shlex.split(told[0])[1:])) == [
        f"provision fill --frozen {lock} --volume {scene.volume}"
    ]
    assert run([*shlex.split(told[0])[1:], "--dry-run"]) == ExitCode.DONE
    assert TARGET in capsys.readouterr().out  # it is to be repaired


def test_the_folder_of_manifests_is_named_again(scene, capsys):
    scene.damage()
    folder = scene.manifest.parent.rename(scene.repository / "other manifests")

    told = proposed(capsys, "verify", PROJECT, "--manifests", folder.name, "--volume", str(scene.volume))

    assert told == [f"provision fill {PROJECT} --manifests 'other manifests' --volume {scene.volume}"]
    assert run([*shlex.split(told[0])[1:], "--dry-run"]) == ExitCode.DONE


def test_without_a_project_the_locks_on_the_volume_are_verified_again(scene, capsys):
    """A worker has no manifests: there the name of a project would be refused."""
    os.utime(scene.volume / TARGET, ns=(0, 0))
    scene.manifest.unlink()
    scene.lock.unlink()

    told = proposed(capsys, "verify", "--quick", "--volume", str(scene.volume))

    assert told == [f"provision verify --full --volume {scene.volume}"]
    assert run(shlex.split(told[0])[1:]) == ExitCode.DONE


def test_what_the_environment_says_needs_not_be_named_again(scene, capsys, monkeypatch):
    scene.damage()
    monkeypatch.setenv("PROVISION_VOLUME", str(scene.volume))

    assert proposed(capsys, "verify", PROJECT) == [f"provision fill {PROJECT}"]
    assert proposed(capsys, "status", PROJECT) == [f"provision fill {PROJECT}"]


def test_a_status_names_the_path_of_a_lock_again(scene, capsys):
    scene.damage()
    scene.manifest.unlink()

    told = proposed(capsys, "status", str(scene.lock), "--volume", str(scene.volume))

    assert told == [f"provision fill --frozen {scene.lock} --volume {scene.volume}"]


def test_a_link_in_place_of_a_file_is_told_to_be_moved_away(scene, capsys):
    real = (scene.volume / TARGET).rename(scene.volume / "elsewhere")
    (scene.volume / TARGET).symlink_to(real)

    for mode in ("--quick", "--full"):
        assert proposed(capsys, "verify", mode, PROJECT, "--volume", str(scene.volume)) == [
            f"move it away, then provision fill {PROJECT} --volume {scene.volume}"
        ]


def test_a_file_whose_receipt_was_taken_back_is_to_be_filled(scene, capsys):
    (scene.volume / TARGET).write_bytes(b"x" * 7000)
    proposed(capsys, "verify", PROJECT, "--volume", str(scene.volume))

    told = proposed(capsys, "verify", "--quick", PROJECT, "--volume", str(scene.volume))

    assert told == [f"provision fill {PROJECT} --volume {scene.volume}"]


def test_all_reports_through_s3_send_a_fill_to_a_pod(scene, capsys, monkeypatch, tmp_path, bed):
    scene.damage()
    (scene.volume / "some").touch()
    bed.upload(scene.volume)
    monkeypatch.setenv("RUNPOD_S3_ACCESS_KEY", KEYS.access)
    monkeypatch.setenv("RUNPOD_S3_SECRET_KEY", KEYS.secret)
    reports = [tmp_path / f"r.{ending}" for ending in ("txt", "xml", "html", "md")]
    to = ["--volume", f"s3://{BUCKET}", "--endpoint-url", bed.s3.address]

    told = proposed(capsys, "verify", PROJECT, *to, *(f"--report={path}" for path in reports), "--format", "github")

    assert told == [f"in a pod with the volume attached: provision fill {PROJECT}"]
    for path in reports:
        assert "in a pod with the volume attached: " in path.read_text()
        assert "--volume s3://" not in path.read_text()
