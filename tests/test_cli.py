"""The command line as its users meet it: help, exit codes, what goes to stdout, and what an error says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import hub_folder
import pytest
from small_volume import DATA, TARGET, filled_volume, lock_of
from volume_material import promised

from provision.cli import COMMANDS, cli, run
from provision.cli.groups import Group
from provision.errors import ExitCode
from provision.freshness import model_meaning
from provision.lock import Lock, LockedModel, dumps

DOCS = Path(__file__).parent.parent


def every_command() -> list[str]:
    """All commands as people write them, those of groups too: `pod ls`."""
    words = []
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        inside = command.modules if isinstance(command, Group) else ()
        words += [name, *(f"{name} {other}" for other in inside)]
    return words


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    return filled_volume(tmp_path / "volume")


@pytest.mark.parametrize("command", ["", *every_command()], ids=lambda words: words or "provision")
def test_every_command_has_help_for_itself_and_each_option(command: str, capsys: pytest.CaptureFixture[str]):
    assert run([*command.split(), "--help"]) == ExitCode.DONE

    shown = capsys.readouterr().out
    assert "Usage: provision" in shown
    options = re.findall(r"^  (?:-\w, )?(--[\w-]+)(.*(?:\n {10,}\S.*)*)", shown, re.MULTILINE)
    assert options
    assert all(re.search(r"[a-z]{2}", re.sub(r"\[.*?\]|[A-Z-]{2,}", "", text)) for _, text in options), options


def test_help_shows_the_table_of_exit_codes(capsys: pytest.CaptureFixture[str]):
    run(["--help"])

    shown = capsys.readouterr().out
    assert [f"{int(code)}" in shown and code.meaning.split(";")[0] in shown for code in ExitCode] == [True] * len(
        ExitCode
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_appears_in_the_readme(command: str):
    assert f"provision {command}" in (DOCS / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", every_command())
def test_every_command_appears_in_the_docs(command: str):
    assert f"provision {command}" in (DOCS / "docs/commands.md").read_text(encoding="utf-8")


def test_every_exit_code_appears_in_the_docs():
    page = (DOCS / "docs/commands.md").read_text(encoding="utf-8")

    assert [f"| {int(code)} | {code.meaning} |" in page for code in ExitCode] == [True] * len(ExitCode)


def test_a_wrong_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]):
    assert run(["verfy"]) == ExitCode.INPUT
    assert "Did you mean `verify`?" in capsys.readouterr().err


def test_check_needs_no_hub_and_tells_stale_from_fresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from provision.manifest import load

    manifest = tmp_path / "p.yaml"
    manifest.write_text("project: p\nmodels:\n  - source: hf://o/n\n    name: m\n")
    wanted = load(manifest)
    model = replace(lock_of(DATA).models[0], meaning_sha256=model_meaning(wanted, wanted.models[0]))
    fresh = Lock(project="p", root="", manifest_sha256=wanted.meaning_sha256, models=(model,))
    (tmp_path / "p.lock.json").write_text(dumps(fresh))

    assert run(["lock", "--check", "p", "--manifests", str(tmp_path)]) == ExitCode.DONE

    manifest.write_text("# a comment changes nothing\n" + manifest.read_text())
    assert run(["lock", "--check", "p", "--manifests", str(tmp_path)]) == ExitCode.DONE

    manifest.write_text(manifest.read_text().replace("o/n", "o/other"))
    assert run(["lock", "--check", "p", "--manifests", str(tmp_path)]) == ExitCode.LOCK
    assert "hint: bring it up to date: provision lock p" in capsys.readouterr().err

    manifest.write_text(manifest.read_text().replace("o/other", "o/n"))
    (tmp_path / "p.lock.json").write_text(dumps(replace(fresh, models=())))  # what a careless merge leaves
    assert run(["lock", "--check", "p", "--manifests", str(tmp_path)]) == ExitCode.LOCK

    (tmp_path / "p.lock.json").unlink()
    assert run(["lock", "--check", "p", "--manifests", str(tmp_path)]) == ExitCode.LOCK


def test_check_as_json_is_a_document_whether_stale_or_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "p.yaml").write_text("project: p\nmodels:\n  - source: hf://o/n\n")

    assert run(["lock", "--check", "p", "--manifests", str(tmp_path), "--format", "json"]) == ExitCode.LOCK
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "LockStale"


def test_every_project_that_is_stale_or_lacks_its_lock_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(f"project: {name}\nmodels:\n  - source: hf://o/n\n")

    assert run(["lock", "--check", "--manifests", str(tmp_path)]) == ExitCode.LOCK

    told = capsys.readouterr().err
    assert "a.lock.json" in told
    assert "b.lock.json" in told


def test_a_lock_of_another_project_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "other.yaml").write_text("project: other\nmodels:\n  - source: hf://o/n\n")
    (tmp_path / "other.lock.json").write_text(dumps(lock_of(DATA)))

    assert run(["lock", "--check", "other", "--manifests", str(tmp_path)]) == ExitCode.INPUT
    assert "is the lock of project `p`" in capsys.readouterr().err


def test_a_file_at_the_place_of_a_caches_own_records_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A ref of the cache would be written over the file that was just proven."""
    commit = "a" * 40
    cached = LockedModel(
        name="one", source="hf://acme/one", revision="main", commit=commit, layout="hf-cache", license=None,
        meaning_sha256="b" * 64,
        files=(promised(DATA, f"models--acme--one/snapshots/{commit}/models/sub/a.safetensors"),),
    )  # fmt: skip
    cached = replace(cached, files=(replace(cached.files[0], path=TARGET),))
    other = replace(lock_of(DATA, "models--acme--one/refs/main").models[0], name="two")
    lock = Lock(project="p", root="", manifest_sha256="c" * 64, models=(cached, other))
    (tmp_path / "p.lock.json").write_text(dumps(lock))

    code = run(["fill", "p", "--frozen", "--manifests", str(tmp_path), "--volume", str(tmp_path)])

    assert code == ExitCode.INPUT
    assert "models--acme--one/refs/main" in capsys.readouterr().err


