"""Relief: near the end nobody waits for one slow connection, and what it has brought is kept."""

from __future__ import annotations

import math
import os
import threading
import time

import pytest
from byte_faults import drips, on_piece, stalls_after, waits_until
from fill_bed import SIZES, SMALL_PIECE, THREE, TOKEN, Bed, build, content, small_pieces
from hub_kinds import KINDS
from misbehaving_hub import MisbehavingHub, Rule, answers

from provision.digest import PIECE_SIZE
from provision.errors import ExitCode, VolumeTrouble
from provision.hubs.http import READ_SIZE
from provision.serve import Folder, Settings
from provision.transfer import width
from provision.transfer.assembly import Assembly
from provision.transfer.ledger import Ledger
from provision.transfer.relief import AGAIN, LITTLE, SICK, SOON, longest, relieve
from provision.transfer.stretch import Stretch
from provision.volume.files import File
from provision.volume.partial import Partial

P = PIECE_SIZE
NOW = 1000.0


class Nowhere:
    """A site of which these tests need nothing."""

    file = None


def under_way(ledger, pieces, moved, seconds):
    """A stretch of so many pieces that is at work for so long, and has brought so much of its first."""
    stretch = Stretch(Nowhere(), [part for _ in range(pieces) for part in ledger.take(99)], NOW - seconds)
    part = stretch.current()
    part.take(part.admit(memoryview(bytes(moved))))
    stretch.moved = moved
    return stretch


