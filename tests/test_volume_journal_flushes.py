"""What a flush has vouched for outlives one that fails; what none has vouched for is given up, and moves again."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from volume_material import STRANGER, bring_pieces, content, fill, left_over, promised, writer_named

from provision.digest import PIECE_SIZE
from provision.errors import HubRefused, VolumeFull, VolumeTrouble
from provision.lock import LockedFile
from provision.volume.files import File
from provision.volume.journal import piece_line
from provision.volume.partials import Partials
from provision.volume.paths import Folder
from provision.volume.placing import place

LARGE = LockedFile(path="a", target="large", size=20 * PIECE_SIZE, sha256="a" * 64)
DATA = content(2.5, seed=6)
FILE = promised(DATA)
DIGEST = "b" * 32


def note(partial, pieces):
    """Say that `pieces` are there; a partial has its length, and nothing but holes."""
    partial.write_at(LARGE.size, b"")
    os.truncate(f"{partial.folder.path}/{partial.name}", LARGE.size)
    for index in pieces:
        partial.record(index, DIGEST)


@contextmanager
def failing(monkeypatch, call, suffix=".partial", error=VolumeTrouble):
    """Within, the first `call` on a file whose name ends so fails; the others go well. (Linux tells once.)"""
    honest, told = getattr(File, call), []

    def fails(file, *words):
        if file.path.endswith(suffix) and not (told or file._closed):
            told.append(file.path)
            if call == "close":
                honest(file)
            raise error("the file system failed")
        honest(file, *words)

    with monkeypatch.context() as patch:
        patch.setattr(File, call, fails)
        yield
    assert told, "the fault did not strike"


def no_journal_goes(patch):
    """None can be taken away from now on."""
    unlink = Folder.unlink

    def fails(folder, name):
        if name.endswith(".journal"):
            raise VolumeTrouble("the file system failed")
        return unlink(folder, name)

    patch.setattr(Folder, "unlink", fails)


def held(store):
    with store.claim(LARGE) as partial:
        return sorted(partial.held)


@pytest.mark.parametrize("who", ["the same process", "another that takes over"])
def test_a_first_flush_that_fails_costs_only_what_none_has_vouched_for(volume, ours, monkeypatch, who):
    with ours.claim(LARGE) as partial:
        note(partial, range(19))  # two flushes of eight, and three pieces more
    if who != "the same process":  # seen from where no such process runs any more
        ours = Partials(volume, writer_named("cccccccc"))
        monkeypatch.setattr("provision.volume.partials.is_dead", lambda *_: True)
    with failing(monkeypatch, "sync_data"), ours.claim(LARGE) as partial:
        assert sorted(partial.held) == list(range(19))
        with pytest.raises(VolumeTrouble):
            partial.record(19, DIGEST)
    assert held(ours) == list(range(16))


def test_a_flush_that_fails_again_and_again_costs_no_more(ours, monkeypatch):
    with ours.claim(LARGE) as partial:
        note(partial, range(9))
    for index in (10, 11, 12):
        with failing(monkeypatch, "sync_data"), ours.claim(LARGE) as partial, pytest.raises(VolumeTrouble):
            note(partial, range(index, 20))
        assert held(ours) == list(range(8))


def test_what_goes_wrong_at_the_end_costs_only_what_was_not_flushed(ours, monkeypatch):
    """Also where everything was there, so that nothing has been written to the journal before."""
    with ours.claim(LARGE) as partial:
        note(partial, range(20))
    with failing(monkeypatch, "sync"), ours.claim(LARGE) as partial, pytest.raises(VolumeTrouble):
        place(partial)
    assert held(ours) == list(range(16))


@pytest.mark.parametrize(("goes", "left"), [(True, []), (False, list(range(8)))], ids=["goes", "stays"])
def test_a_journal_that_cannot_be_cut_goes_and_where_it_stays_what_it_says_of_no_flush_is_not_believed(
    ours, monkeypatch, goes, left
):
    """The volume has just failed to flush: it may fail to cut, too, and memory still shows the bytes that it lost."""
    with ours.claim(LARGE) as partial, monkeypatch.context() as patch:
        note(partial, range(15))
        if not goes:
            no_journal_goes(patch)
        cut_fails, flush_fails = failing(monkeypatch, "truncate", ".journal"), failing(monkeypatch, "sync_data")
        with cut_fails, flush_fails, pytest.raises(VolumeTrouble):
            partial.record(15, DIGEST)
    assert held(ours) == held(ours) == left
    with ours.claim(LARGE) as partial:
        note(partial, [9, 8])
    assert held(ours) == [*left, 8, 9]


def test_who_records_after_the_flush_of_another_has_failed_is_told_the_same(ours, monkeypatch):
    """His bytes may have been among those that were dropped, and the cut is behind the place of his line."""
    with ours.claim(LARGE) as partial:
        with failing(monkeypatch, "sync_data"), pytest.raises(VolumeTrouble) as first:
            note(partial, range(8))
        with ThreadPoolExecutor(1) as other, pytest.raises(VolumeTrouble) as second:
            other.submit(partial.record, 8, DIGEST).result()
        assert second.value is first.value
    assert held(ours) == []


def test_nor_does_one_who_waits_to_flush_vouch_for_lines_that_were_cut(ours, monkeypatch):
    """He came while the flush that failed was under way; his own would go well, for Linux tells once."""
    written, write_at, waiting = threading.Event(), File.write_at, []

    def watched(file, offset, data):
        write_at(file, offset, data)
        if bytes(data) == piece_line(15, DIGEST):
            written.set()

    def fails(_):
        if not waiting:
            waiting.extend(other.submit(partial.record, index, DIGEST) for index in range(8, 16))
            assert written.wait(30)  # and the next to have the guard is who takes back
            raise VolumeTrouble("the file system failed")

    with ThreadPoolExecutor(1) as other, ours.claim(LARGE) as partial:
        note(partial, range(7))
        monkeypatch.setattr(File, "write_at", watched)
        monkeypatch.setattr(File, "sync_data", fails)
        with pytest.raises(VolumeTrouble) as first:
            partial.record(7, DIGEST)
        assert [one.exception() for one in waiting] == [None] * 7 + [first.value]
    assert held(ours) == []


def test_a_piece_that_was_written_over_is_not_believed_after_a_flush_that_failed(ours, monkeypatch):
    """The page cache still shows what the volume does not have, under a line that was right of other bytes."""
    with ours.claim(LARGE) as partial:
        note(partial, range(8))
    with failing(monkeypatch, "sync_data"), ours.claim(LARGE) as partial:
        partial.write_at(3 * PIECE_SIZE + 5, b"anew")
        partial.record(3, DIGEST)
        with pytest.raises(VolumeTrouble):
            note(partial, range(8, 15))
    assert held(ours) == [0, 1, 2, 4, 5, 6, 7]


def test_nor_is_one_of_which_a_repair_was_killed_half_way(ours):
    with ours.claim(LARGE) as partial:
        note(partial, range(8))
        partial.write_at(3 * PIECE_SIZE + 5, b"anew")
    assert held(ours) == [0, 1, 2, 4, 5, 6, 7]


def test_what_is_kept_in_doubt_is_flushed_before_it_is_called_that(ours, monkeypatch):
    with ours.claim(LARGE) as partial:
        note(partial, range(11))
        with failing(monkeypatch, "sync_data"), pytest.raises(VolumeTrouble):
            partial.restrict(dict.fromkeys((1, 9), DIGEST))
    assert held(ours) == list(range(8))
    with ours.claim(LARGE) as partial:
        note(partial, (9, 10))
        partial.restrict(dict.fromkeys((1, 9), DIGEST))
        with failing(monkeypatch, "sync_data"), pytest.raises(VolumeTrouble):
            note(partial, range(11, 19))
    assert held(ours) == [1, 9]


def test_a_close_that_fails_takes_back_what_it_was_to_bring(ours, monkeypatch):
    """A network file system may tell of lost bytes only then; whoever goes on here would read them from memory."""
    with failing(monkeypatch, "close"), pytest.raises(VolumeTrouble), ours.claim(LARGE) as partial:
        note(partial, range(9))
    assert held(ours) == list(range(8))


def test_what_went_wrong_first_is_told_not_what_followed(ours, monkeypatch):
    refused = HubRefused("gone")
    with failing(monkeypatch, "close"):
        partial = ours.claim(LARGE)
        note(partial, [0])
        partial.__exit__(HubRefused, refused, None)


def test_a_journal_that_cannot_be_closed_after_the_rename_does_not_undo_the_placing(ours, monkeypatch, tmp_path):
    """A quota may be told of only there; the file stands all the same, and gets its receipt."""
    with ours.claim(FILE) as partial:
        bring_pieces(partial, DATA)
        with failing(monkeypatch, "close", ".journal", VolumeFull):
            assert place(partial) is not None
    assert (tmp_path / FILE.target).read_bytes() == DATA
    assert left_over(tmp_path) == []


def test_who_comes_second_does_not_fail_by_a_journal_that_cannot_be_closed(volume, ours, monkeypatch, tmp_path):
    theirs = Partials(volume, writer_named("bbbbbbbb", STRANGER))
    with theirs.claim(FILE) as slow:
        bring_pieces(slow, DATA)
        fill(ours.claim(FILE), DATA)
        with failing(monkeypatch, "close", ".journal"):
            assert place(slow) is None
    assert left_over(tmp_path) == []


def flushes_of(volume, monkeypatch, clock, pieces):
    """After which pieces the partial was flushed, as they came."""
    counted, flush = [], File.sync_data
    store = Partials(volume, writer_named("aaaaaaaa"), clock)
    with store.claim(LARGE) as partial, monkeypatch.context() as patch:
        patch.setattr(File, "sync_data", lambda file: (counted.append(Path(file.path).suffix), flush(file))[1])
        found = []
        for index in range(pieces):
            counted.clear()
            partial.record(index, DIGEST)
            found += [index] * (".partial" in counted)
    return found


@pytest.mark.parametrize(("pace", "after"), [(0.1, [7, 15]), (3, [3, 7, 11, 15]), (15, list(range(17)))])
def test_a_power_cut_costs_eight_pieces_of_a_fast_line_and_ten_seconds_of_a_slow_one(volume, monkeypatch, pace, after):
    ticks = iter(range(1000))
    assert flushes_of(volume, monkeypatch, lambda: next(ticks) * pace, 17) == after


def test_beside_a_flush_that_takes_long_no_second_one_is_begun_for_time_alone(volume, monkeypatch):
    """Each would hold up a connection; where the first blocks for two minutes, all of them."""
    now, flushed = [0.0], []
    store = Partials(volume, writer_named("aaaaaaaa"), lambda: now[0])

    def slow(file):
        flushed.append(file.path)
        now[0] += 120.0
        if len(flushed) == 1:
            for index in range(10, 16):  # as other threads would, while this one waits
                partial.record(index, DIGEST)

    with store.claim(LARGE) as partial:
        partial.record(0, DIGEST)
        monkeypatch.setattr(File, "sync_data", slow)
        now[0] = 11.0
        partial.record(1, DIGEST)
        assert [Path(path).suffix for path in flushed] == [".partial", ".journal"]
