"""A damaged file is repaired where it lies: only its damaged pieces move, and its name never vouches for them."""

from __future__ import annotations

import os

import pytest
from volume_material import content, fill, left_over, pieces_of, promised, writer_named

from provision.digest import PIECE_SIZE
from provision.errors import UnsafePath, VolumeTrouble
from provision.volume.partials import Partials
from provision.volume.paths import Folder

DATA = content(3.5, seed=3)
FILE = promised(DATA)


@pytest.fixture
def final(tmp_path):
    (tmp_path / "models/sub").mkdir(parents=True)
    return tmp_path / FILE.target


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_one_flipped_byte_moves_one_piece(ours, final):
    final.write_bytes(flipped(DATA, PIECE_SIZE + 9))
    with ours.demote(FILE, pieces_of(DATA)) as partial:
        assert not final.exists()
        assert list(partial.held) == [0, 1, 2, 3]
        _, fetched = fill(partial, DATA)
    assert fetched == [1]
    assert final.read_bytes() == DATA


@pytest.mark.parametrize(
    ("stands", "moved"), [(DATA[: 2 * PIECE_SIZE + 5], [2, 3]), (DATA + b"tail", []), (b"", [0, 1, 2, 3])]
)
def test_a_file_of_the_wrong_length_keeps_what_is_right(ours, final, tmp_path, stands, moved):
    final.write_bytes(stands)
    _, fetched = fill(ours.demote(FILE, pieces_of(DATA)), DATA)
    assert fetched == moved
    assert final.read_bytes() == DATA
    assert left_over(tmp_path) == []


def test_a_repaired_file_has_the_mode_of_a_new_one(ours, final):
    final.write_bytes(flipped(DATA, 0))
    final.chmod(0o600)
    fill(ours.demote(FILE, pieces_of(DATA)), DATA)
    new = final.with_name("new")
    new.touch(0o644)
    assert final.stat().st_mode == new.stat().st_mode


def test_a_file_of_which_nothing_is_known_goes_and_all_of_it_moves(ours, final):
    final.write_bytes(flipped(DATA, 0))
    _, fetched = fill(ours.demote(FILE, ()), DATA)
    assert fetched == [0, 1, 2, 3]


def test_bytes_with_a_second_name_are_copied_not_written_to(ours, final):
    damaged = flipped(DATA, 0)
    final.write_bytes(damaged)
    os.link(final, final.with_name("someone elses"))
    _, fetched = fill(ours.demote(FILE, pieces_of(DATA)), DATA)
    assert fetched == [0]
    assert final.read_bytes() == DATA
    assert final.with_name("someone elses").read_bytes() == damaged


def test_a_repair_that_is_cut_short_before_its_rename_loses_nothing(ours, volume, final, monkeypatch):
    final.write_bytes(flipped(DATA, 0))
    with monkeypatch.context() as patched:
        patched.setattr(Folder, "rename", lambda *_: (_ for _ in ()).throw(VolumeTrouble("cut")))
        with pytest.raises(VolumeTrouble):
            ours.demote(FILE, pieces_of(DATA))
    assert final.exists()
    _, fetched = fill(Partials(volume, writer_named("bbbbbbbb")).demote(FILE, pieces_of(DATA)), DATA)
    assert fetched == [0]


def test_of_two_that_repair_both_finish(ours, volume, final):
    final.write_bytes(flipped(DATA, 0))
    theirs = Partials(volume, writer_named("bbbbbbbb"))
    with ours.demote(FILE, pieces_of(DATA)) as first, theirs.demote(FILE, pieces_of(DATA)) as second:
        assert list(first.held) == [0, 1, 2, 3]
        assert second.held == {}
        assert fill(second, DATA)[1] == [0]  # the rest is copied from the first
        assert fill(first, DATA)[0] is None  # and this one finds its work done
    assert final.read_bytes() == DATA


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_not_a_regular_file_is_refused_and_left_alone(ours, final, tmp_path, kind):
    outside = tmp_path / "outside"
    outside.write_bytes(b"keep")
    {"link": lambda: final.symlink_to(outside), "folder": final.mkdir, "pipe": lambda: os.mkfifo(final)}[kind]()
    before = final.lstat()
    with pytest.raises(UnsafePath, match="not a regular file"):
        ours.demote(FILE, pieces_of(DATA))
    assert final.lstat().st_ino == before.st_ino
    assert outside.read_bytes() == b"keep"


def test_a_file_that_is_gone_by_then_is_simply_claimed(ours):
    _, fetched = fill(ours.demote(FILE, pieces_of(DATA)), DATA)
    assert fetched == [0, 1, 2, 3]
