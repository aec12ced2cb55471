"""What people and programs see of a status: one screen, one document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from status_bed import DATA, NOW, TARGET, lock, look, prove, put, volume_to_look_at  # noqa: F401 - a fixture
from volume_material import promised

from provision.cli import run
from provision.errors import ExitCode
from provision.lock import dumps
from provision.report.advice import Commands
from provision.report.paint import Paint
from provision.report.status import status_document, status_lines
from provision.volume.locks import read_locks, write_lock


@pytest.fixture
def filled(volume) -> Path:
    """Two projects: one all proven, one with a file unproven and one missing."""
    good = lock(put(volume, "vad/v.pt", DATA), project="vad", name="vad")
    prove(volume, "vad/v.pt")
    poor = lock(put(volume, TARGET, DATA), promised(DATA, "models/b.safetensors"))
    for one in (good, poor):
        write_lock(volume, one)
    return Path(volume.path)


@pytest.mark.usefixtures("filled")
def test_one_screen_tells_it_all(volume):
    put(volume, "old/x.bin", b"1" * 2_000_000)

    lines = status_lines(look(volume, *read_locks(volume), size=10**7), Paint(enabled=False), Commands(volume="V"))

    assert lines[1:6] == [
        "       files  promised  present  proven  oldest proof  unproven  missing",
        "p          2     14 kB     7 kB       -             -         1        1",
        "  m        2     14 kB     7 kB       -             -         1        1",
        "vad        1      7 kB     7 kB       1      just now         -        -",
        "  vad      1      7 kB     7 kB       1      just now         -        -",
    ]
    assert lines[6:9] == ["", "unclaimed: 1 file, 2.0 MB that no lock promises", "    2.0 MB  old/ (1 file)"]
    assert lines[9].startswith("space: 2.0 MB used of 10.0 MB, 8.0 MB left")
    assert lines[10:] == ["-> provision fill p --volume V"]


def test_faults_have_a_column_only_where_there_are_some(volume):
    file = promised(DATA, TARGET)
    heading = "       files  promised  present  proven  oldest proof"

    assert status_lines(look(volume, lock(file)), Paint(enabled=False))[1] == f"{heading[2:]}  missing"

    put(volume, TARGET, DATA)
    prove(volume)
    assert status_lines(look(volume, lock(file)), Paint(enabled=False))[1] == heading[2:]


def test_a_volume_that_holds_too_much_says_by_how_much(volume):
    put(volume, "x", b"1" * 3_000)

    assert "space: 3 kB used of 1 kB, 2 kB too much" in status_lines(look(volume, size=1_000), Paint(enabled=False))


def test_without_projects_every_lock_on_the_volume_is_shown(filled, capsys):
    assert run(["status", "--volume", str(filled)]) == ExitCode.DONE

    told = capsys.readouterr()
    assert told.out.startswith(f"{filled}:\n")
    assert [line.split()[0] for line in told.out.splitlines()[2:6]] == ["p", "m", "vad", "vad"]
    assert told.err == ""


def test_with_a_project_the_lock_beside_the_manifest_is_what_was_promised(filled, tmp_path, capsys):
    newer = lock(promised(DATA, TARGET), promised(DATA, "models/b.safetensors"), promised(b"new", "models/c"))
    (tmp_path / "p.lock.json").write_text(dumps(newer))

    assert run(["status", "p", "--manifests", str(tmp_path), "--volume", str(filled), "--format", "json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert [project["project"] for project in document["projects"]] == ["p"]
    assert document["projects"][0]["models"][0]["promised"]["files"] == 3
    assert document["unclaimed"]["files"] == 0  # vad's file is promised, though nobody asked about it


def test_what_only_the_volumes_own_copy_of_a_named_lock_promises_is_unclaimed(filled, tmp_path, capsys):
    (tmp_path / "p.lock.json").write_text(dumps(lock(promised(b"new", "models/c"))))

    run(["status", "p", "--manifests", str(tmp_path), "--volume", str(filled), "--format", "json"])

    assert json.loads(capsys.readouterr().out)["unclaimed"]["places"] == [
        {"path": TARGET, "files": 1, "bytes": len(DATA)}
    ]


@pytest.mark.usefixtures("filled")
def test_the_document_has_the_agreed_shape(volume):
    document = json.loads(json.dumps(status_document(look(volume, *read_locks(volume), size=10**7))))

    assert set(document) == {
        "schema", "ok", "volume", "at", "projects", "unclaimed", "partials", "not_looked_into", "at_work", "space",
    }  # fmt: skip
    assert document["projects"][1]["models"] == [
        {
            "model": "vad",
            "source": "hf://o/n",
            "promised": {"files": 1, "bytes": 7000},
            "present": {"files": 1, "bytes": 7000},
            "proven": {"files": 1, "bytes": 7000, "oldest": int(NOW)},
            "unproven": {"files": 0, "bytes": 0},
            "damaged": {"files": 0, "bytes": 0},
            "outdated": {"files": 0, "bytes": 0},
            "missing": {"files": 0, "bytes": 0},
            "partial_bytes": 0,
        }
    ]
    space = document["space"]
    assert space["used_bytes"] + space["left_bytes"] == space["volume_bytes"] == 10**7


def test_the_volumes_size_may_come_from_the_environment(filled, monkeypatch, capsys):
    monkeypatch.setenv("PROVISION_VOLUME_SIZE", "1T")

    run(["status", "--volume", str(filled)])

    assert "used of 1.00 TB" in capsys.readouterr().out


def test_a_status_is_no_verdict_but_an_absent_volume_is_an_error(filled, tmp_path, capsys):
    assert run(["status", "--volume", str(filled)]) == ExitCode.DONE  # one file is missing
    assert run(["status", "--volume", str(tmp_path / "nowhere")]) == ExitCode.VOLUME
    assert "is not there" in capsys.readouterr().err


def test_a_volume_in_s3_is_not_walked(capsys):
    assert run(["status", "--volume", "s3://v0l"]) == ExitCode.INPUT
    assert "hint: mount it, or ask about what was promised: provision verify" in capsys.readouterr().err


def test_a_volume_that_nobody_filled_shows_what_lies_there(volume, capsys):
    put(volume, "a/x", DATA)

    assert run(["status", "--volume", volume.path]) == ExitCode.DONE

    assert capsys.readouterr().out.splitlines() == [
        f"{volume.path}: no project was ever filled here",
        "",
        "unclaimed: 1 file, 7 kB that no lock promises",
        "      7 kB  a/ (1 file)",
        "space: 7 kB used; what is left shows with --volume-size, as 50G",
    ]
