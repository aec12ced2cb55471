"""A status tells what lies on a volume, and whose it is; it reads no weights, changes nothing and judges nothing."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from claims_bed import Clock, claims_of
from volume_material import STRANGER, bring_pieces, content, promised, receipt_for, writer_named

from provision.cli import run
from provision.digest import PIECE_SIZE
from provision.errors import ExitCode
from provision.lock import Lock, LockedFile, LockedModel, dumps
from provision.report.findings import Paint
from provision.report.status import status_document, status_lines
from provision.status import Kept, Status, Tally, status
from provision.volume.claims import ANCIENT
from provision.volume.locks import read_locks, write_lock
from provision.volume.mount import Volume
from provision.volume.partials import Partials
from provision.volume.receipts import revoked
from provision.volume.receipts.writing import ReceiptWriter
from provision.volume.writer import this_process

NOW = 1_790_000_000.0
HOUR = 3_600.0
DATA = b"weights" * 1000
TARGET = "models/a.safetensors"


def lock(*files: LockedFile, project: str = "p", name: str = "m") -> Lock:
    model = LockedModel(
        name=name, source="hf://o/n", revision="main", commit="a" * 40, layout="tree", license=None,
        meaning_sha256="b" * 64, files=files,
    )  # fmt: skip
    return Lock(project=project, root="models", manifest_sha256="c" * 64, models=(model,))


def put(volume: Volume, path: str, data: bytes) -> LockedFile:
    place = Path(volume.path, path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    return promised(data, path)


def prove(volume: Volume, target: str = TARGET, data: bytes = DATA, at: float = NOW) -> None:
    with ReceiptWriter(volume, lambda: at) as receipts:
        receipts.add(receipt_for(volume.path, data, target, at=at))


def leave(volume: Volume, file: LockedFile, data: bytes, pieces: int) -> None:
    with Partials(volume, writer_named("bbbbbbbb", STRANGER)).claim(file) as partial:
        bring_pieces(partial, data, pieces)


def look(volume: Volume, *locks: Lock, others: tuple[Lock, ...] = (), size: int | None = None) -> Status:
    return status(volume, locks, others, NOW, size)


def kept(volume: Volume, *files: LockedFile) -> Kept:
    return look(volume, lock(*files)).models[0].kept


def places(found: Status) -> dict[str, int]:
    return {place.path: place.held.size for place in found.contents.places}


@pytest.fixture
def volume(tmp_path: Path):
    root = tmp_path / "volume"
    root.mkdir()
    with Volume.open(str(root)) as volume:
        yield volume


ONE = Tally(files=1, size=len(DATA))


def test_what_a_receipt_vouches_for_is_proven_with_the_time_of_the_oldest_proof(volume):
    files = [put(volume, f"models/{name}", DATA) for name in "ab"]
    prove(volume, "models/a", at=NOW - 3 * HOUR)
    prove(volume, "models/b", at=NOW - HOUR)

    assert kept(volume, *files) == Kept(proven=ONE + ONE, oldest=NOW - 3 * HOUR)


def test_what_was_touched_since_it_was_proven_is_unproven(volume):
    file = put(volume, TARGET, DATA)
    prove(volume)
    os.utime(Path(volume.path, TARGET), ns=(0, 0))

    assert kept(volume, file) == Kept(unproven=ONE)


@pytest.mark.parametrize("instead", ["shorter", "a folder", "a link", "found damaged"])
def test_what_cannot_be_used_is_damaged(volume, instead):
    file, place = put(volume, TARGET, DATA), Path(volume.path, TARGET)
    if instead == "shorter":
        place.write_bytes(DATA[:-1])
    elif instead == "found damaged":
        with ReceiptWriter(volume, lambda: NOW) as receipts:
            receipts.add(revoked(receipt_for(volume.path, DATA, TARGET), NOW))
    else:
        place.unlink()
        place.mkdir() if instead == "a folder" else place.symlink_to("/etc/hostname")

    assert kept(volume, file) == Kept(damaged=ONE)


def test_a_version_that_was_proven_and_is_not_the_promised_one_is_outdated(volume):
    put(volume, TARGET, DATA)
    prove(volume)

    assert kept(volume, promised(b"newer" * 3, TARGET)) == Kept(outdated=Tally(files=1, size=15))


def test_a_partial_counts_what_it_holds_and_its_file_is_still_missing(volume):
    data = content(2.5)
    file = promised(data, TARGET)
    leave(volume, file, data, pieces=2)

    found = look(volume, lock(file))

    assert found.models[0].kept == Kept(missing=Tally(files=1, size=len(data)), partial=2 * PIECE_SIZE)
    assert (found.contents.claimed.files, found.contents.stray.files, found.contents.unclaimed.files) == (1, 0, 0)


def test_a_partial_of_what_no_lock_wants_any_more_is_told_apart(volume):
    data = content(2.5)
    leave(volume, promised(data, "models/gone.safetensors"), data, pieces=2)

    found = look(volume, lock(promised(DATA, TARGET)))

    assert found.contents.stray == Tally(files=1, size=2 * PIECE_SIZE)
    assert found.contents.unclaimed.files == 0
    assert found.contents.touched == pytest.approx(time.time(), abs=60)


def test_every_promised_file_counts_once_whatever_its_state(volume):
    files = [put(volume, f"models/{n}", DATA) for n in range(4)] + [promised(DATA, "models/missing")]
    prove(volume, "models/0")
    Path(volume.path, "models/1").write_bytes(b"")
    put(volume, "models/2", b"other")
    prove(volume, "models/2", b"other")

    found = kept(volume, *files)

    assert [t.files for t in (found.proven, found.damaged, found.outdated, found.unproven, found.missing)] == [1] * 5
    assert found.promised == Tally(files=5, size=5 * len(DATA))
    assert found.present == ONE + ONE


def test_unclaimed_is_told_by_the_highest_folder_in_which_nothing_is_promised(volume):
    file = put(volume, "models/unet/a", DATA)
    put(volume, "models/unet/mine", b"1" * 30)
    put(volume, "models/old/deep/x", b"1" * 500)
    put(volume, "models/old/y", b"1" * 200)
    put(volume, "notes.txt", b"1")

    found = look(volume, lock(file))

    assert places(found) == {"models/old/": 700, "models/unet/mine": 30, "notes.txt": 1}
    assert found.contents.unclaimed == Tally(files=4, size=731)


def test_the_biggest_unclaimed_places_are_named_and_the_rest_is_counted(volume):
    file = put(volume, "models/a", DATA)
    for number in range(20):
        put(volume, f"models/{number:02}.bin", b"1" * (number + 1))
    put(volume, "big/x", b"1" * 1000)

    found = look(volume, lock(file))

    assert list(places(found)) == ["big/", *(f"models/{n}.bin" for n in (19, 18, 17, 16))]
    assert found.contents.out_of == 21
    assert "  and 16 more" in status_lines(found, Paint(enabled=False))


def test_what_another_lock_promises_is_not_unclaimed(volume):
    file = put(volume, TARGET, DATA)
    put(volume, "theirs/x", DATA)

    assert places(look(volume, lock(file), others=(lock(promised(DATA, "theirs/x"), project="q"),))) == {}


def test_the_refs_of_a_hub_cache_are_not_unclaimed(volume):
    cache, commit = "models--acme--one", "a" * 40
    file = replace(put(volume, f"{cache}/snapshots/{commit}/x.json", DATA), path="x.json")
    put(volume, f"{cache}/refs/main", commit.encode())
    model = replace(lock(file).models[0], source="hf://acme/one", layout="hf-cache")

    assert places(look(volume, replace(lock(file), models=(model,)))) == {}


def test_space_counts_every_byte_once_and_what_provision_keeps_for_itself_too(volume):
    file = put(volume, TARGET, DATA)
    os.link(Path(volume.path, TARGET), Path(volume.path, "again"))
    prove(volume)
    records = sum(path.stat().st_size for path in Path(volume.path, ".provision").rglob("*") if path.is_file())

    found = look(volume, lock(file), size=100_000)

    assert found.contents.used == len(DATA) + records
    assert found.left == 100_000 - found.contents.used
    assert records > 0


def test_no_link_is_followed(volume, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/big").write_bytes(DATA)
    Path(volume.path, "link").symlink_to(tmp_path / "elsewhere")
    Path(volume.path, "loop").symlink_to(".")

    assert look(volume).contents.used == 0


@pytest.mark.system
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs needs root")
def test_what_is_mounted_below_a_volume_is_not_of_it(volume):
    below = Path(volume.path, "other")
    below.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", below], check=True)
    try:
        (below / "big").write_bytes(DATA)
        assert look(volume).contents.used == 0
    finally:
        subprocess.run(["umount", below], check=True)


def test_a_folder_that_lies_too_deep_is_said_not_to_have_been_looked_into(volume):
    put(volume, "d/" * 70 + "x", DATA)

    found = look(volume)

    assert len(found.contents.closed) == 1
    assert any(line.startswith("not looked into: d/d/") for line in status_lines(found, Paint(enabled=False)))


def test_names_that_no_lock_could_have_do_no_harm(volume):
    put(volume, "we\\ird\n/fi\x1ble", b"1" * 9)

    lines = status_lines(look(volume), Paint(enabled=False))

    assert any("9 B  we\\ird\\x0a/" in line for line in lines)


def test_fills_at_work_are_shown_with_what_they_hold(volume):
    here = claims_of(volume, "aaaaaaaa", Clock(), this_process())
    there = claims_of(volume, "bbbbbbbb", Clock())
    for claims, names in ((here, "xy"), (there, "z")):
        assert all(claims.take(name) for name in names)

    found = status(volume, (), (), time.time(), None)

    assert [(one.claims, one.is_here) for one in found.at_work] == [(2, True), (1, False)]
    lines = status_lines(found, Paint(enabled=False))
    assert "at work: a fill on this machine, 2 claims, last seen just now" in lines
    assert "at work: a fill on another machine, 1 claim, last seen just now" in lines


def test_a_heart_that_was_left_behind_is_silent_and_after_a_day_not_shown(volume):
    assert claims_of(volume, "aaaaaaaa", Clock()).take("x")

    later = status(volume, (), (), time.time() + 2 * HOUR, None)
    next_day = status(volume, (), (), time.time() + ANCIENT + HOUR, None)

    assert "at work: a fill on another machine, 1 claim, silent since 2 h ago" in status_lines(
        later, Paint(enabled=False)
    )
    assert next_day.at_work == ()


@pytest.mark.skipif(not this_process().boot, reason="the facts of a process come from Linux")
def test_a_fill_that_was_killed_on_this_machine_is_not_at_work(volume):
    dead = replace(this_process(), started=1)
    assert claims_of(volume, "aaaaaaaa", Clock(), dead).take("x")

    assert status(volume, (), (), time.time(), None).at_work == ()


def test_a_look_changes_nothing_and_reads_no_weights(volume, monkeypatch):
    file = put(volume, TARGET, DATA)
    prove(volume)
    before = sorted(Path(volume.path).rglob("*"))
    opened = []
    monkeypatch.setattr("provision.volume.files.File.read_at", _noting(opened))

    look(volume, lock(file))

    assert sorted(Path(volume.path).rglob("*")) == before
    assert opened
    assert all("/.provision/" in path for path in opened)


def _noting(opened: list[str]):
    from provision.volume.files import File

    read_at = File.read_at

    def noted(self, offset, length):
        opened.append(self.path)
        return read_at(self, offset, length)

    return noted


def test_ten_thousand_files_take_a_moment(volume):
    names = [f"models/{number // 100}/{number}" for number in range(10_000)]
    files = [promised(b"x", name) for name in names]
    for name in names:
        put(volume, name, b"x")

    began = time.process_time()
    found = look(volume, lock(*files))

    assert found.models[0].kept.unproven.files == 10_000
    assert time.process_time() - began < 3.0


# what people and programs see


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

    lines = status_lines(look(volume, *read_locks(volume), size=10**7), Paint(enabled=False), " --volume V")

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
