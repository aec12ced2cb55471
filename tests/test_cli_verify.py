"""`provision verify` as its users meet it: verdicts, exit codes, reports, and what an error says."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from small_volume import DATA, TARGET, filled_volume

from provision.cli import run
from provision.errors import ExitCode


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    return filled_volume(tmp_path / "volume")


def test_an_absent_volume_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["verify", "--volume", str(tmp_path / "nowhere")]) == ExitCode.VOLUME

    told = capsys.readouterr()
    assert told.out == ""
    assert "is not there" in told.err
    assert "hint: attach the network volume" in told.err


def test_an_empty_folder_where_nothing_is_mounted_is_no_volume(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["verify", "--quick", "--volume", str(tmp_path)]) == ExitCode.VOLUME
    assert "is an empty folder, and nothing is mounted there" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--full", "--quick"], ["--sample", "5%", "--full"], ["--quick", "--max-age", "7d"]])
def test_modes_that_exclude_each_other_are_refused(filled: Path, flags: list[str]):
    assert run(["verify", *flags, "--volume", str(filled)]) == ExitCode.INPUT


def test_an_age_names_its_unit(filled: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["verify", "--max-age", "7", "--volume", str(filled)]) == ExitCode.INPUT
    assert "write it as 7d" in capsys.readouterr().err


@pytest.mark.parametrize("age", ["9" * 400 + "d", "9" * 400])
def test_an_age_beyond_all_measure_is_no_fault_of_ours(filled: Path, age: str):
    assert run(["verify", "--max-age", age, "--volume", str(filled)]) == ExitCode.INPUT
    assert run(["status", "--volume-size", age.rstrip("d") + "G", "--volume", str(filled)]) == ExitCode.INPUT


def test_a_report_without_a_folder_is_refused_before_anything_is_read(filled: Path, capsys):
    report = str(filled.parent / "no/such/report.html")
    assert run(["verify", "--report", report, "--volume", str(filled)]) == ExitCode.INPUT
    told = capsys.readouterr()
    assert "there is no folder" in told.err
    assert told.out == ""


def test_reports_are_written_in_the_form_of_their_ending(filled: Path):
    names = {"a.json": "{", "b.xml": "<?xml", "c.html": "<!doctype html>", "d.md": "#", "e.txt": str(filled)}
    flags = [word for name in names for word in ("--report", str(filled.parent / name))]
    assert run(["verify", *flags, "--volume", str(filled), "-q"]) == ExitCode.DONE
    for name, begin in names.items():
        assert (filled.parent / name).read_text().lower().startswith(begin.lower()), name


def test_a_volume_without_locks_is_not_called_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "something").touch()
    assert run(["verify", "--volume", str(tmp_path)]) == ExitCode.LOCK
    assert "holds no lock" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["--full", "--quick"])
def test_a_good_volume_verifies_with_exit_zero(filled: Path, mode: str, capsys: pytest.CaptureFixture[str]):
    assert run(["verify", mode, "--volume", str(filled), "-q"]) == ExitCode.DONE
    assert capsys.readouterr().out.endswith("\nthe one file is as promised\n")


def damage_missing(path: Path) -> None:
    path.unlink()


def damage_size(path: Path) -> None:
    path.write_bytes(DATA[:-1])


def damage_digest(path: Path) -> None:
    path.write_bytes(b"W" + DATA[1:])


def damage_unreadable(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize(
    ("mode", "damage", "state"),
    [
        ("full", damage_missing, "missing"),
        ("full", damage_size, "size"),
        ("full", damage_digest, "digest"),
        ("full", damage_unreadable, "unreadable"),
        ("quick", damage_missing, "missing"),
        ("quick", damage_size, "size"),
        ("quick", damage_digest, "unproven"),
        ("quick", damage_unreadable, "unreadable"),
    ],
    ids=lambda x: x if isinstance(x, str) else x.__name__,
)
def test_damage_is_found_by_name_with_what_to_run_next(filled, mode, damage, state, capsys):
    damage(filled / TARGET)

    assert run(["verify", f"--{mode}", "--volume", str(filled), "-q"]) == ExitCode.BYTES

    told = capsys.readouterr().out
    assert re.search(rf"^  {state} +{TARGET}", told, re.MULTILINE)
    assert re.search(rf"^p/m: .* -> .*provision (fill p|verify --full) --volume {filled}$", told, re.MULTILINE)
    assert told.endswith("\n1 of 1 file is not as promised\n")


def test_verify_as_json_is_one_document_of_the_agreed_shape(filled: Path, capsys: pytest.CaptureFixture[str]):
    damage_digest(filled / TARGET)

    code = run(["verify", "--volume", str(filled), "--format", "json", "-q"])

    document = json.loads(capsys.readouterr().out)
    assert code == ExitCode.BYTES
    assert document == {
        "schema": 1,
        "ok": False,
        "volume": str(filled),
        "mode": "full",
        "counts": {
            "ok": 0, "missing": 0, "size": 0, "digest": 1, "header": 0, "unreadable": 0, "unexpected": 0, "unproven": 0,
        },
        "files": [
            {
                "project": "p",
                "model": "m",
                "target": TARGET,
                "state": "digest",
                "expected": hashlib.sha256(DATA).hexdigest(),
                "actual": hashlib.sha256(b"W" + DATA[1:]).hexdigest(),
                "detail": "this is plain text",
                "size": len(DATA),
                "damaged": [],
            }
        ],
        "misfits": [],
        "notes": [],
        "unread": 0,
        "shard": None,
    }  # fmt: skip


def test_an_error_under_format_json_is_a_document_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "something").touch()
    assert run(["verify", "--volume", str(tmp_path), "--format", "json"]) == ExitCode.LOCK

    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["ok"]) == (1, False)
    assert document["error"]["kind"] == "LockMissing"
    assert document["error"]["exit_code"] == 4
    assert document["error"]["hint"]


def test_what_a_full_verification_refutes_a_quick_one_does_not_vouch_for(filled: Path):
    """Bit rot leaves size and times as they are: only reading finds it, and it is remembered."""
    import os

    before = (filled / TARGET).stat()
    damage_digest(filled / TARGET)
    os.utime(filled / TARGET, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert run(["verify", "--quick", "--volume", str(filled), "-q"]) == ExitCode.DONE  # nobody has read it yet
    assert run(["verify", "--full", "--volume", str(filled), "-q"]) == ExitCode.BYTES
    assert run(["verify", "--quick", "--volume", str(filled), "-q"]) == ExitCode.BYTES
