"""Nothing proven is fetched twice: not after kill -9, not for another writer, not for a damaged file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from volume_material import (
    STRANGER,
    bring_pieces,
    content,
    fill,
    killed_after,
    left_over,
    names_in,
    open_descriptors,
    pieces_of,
    promised,
    writer_named,
)

from provision.digest import PIECE_SIZE
from provision.errors import UnsafePath
from provision.lock import LockedFile
from provision.volume.files import File
from provision.volume.partials import Partials

DATA = content(3.5, seed=1)
FILE = promised(DATA)
FINAL = "models/sub/a.safetensors"
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the facts of a process come from Linux")


def test_an_unfinished_file_lies_beside_its_final_name(ours, tmp_path):
    with ours.claim(FILE) as partial:
        partial.write_at(0, b"x")
        assert partial.name.startswith(".provision-")
        assert names_in(tmp_path / "models/sub") == [partial.name]


def test_a_partial_to_which_nothing_was_written_leaves_no_name(ours, tmp_path):
    """It has no journal yet: the next fill could not tell whose it is, and would begin one beside it."""
    for file in (FILE, promised(content(0.5, seed=2))):
        with ours.claim(file):
            assert names_in(tmp_path / "models/sub") != []
        assert names_in(tmp_path / "models/sub") == []


def test_what_one_attempt_has_recorded_the_next_one_holds(ours):
    with ours.claim(FILE) as partial:
        assert partial.held == {}
        assert bring_pieces(partial, DATA, 2) == [0, 1]
    placed, fetched = fill(ours.claim(FILE), DATA)
    assert fetched == [2, 3]
    assert placed.st_size == len(DATA)


@linux
def test_a_killed_process_leaves_its_pieces_to_the_next_one(ours, tmp_path):
    killed_after(tmp_path, 3.5, 1, upto=2)
    assert len(left_over(tmp_path)) == 2
    _, fetched = fill(ours.claim(FILE), DATA)
    assert fetched == [2, 3]
    assert (tmp_path / FINAL).read_bytes() == DATA
    assert left_over(tmp_path) == []


@linux
def test_of_several_dead_writers_the_fullest_is_taken_and_the_others_are_read(ours, tmp_path):
    killed_after(tmp_path, 3.5, 1, upto=1)
    first = left_over(tmp_path)
    killed_after(tmp_path, 3.5, 1, upto=3)
    with ours.claim(FILE) as partial:
        assert list(partial.held) == [0, 1, 2]
    # The second took over from the first, so one partial was left; now it is ours.
    assert len(first) == len(left_over(tmp_path)) == 2
    assert all("aaaaaaaa" in name for name in left_over(tmp_path))


@linux
def test_a_takeover_that_is_cut_short_before_its_rename_loses_nothing(ours, tmp_path):
    killed_after(tmp_path, 3.5, 1, upto=2)
    ours.open_journal(FILE, 0, dict(enumerate(pieces_of(DATA)[:2]))).close()  # ... and here the first one died
    later = Partials(ours.volume, writer_named("bbbbbbbb"))
    with later.claim(FILE) as partial:
        assert list(partial.held) == [0, 1]


@linux
def test_of_two_that_take_over_one_wins_and_the_other_goes_on_without(ours, volume, tmp_path, monkeypatch):
    killed_after(tmp_path, 3.5, 1, upto=2)
    theirs = Partials(volume, writer_named("bbbbbbbb"))
    take = Partials._take

    def beaten(self, *words):
        monkeypatch.setattr(Partials, "_take", take)
        theirs.claim(FILE).close()
        return take(self, *words)

    monkeypatch.setattr(Partials, "_take", beaten)
    with ours.claim(FILE) as partial:
        assert partial.held == {}
    with theirs.claim(FILE) as partial:
        assert list(partial.held) == [0, 1]


def test_pieces_of_an_unknown_writer_are_copied_and_its_files_left_alone(ours, volume, tmp_path):
    theirs = Partials(volume, writer_named("bbbbbbbb", STRANGER))
    with theirs.claim(FILE) as partial:
        bring_pieces(partial, DATA, 2)
        name = partial.name
    before = (tmp_path / "models/sub" / name).read_bytes()
    with ours.claim(FILE) as partial:
        assert partial.held == {}
        assert [list(other.pieces) for other in partial.others] == [[0, 1]]
        assert bring_pieces(partial, DATA) == [2, 3]
        assert (tmp_path / "models/sub" / name).read_bytes() == before
    assert any("bbbbbbbb" in name for name in left_over(tmp_path))


def test_a_lying_journal_costs_bytes_and_nothing_else(ours, volume, tmp_path):
    theirs = Partials(volume, writer_named("bbbbbbbb", STRANGER))
    for store in (ours, theirs):
        with store.claim(FILE) as partial:
            bring_pieces(partial, DATA, 3)
            with Path(partial.folder.path, partial.name).open("r+b") as bytes_of:
                bytes_of.seek(PIECE_SIZE + 5)
                bytes_of.write(b"damage")
    placed, fetched = fill(ours.claim(FILE), DATA)
    assert placed is not None
    assert fetched == [1, 3]
    assert (tmp_path / FINAL).read_bytes() == DATA


def test_pieces_that_a_quota_has_taken_away_are_not_held(ours):
    with ours.claim(FILE) as partial:
        bring_pieces(partial, DATA, 3)
        os.truncate(f"{partial.folder.path}/{partial.name}", 0)
    with ours.claim(FILE) as partial:
        assert partial.held == {}


def test_a_partial_longer_than_the_promise_is_cut(ours):
    with ours.claim(FILE) as partial:
        partial.write_at(len(DATA), b"too much")
    with ours.claim(FILE) as partial:
        assert partial.stat().st_size == len(DATA)


def test_a_journal_goes_on_after_a_line_that_was_cut(ours, tmp_path):
    with ours.claim(FILE) as partial:
        bring_pieces(partial, DATA, 2)
    journal = next((tmp_path / ".provision/partials").iterdir())
    journal.write_bytes(journal.read_bytes()[:-10])
    with ours.claim(FILE) as partial:
        assert list(partial.held) == [0]
        assert bring_pieces(partial, DATA, 3) == [1, 2]
    with ours.claim(FILE) as partial:
        assert list(partial.held) == [0, 1, 2]


def test_a_file_of_one_piece_needs_no_journal(ours, tmp_path):
    small = promised(b"small", "models/small.json")
    with ours.claim(small) as partial:
        bring_pieces(partial, b"small")
        assert not (tmp_path / ".provision/partials").exists()
    assert fill(ours.claim(small), b"small")[0].st_size == 5


def test_what_was_written_of_a_file_of_one_piece_is_not_left_behind(ours, tmp_path):
    """Nobody could go on with it: each stop would add one to the room that is taken."""
    with ours.claim(promised(b"small", "models/small.json")) as partial:
        bring_pieces(partial, b"small")
        assert len(left_over(tmp_path)) == 1
    assert left_over(tmp_path) == []


def test_what_a_killed_process_left_of_a_small_file_goes_when_it_is_placed(ours, tmp_path):
    killed_after(tmp_path, 0.5, 2, upto=1)
    assert len(left_over(tmp_path)) == 1
    data = content(0.5, seed=2)
    fill(ours.claim(promised(data)), data)
    assert left_over(tmp_path) == []


def test_an_empty_file_is_a_file(ours, tmp_path):
    placed, fetched = fill(ours.claim(promised(b"", "empty")), b"")
    assert (placed.st_size, fetched) == (0, [])
    assert (tmp_path / "empty").read_bytes() == b""


def test_discarding_takes_our_bytes_and_nobody_elses(ours, volume, tmp_path):
    for store in (Partials(volume, writer_named("bbbbbbbb", STRANGER)), ours):
        with store.claim(FILE) as partial:
            bring_pieces(partial, DATA, 1)
    ours.claim(FILE).discard()
    assert len(left_over(tmp_path)) == 2
    assert all("bbbbbbbb" in name for name in left_over(tmp_path))


def test_a_journal_that_is_a_link_is_not_followed(ours, tmp_path):
    with ours.claim(FILE) as partial:
        bring_pieces(partial, DATA, 1)
    journal = next((tmp_path / ".provision/partials").iterdir())
    journal.rename(tmp_path / "elsewhere")
    journal.symlink_to(tmp_path / "elsewhere")
    with ours.claim(FILE) as partial:
        assert partial.held == {}
        with pytest.raises(UnsafePath):
            partial.record(0, "a" * 64)


def test_state_for_partials_that_is_a_link_is_refused(ours, tmp_path):
    (tmp_path / ".provision").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".provision/partials").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafePath):
        ours.claim(FILE)


def test_a_target_below_a_link_is_refused_before_a_byte_is_written(ours, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "models/sub").symlink_to(tmp_path / "outside")
    with pytest.raises(UnsafePath, match="models/sub is a symbolic link"):
        ours.claim(FILE)
    assert names_in(tmp_path / "outside") == []


def test_claims_leave_no_descriptor_open(ours, volume):
    with Partials(volume, writer_named("bbbbbbbb", STRANGER)).claim(FILE) as partial:
        bring_pieces(partial, DATA, 2)
    before = open_descriptors()
    with ours.claim(FILE) as partial:
        bring_pieces(partial, DATA, 2)
    ours.claim(FILE).close()
    assert open_descriptors() == before
    fill(ours.claim(FILE), DATA)
    assert open_descriptors() == before


def test_bytes_are_flushed_every_few_pieces_and_before_what_vouches_for_them(ours, monkeypatch):
    flushed = []
    flush = File.sync_data
    monkeypatch.setattr(File, "sync_data", lambda file: (flushed.append(file.path.rpartition(".")[2]), flush(file))[1])
    large = LockedFile(path="a", target="large", size=20 * PIECE_SIZE, sha256="a" * 64)
    with ours.claim(large) as partial:
        for index in range(17):
            assert flushed == ["partial", "journal"] * (index // 8)
            partial.record(index, "b" * 64)