def test_a_target_that_another_project_fills_is_not_taken_from_it(filled: Path, tmp_path: Path, capsys):
    """Else the two would replace each other's file with each fill, and both call it done."""
    theirs = lock_of(DATA)
    ours = replace(lock_of(b"other bytes"), project="q")
    (tmp_path / "q.lock.json").write_text(dumps(ours))

    code = run(["fill", "q", "--frozen", "--manifests", str(tmp_path), "--volume", str(filled)])

    assert code == ExitCode.INPUT
    assert "two projects, q and p" in capsys.readouterr().err
    assert (filled / TARGET).read_bytes() == DATA
    assert theirs.project == "p"


def test_a_complete_volume_that_cannot_be_written_needs_no_filling(filled: Path, tmp_path: Path, monkeypatch):
    (tmp_path / "p.lock.json").write_text(dumps(lock_of(DATA)))

    def forbidden(*_):
        raise AssertionError("nothing is to be written")

    monkeypatch.setattr("provision.volume.paths.Folder.made_file", forbidden)

    assert run(["fill", "p", "--frozen", "--manifests", str(tmp_path), "--volume", str(filled), "-q"]) == ExitCode.DONE


def test_verifying_again_and_again_does_not_fill_a_volume(filled: Path):
    for _ in range(3):
        assert run(["verify", "--volume", str(filled), "-q"]) == ExitCode.DONE
    receipts = filled / ".provision/receipts"

    assert sum(len(path.read_text().splitlines()) for path in receipts.glob("*.jsonl")) <= 2


def test_a_worker_without_manifests_repairs_from_the_volumes_own_lock(
    filled: Path, tmp_path: Path, monkeypatch, capsys
):
    (filled / TARGET).write_bytes(b"W" + DATA[1:])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    code = run(["fill", "p", "--dry-run", "--manifests", str(tmp_path / "none"), "--volume", str(filled)])

    told = capsys.readouterr()
    assert code == ExitCode.DONE
    assert "its lock on the volume is used" in told.err
    assert TARGET in told.out


def test_a_faulty_manifest_is_never_replaced_by_the_volumes_own_lock(filled: Path, tmp_path: Path, capsys):
    (tmp_path / "p.yaml").write_text("project: p\nmodles: []\n")
    (tmp_path / "p.lock.json").write_text(dumps(lock_of(DATA)))

    code = run(["fill", "p", "--manifests", str(tmp_path), "--volume", str(filled)])

    told = capsys.readouterr()
    assert code == ExitCode.INPUT
    assert "p.yaml:2:1:" in told.err
    assert told.out == ""


def test_a_dry_run_that_does_not_fit_is_one_json_document(filled: Path, tmp_path: Path, capsys):
    (filled / TARGET).unlink()
    words = ["fill", "p", "--dry-run", "--volume-size", "1k", "--manifests", str(tmp_path), "--volume", str(filled)]

    assert run([*words, "--format", "json"]) == ExitCode.VOLUME
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "VolumeFull"


def test_what_does_not_fit_is_told_by_a_dry_run_too(filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (filled / TARGET).unlink()
    words = ["fill", "p", "--dry-run", "--volume-size", "1k", "--manifests", str(tmp_path), "--volume", str(filled)]

    assert run(words) == ExitCode.VOLUME
    assert "no room" in capsys.readouterr().err


def test_the_root_of_the_machine_is_no_volume(capsys: pytest.CaptureFixture[str]):
    assert run(["verify", "--volume", "/"]) == ExitCode.INPUT
    assert "is the root of this machine" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["lock", "--check", "--upgrade"], ["lock", "--check", "--dry-run"], ["fill", "--locked", "--frozen"]]
)
def test_options_that_contradict_each_other_are_refused(words: list[str], tmp_path: Path):
    assert (
        run([*words, "--manifests", str(tmp_path), *(["--volume", str(tmp_path)] * ("fill" in words))])
        == ExitCode.INPUT
    )


