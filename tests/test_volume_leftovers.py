"""What killed writers have left is counted for the room it takes, and can be taken away without harm."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import pytest
from volume_material import (
    STRANGER,
    bring_pieces,
    content,
    fill,
    killed_after,
    left_over,
    promised,
    writer_named,
)

from provision.digest import PIECE_SIZE
from provision.volume.journal import key_of, partial_name
from provision.volume.partials import IDLE, Partials
from provision.volume.placing import place

DATA = content(2.5, seed=9)
FILE = promised(DATA)
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the facts of a process come from Linux")


def leave(volume, upto, name="bbbbbbbb", *, file=FILE, data=DATA, owner=STRANGER):
    """A partial of `upto` pieces; the store of its writer, of another machine unless said otherwise."""
    store = Partials(volume, writer_named(name, owner))
    with store.claim(file) as partial:
        bring_pieces(partial, data, upto)
    return store


def later():
    return time.time() + IDLE + 60


def test_where_nobody_has_left_anything_nothing_is_copied_and_nothing_dropped(ours, tmp_path):
    assert (ours.copies([FILE]), ours.drop_idle([FILE], later())) == (0, 0)
    assert list(tmp_path.iterdir()) == []


def test_pieces_of_a_writer_that_may_live_take_room_twice(volume, ours):
    leave(volume, 1, "cccccccc", owner=None)
    leave(volume, 2)
    assert ours.copies([FILE]) == 2 * PIECE_SIZE


def test_what_we_have_ourselves_is_not_copied(volume, ours):
    leave(volume, 1, "aaaaaaaa", owner=None)
    assert ours.copies([FILE]) == 0
    leave(volume, 2)
    assert ours.copies([FILE]) == PIECE_SIZE


@linux
def test_what_is_taken_over_from_the_dead_is_neither_copied_nor_dropped(ours, tmp_path):
    killed_after(tmp_path, 2.5, 9, upto=2)
    assert ours.copies([FILE]) == 0
    assert ours.drop_idle([FILE], later()) == 0
    assert fill(ours.claim(FILE), DATA)[1] == [2]


def test_idle_leftovers_of_others_go_and_ours_stay(volume, ours, tmp_path):
    leave(volume, 1, "aaaaaaaa", owner=None)
    leave(volume, 2)
    leave(volume, 1, "cccccccc", owner=None)  # alive, on this machine, and as silent
    assert ours.drop_idle([FILE, FILE], later()) == 3 * PIECE_SIZE
    assert len(left_over(tmp_path)) == 2
    assert all("aaaaaaaa" in name for name in left_over(tmp_path))
    assert ours.copies([FILE]) == 0
    assert fill(ours.claim(FILE), DATA)[1] == [1, 2]


@pytest.mark.parametrize("fresh", [".partial", ".journal"])
def test_who_wrote_a_moment_ago_is_left_alone(volume, ours, tmp_path, fresh):
    leave(volume, 2)
    before = left_over(tmp_path)
    assert ours.drop_idle([FILE], time.time()) == 0
    for name in before:
        if not name.endswith(fresh):
            os.utime(tmp_path / name, (0, 0))
    assert ours.drop_idle([FILE], time.time()) == 0
    assert left_over(tmp_path) == before
    os.utime(tmp_path / next(name for name in before if name.endswith(fresh)), (0, 0))
    assert ours.drop_idle([FILE], time.time()) == 2 * PIECE_SIZE


def test_idle_leftovers_that_no_journal_tells_of_go_too(volume, ours, tmp_path):
    """A process that is killed leaves them of each file of one piece, and nobody can go on with them."""
    small = b"begun"
    leave(volume, 2)
    shutil.rmtree(tmp_path / ".provision/partials")
    leave(volume, 1, "cccccccc", owner=None)
    tmp_path.joinpath("models", partial_name(key_of(promised(small, "models/b")), "bbbbbbbb")).write_bytes(small)
    files = [FILE, promised(small, "models/b"), promised(small, "elsewhere/b")]
    assert ours.drop_idle(files, time.time()) == 0
    assert ours.drop_idle([FILE], later()) == 3 * PIECE_SIZE
    assert ours.drop_idle(files, later()) == len(small)
    assert left_over(tmp_path) == []


def test_what_no_journal_tells_of_is_not_looked_for_behind_a_link(ours, tmp_path):
    behind = promised(b"begun", "linked/b")
    (tmp_path / "models").mkdir()
    (tmp_path / "linked").symlink_to("models")
    tmp_path.joinpath("models", partial_name(key_of(behind), "bbbbbbbb")).write_bytes(b"begun")
    assert ours.drop_idle([behind], later()) == 0
    assert len(left_over(tmp_path)) == 1


def test_leftovers_of_what_was_not_named_stay(volume, ours, tmp_path):
    other = content(2.5, seed=10)
    leave(volume, 2, file=promised(other), data=other)
    leave(volume, 2, file=promised(DATA, "models/b"))
    before = left_over(tmp_path)
    assert (ours.copies([FILE]), ours.drop_idle([FILE], later())) == (0, 0)
    assert left_over(tmp_path) == before


def test_a_writer_that_lives_after_all_finds_out_and_begins_again(volume, ours):
    theirs = Partials(volume, writer_named("bbbbbbbb", STRANGER))
    with theirs.claim(FILE) as partial:
        bring_pieces(partial, DATA, 2)
        assert ours.drop_idle([FILE], later()) == 2 * PIECE_SIZE
        bring_pieces(partial, DATA)
        assert place(partial) is None
    final = Path(volume.path, FILE.target)
    assert not final.exists()
    placed, fetched = fill(theirs.claim(FILE), DATA)
    assert (placed.st_size, fetched) == (len(DATA), [0, 1, 2])
    assert final.read_bytes() == DATA
    assert left_over(volume.path) == []


def test_of_several_dead_the_fullest_is_gone_on_with_and_the_idle_rest_goes(volume, tmp_path):
    leave(volume, 2)
    for name in left_over(tmp_path):
        shutil.copy(tmp_path / name, tmp_path / name.replace("bbbbbbbb", "aaaaaaaa"))
    os.truncate(tmp_path / next(name for name in left_over(tmp_path) if "aaaaaaaa.partial" in name), PIECE_SIZE)
    # Seen from their own machine, where no such process runs any more.
    ours = Partials(volume, writer_named("dddddddd", STRANGER))
    assert ours.copies([FILE]) == 0
    assert ours.drop_idle([FILE], later()) == PIECE_SIZE
    assert all("bbbbbbbb" in name for name in left_over(tmp_path))


def test_a_journal_whose_file_was_placed_when_its_writer_was_killed_is_swept(volume, ours, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(Partials, "forget", lambda *_: None)  # killed after the rename
        fill(Partials(volume, writer_named("bbbbbbbb", STRANGER)).claim(FILE), DATA)
    assert len(left_over(tmp_path)) == 1
    ours.sweep([FILE])
    assert left_over(tmp_path) == []
