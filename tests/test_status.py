"""A status tells what lies on a volume, and whose it is; it reads no weights, changes nothing and judges nothing."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from claims_bed import Clock, claims_of
from status_bed import DATA, NOW, TARGET, lock, look, prove, put, volume_to_look_at  # noqa: F401 - a fixture
from volume_material import STRANGER, bring_pieces, content, promised, receipt_for, writer_named

from provision.digest import PIECE_SIZE
from provision.lock import LockedFile
from provision.report.paint import Paint
from provision.report.status import status_lines
from provision.status import Kept, Status, Tally, status
from provision.volume.claims import ANCIENT
from provision.volume.mount import Volume
from provision.volume.partials import Partials
from provision.volume.receipts import revoked
from provision.volume.receipts.writing import ReceiptWriter
from provision.volume.writer import this_process

HOUR = 3_600.0


def leave(volume: Volume, file: LockedFile, data: bytes, pieces: int) -> None:
    with Partials(volume, writer_named("bbbbbbbb", STRANGER)).claim(file) as partial:
        bring_pieces(partial, data, pieces)


def kept(volume: Volume, *files: LockedFile) -> Kept:
    return look(volume, lock(*files)).models[0].kept


def places(found: Status) -> dict[str, int]:
    return {place.path: place.held.size for place in found.contents.places}


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