def test_a_lock_that_cannot_be_read_is_made_anew_only_when_all_pins_may_move(tmp_path: Path, capsys, monkeypatch):
    (tmp_path / "p.yaml").write_text("project: p\nmodels:\n  - source: hf://o/n\n")
    (tmp_path / "p.lock.json").write_text("<<<<<<< HEAD\n{}\n")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")

    assert run(["lock", "p", "--manifests", str(tmp_path)]) == ExitCode.LOCK
    told = capsys.readouterr().err
    assert "the lock is not JSON" in told
    assert "provision lock PROJECT --upgrade" in told


def test_a_wrong_project_name_is_answered_with_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "wan22-i2v.yaml").write_text("project: wan22-i2v\nmodels:\n  - source: hf://o/n\n")

    assert run(["lock", "--check", "wan22-i2", "--manifests", str(tmp_path)]) == ExitCode.INPUT
    assert "did you mean `wan22-i2v`?" in capsys.readouterr().err


def test_all_faults_of_a_manifest_are_shown_with_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    manifest = tmp_path / "p.yaml"
    manifest.write_text("project: p\nmodles: []\nmodels:\n  - source: hf://o/n\n    targte: x\n")

    assert run(["lock", "p", "--manifests", str(tmp_path)]) == ExitCode.INPUT

    told = capsys.readouterr().err
    assert f"{manifest}:2:1:" in told
    assert f"{manifest}:5:5:" in told
    assert "target" in told


@pytest.mark.parametrize(
    ("text", "size"), [("50G", 50_000_000_000), ("1.5TB", 1_500_000_000_000), ("512MiB", 512 * 2**20), ("7", 7)]
)
def test_sizes_are_read_as_people_write_them(text: str, size: int):
    from provision.cli.settings import Size

    assert Size().convert(text, None, None) == size


def test_a_reader_that_leaves_is_not_complained_to(filled: Path):
    shell = f"{sys.executable} -m provision verify --volume {filled} --format json | head -c 1"

    done = subprocess.run(["bash", "-o", "pipefail", "-c", shell], capture_output=True, text=True, check=False)

    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_the_main_job_from_manifest_to_proof(tmp_path: Path):
    """lock, fill, verify as a user runs them, against a hub on loopback; the second fill moves nothing."""
    from provision.serve import Folder, Settings
    from provision.serve.server import Server

    token = "hf_topsecrettopsecret"
    hub_folder.build(tmp_path / "hub", "hf")
    (tmp_path / "p.yaml").write_text(f"project: p\nmodels:\n  - source: hf://{hub_folder.NAME}\n    target: tiny\n")
    (tmp_path / "volume").mkdir()
    with Server(Folder(tmp_path / "hub"), Settings(token=token)) as server:

        def provision(*words: str) -> subprocess.CompletedProcess[str]:
            where = {"HF_ENDPOINT": server.endpoint, "HF_TOKEN": token}
            return hub_folder.run("provision", *words, "--manifests", str(tmp_path), home=tmp_path / "home", **where)

        results = [
            provision("lock", "p"),
            provision("fill", "p", "--volume", str(tmp_path / "volume"), "--format", "json"),
            provision("fill", "p", "--volume", str(tmp_path / "volume"), "--format", "json", "--locked"),
            provision("verify", "p", "--volume", str(tmp_path / "volume")),
            provision("lock", "p", "--check"),
        ]

    assert [(done.returncode, done.stderr if done.returncode else "") for done in results] == [(0, "")] * 5
    assert hub_folder.tree(tmp_path / "volume/tiny") == hub_folder.tree(tmp_path / "hub/hf" / hub_folder.NAME)
    first, second = json.loads(results[1].stdout), json.loads(results[2].stdout)
    assert first["fetched_bytes"] == sum(file["size"] for file in first["files"])
    assert (second["fetched_bytes"], {file["action"] for file in second["files"]}) == (0, {"kept"})
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "home" not in path.parts]
    assert not any(token.encode() in text for text in written)
    assert not any(token in done.stdout + done.stderr for done in results)


@pytest.mark.parametrize(
    ("projects", "upgrade", "meant"),
    [
        (["p"], None, (["p"], None)),
        (["p"], "*", (["p"], "*")),
        (["p"], "vad", (["p"], "vad")),
        ([], "vad", ([], "vad")),
        ([], "p", (["p"], "*")),
        (["q"], "p", (["p", "q"], "*")),
    ],
    ids=str,
)
def test_upgrade_takes_a_model_or_stands_before_a_project(tmp_path: Path, projects, upgrade, meant):
    from provision.cli.lock import _split

    for name, model in (("p", "vad"), ("q", "tts")):
        (tmp_path / f"{name}.yaml").write_text(f"project: {name}\nmodels:\n  - source: hf://o/n\n    name: {model}\n")

    assert _split(projects, upgrade, tmp_path) == meant


def test_an_upgrade_of_nothing_that_exists_names_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "p.yaml").write_text("project: p\nmodels:\n  - source: hf://o/n\n    name: silero-vad\n")

    assert run(["lock", "p", "--upgrade", "silero-vda", "--manifests", str(tmp_path)]) == ExitCode.INPUT
    assert "did you mean `silero-vad`?" in capsys.readouterr().err