def test_who_will_be_done_soon_or_has_only_begun_is_left_alone():
    ledger = Ledger(9 * P, set())
    fast = under_way(ledger, 1, P // 2, SOON)
    new = under_way(ledger, 1, 1, SOON / 2)
    slow = under_way(ledger, 1, P // 8, 2 * SOON)
    slower = under_way(ledger, 1, P // 16, 2 * SOON)
    assert longest([fast, new], 0.0, NOW) is None
    assert longest([fast, slow, slower, new], 0.0, NOW) is slower
    slower.is_alone = True
    assert longest([slower], 0.0, NOW) is None


def test_pieces_that_wait_are_taken_first():
    ledger = Ledger(4 * P, set())
    stretch = under_way(ledger, 4, 1000, 2 * SOON)
    assert [part.piece.index for part in relieve(stretch, ledger, 0.0, NOW)] == [1]
    assert [stretch.part.piece.index, *stretch.waiting] == [0]
    assert ledger.missing == [2 * P, 3 * P]


def test_one_as_fast_as_others_shares_what_it_has():
    ledger = Ledger(P, set())
    stretch = under_way(ledger, 1, 4 * LITTLE, 8 * SOON)
    (rest,) = relieve(stretch, ledger, stretch.speed(NOW), NOW)
    assert stretch.part.end == rest.begin == 10 * LITTLE
    assert rest.end == P


def test_little_is_not_shared():
    ledger = Ledger(P, set())
    stretch = under_way(ledger, 1, P - 2 * LITTLE + 1, 100 * SOON)
    assert longest([stretch], stretch.speed(NOW), NOW) is None


def test_one_far_slower_than_others_loses_all_it_has_and_what_came_stays():
    ledger = Ledger(P, set())
    stretch = under_way(ledger, 1, 1000, 2 * SOON)
    (part,) = relieve(stretch, ledger, 2 * SICK * stretch.speed(NOW), NOW)
    assert (part.begin, part.offset, part.end) == (0, 1000, P)
    assert stretch.is_done


def test_bytes_on_their_way_to_the_volume_keep_their_bringer():
    ledger = Ledger(P, set())
    stretch = under_way(ledger, 1, 1000, 2 * SOON)
    usual = 2 * SICK * stretch.speed(NOW)
    assert longest([stretch], usual, NOW) is stretch
    stretch.part.admit(memoryview(bytes(100)))
    assert longest([stretch], usual, NOW) is None


def test_a_part_that_has_come_is_not_taken_from_who_is_about_to_say_so():
    ledger = Ledger(P, set())
    stretch = under_way(ledger, 1, P, 1000 * SOON)
    assert longest([stretch], 1e12, NOW) is None


def test_one_who_has_nothing_to_give_stands_before_nobody():
    ledger = Ledger(2 * P, set())
    little = under_way(ledger, 1, P - LITTLE, 1000 * SOON)
    some = under_way(ledger, 1, 4 * LITTLE, 8 * SOON)
    assert longest([little, some], 0.0, NOW) is some


def test_what_was_taken_over_is_left_to_its_new_bringer_for_longer():
    ledger = Ledger(P, set())
    slow = under_way(ledger, 1, 1000, 2 * SOON)
    taken = Stretch(Nowhere(), relieve(slow, ledger, 1e9, NOW), NOW)
    taken.current()
    assert longest([taken], 0.0, NOW + AGAIN * SOON - 0.1) is None
    assert longest([taken], 0.0, NOW + AGAIN * SOON) is taken


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with MisbehavingHub(Folder(build(tmp_path_factory.mktemp("served"), (THREE,))), Settings(token=TOKEN)) as hub:
        yield hub


@pytest.fixture(params=KINDS, ids=str)
def bed(request, hub, tmp_path, monkeypatch):
    """Help and relief come soon. Three pieces, of which two are shared by two each at least, since all are slow."""
    small_pieces(monkeypatch)
    monkeypatch.setattr(width, "LOOK", 0.01)
    hub.rules.clear()
    hub.log.clear()
    (tmp_path / "volume").mkdir()
    return Bed(hub=hub, kind=request.param, volume=tmp_path / "volume", soon=0.15)


def at_cdn(behaviour):
    return [Rule("", behaviour, place="cdn")]


def assert_done(bed, result, *, again=0):
    assert result.exit_code == ExitCode.DONE
    assert (bed.volume / "models" / THREE).read_bytes() == content(THREE)
    relieved = len(result.ranges()) - 3
    assert result.fetched <= SIZES[THREE] + relieved * READ_SIZE + again, "only what was on its way comes twice"


def test_one_connection_that_hardly_moves_is_left_and_its_bytes_come_over_another(bed):
    bed.hub.rules += at_cdn(on_piece(1, drips(500, 0.05)))
    result = bed.fill(bed.lock(THREE), connections=3)
    assert_done(bed, result)
    starts = [int(text.split("-")[0]) for text in result.ranges()]
    first, *again = sorted(start for start in starts if SMALL_PIECE <= start < 2 * SMALL_PIECE)
    assert first == SMALL_PIECE
    assert again
    assert min(again) < SMALL_PIECE + READ_SIZE, "from where the first had come to"


@pytest.mark.parametrize("piece", [0, 1], ids=["the owner's", "a helper's"])
def test_a_connection_that_has_gone_silent_does_not_hold_the_file(bed, piece):
    """All of it comes over others, and nobody waits until its patience is over."""
    bed.hub.rules += at_cdn(on_piece(piece, stalls_after(200_000)))
    began = time.monotonic()
    assert_done(bed, bed.fill(bed.lock(THREE), connections=3, stall=60.0))
    assert time.monotonic() - began < 30.0


def test_connections_that_are_all_slow_share_the_last_pieces(bed):
    bed.hub.rules += at_cdn(drips(64 * 1024, 0.02))
    result = bed.fill(bed.lock(THREE), connections=8)
    shared = [text for text in result.ranges() if int(text.split("-")[0]) % SMALL_PIECE]
    assert shared, (result.ranges(), result.notes)
    assert_done(bed, result)


def test_a_shared_piece_that_the_volume_loses_is_fetched_again_once(bed, monkeypatch):
    honest, spoilt = File.write_at, []

    def spoiling(file, offset, data):
        honest(file, offset, data)
        if offset % SMALL_PIECE > SMALL_PIECE // 2 and file.path.endswith(".partial") and not spoilt:
            os.pwrite(file._fd, b"spoilt", offset)
            spoilt.append(offset)

    monkeypatch.setattr(File, "write_at", spoiling)
    bed.hub.rules += at_cdn(drips(64 * 1024, 0.02))
    result = bed.fill(bed.lock(THREE), connections=8)
    assert any("is not what was written" in note for note in result.notes)
    assert_done(bed, result, again=SMALL_PIECE)


def test_what_was_lost_once_is_believed_only_when_it_is_read_back(bed, monkeypatch):
    """It comes again at the front, where it would have been hashed on its way, and is lost again."""
    honest, lost = File.write_at, SMALL_PIECE + 99

    def spoiling(file, offset, data):
        honest(file, offset, data)
        if offset <= lost < offset + len(data) and file.path.endswith(".partial"):
            os.pwrite(file._fd, b"spoilt", lost)

    monkeypatch.setattr(File, "write_at", spoiling)
    bed.soon = math.inf
    bed.hub.rules += at_cdn(on_piece(0, waits_until(lambda: brought(bed) >= SIZES[THREE] - SMALL_PIECE)))
    result = bed.fill(bed.lock(THREE), connections=3)
    assert type(result.error) is VolumeTrouble
    assert not (bed.volume / "models" / THREE).exists()


def brought(bed):
    return sum(request.sent for request in bed.hub.asked("", "cdn"))


def test_a_partial_is_closed_only_when_nobody_writes_to_it_any_more(bed, monkeypatch):
    """The owner's range breaks off for good while a helper's bytes are on their way to the volume."""
    writing, order = threading.Event(), []
    honest_write, honest_close = File.write_at, Partial.close

    def slow(file, offset, data):
        if offset >= SMALL_PIECE and file.path.endswith(".partial") and not writing.is_set():
            writing.set()
            threading.Event().wait(1.0)
            order.append("written")
        honest_write(file, offset, data)

    def close(partial):
        order.append("closed")
        honest_close(partial)

    monkeypatch.setattr(File, "write_at", slow)
    monkeypatch.setattr(Partial, "close", close)
    bed.hub.rules += at_cdn(on_piece(0, then=waits_until(writing.is_set, then=answers(404))))
    result = bed.fill(bed.lock(THREE), connections=3)
    assert result.error is not None
    assert order[:2] == ["written", "closed"]


def test_a_volume_that_goes_on_losing_what_is_written_is_told_and_nothing_gets_a_name(bed, monkeypatch):
    honest = File.write_at

    def spoiling(file, offset, data):
        honest(file, offset, data)
        if offset <= SMALL_PIECE + 99 < offset + len(data) and file.path.endswith(".partial"):
            os.pwrite(file._fd, b"spoilt", SMALL_PIECE + 99)

    monkeypatch.setattr(File, "write_at", spoiling)
    monkeypatch.setattr(Assembly, "begin", lambda _, stretch: stretch.current())  # every piece comes before its turn
    result = bed.fill(bed.lock(THREE), connections=3)
    assert type(result.error) is VolumeTrouble
    assert "does not stay" in result.error.message
    assert not (bed.volume / "models" / THREE).exists()
