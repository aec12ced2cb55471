"""Four connections share a file of eight pieces, and the hub or its CDN is hostile to all of them."""

from __future__ import annotations

import itertools
import random
import threading

import pytest
from byte_faults import (
    Crowd,
    Meeting,
    announces,
    bodies,
    caps,
    cuts_after,
    flips,
    honestly,
    honours,
    ignores_range,
    in_turn,
    meets,
    on_piece,
    signs_each,
    waits_until,
)
from fill_bed import EIGHT, NAME, SIZES, SMALL_PIECE, THREE, TOKEN, Bed, build, content, file_of, small_pieces
from hub_kinds import KINDS
from misbehaving_hub import MisbehavingHub, Rule, answers, later

from provision.errors import ConnectionCut, DigestMismatch, ExitCode, ObjectChanged
from provision.retry import Patience
from provision.serve import Folder, Settings
from provision.transfer import width

FILE = r"/resolve/|/repo\?"
ALL = SIZES[EIGHT]
P = SMALL_PIECE
K = 1_500_000
MIB = 1 << 20
FOUR = {"connections": 4}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with MisbehavingHub(Folder(build(tmp_path_factory.mktemp("served"), (THREE, EIGHT))), Settings(token=TOKEN)) as hub:
        yield hub


@pytest.fixture(params=KINDS, ids=str)
def bed(request, hub, tmp_path, monkeypatch):
    small_pieces(monkeypatch)
    monkeypatch.setattr(width, "LOOK", 0.01)  # help comes at once
    hub.rules.clear()
    hub.log.clear()
    (tmp_path / "volume").mkdir()
    return Bed(hub=hub, kind=request.param, volume=tmp_path / "volume")


def at_cdn(behaviour):
    return [Rule("", behaviour, place="cdn")]


def assert_done(result):
    assert result.exit_code == ExitCode.DONE
    assert result.fetched == ALL, "no byte comes twice"


def wait_for(bed, crowd, count):
    """A wait is over when `count` more bytes have come, or when nobody is under way."""
    until = sent(bed) + count
    while crowd.here and sent(bed) < until:
        threading.Event().wait(0.001)


def sent(bed):
    return sum(request.sent for request in bed.hub.asked("", "cdn"))


def assert_nothing_is_left(bed, path):
    assert not (bed.volume / "models" / path).exists()
    assert [found for found in bed.volume.rglob("*.partial") if found.stat().st_size] == []


@pytest.mark.parametrize("seed", [1, 2])
def test_when_each_connection_is_cut_at_random_no_byte_comes_twice_and_nobody_hurries(bed, seed):
    where = random.Random(seed)
    bed.hub.rules += at_cdn(in_turn(cuts_after(where.randrange(P // 8, P // 4)) for _ in itertools.count()))
    result = bed.fill(bed.lock(EIGHT), Patience(attempts=3, first_wait=8.0, longest_wait=16.0), **FOUR)
    assert_done(result)
    asked = len(result.ranges())
    assert asked <= 8 + ALL // (P // 8)
    assert len(result.sleeps) < asked
    assert all(4.0 <= wait <= 8.0 for wait in result.sleeps), "what came in between lets the waits begin anew"


def test_cuts_on_the_way_do_not_drive_the_other_connections_away(bed):
    """Each of the four is cut twice. Then nobody is answered until four have asked."""
    asked = itertools.chain([cuts_after(3 * P // 8)] * 8, [meets(4)] * 4, itertools.repeat(honestly))
    crowd = Crowd(most=99, refusal=answers(500), behaviour=in_turn(asked))
    bed.hub.rules += at_cdn(crowd)
    assert_done(bed.fill(bed.lock(EIGHT), **FOUR))
    assert max(crowd.met[8:12]) == 4


def test_a_range_that_came_wrong_once_comes_right_and_its_bytes_are_told(bed):
    bed.hub.rules += at_cdn(on_piece(5, flips(5 * P + K), meeting=Meeting(4)))
    result = bed.fill(bed.lock(EIGHT), **FOUR)
    assert result.exit_code == ExitCode.DONE
    assert result.fetched == 2 * ALL, "nobody can know which piece is wrong before all have come right"
    assert any(f"bytes {5 * P:,}-{6 * P - 1:,}" in note and NAME in note for note in result.notes)


def test_a_range_that_comes_wrong_in_another_way_each_time_is_named_with_its_source(bed):
    bed.hub.rules += at_cdn(on_piece(1, *(flips(P + at) for at in range(10))))
    result = bed.fill(bed.lock(THREE), **FOUR)
    assert type(result.error) is DigestMismatch
    assert result.exit_code == ExitCode.BYTES
    assert f"{bed.kind.scheme}://{NAME}" in result.error.message
    assert f"bytes {P:,}-{2 * P - 1:,}" in result.error.message
    assert_nothing_is_left(bed, THREE)


def test_a_range_that_always_comes_wrong_alike_is_laid_to_its_source(bed):
    """Whoever sends the same bytes twice has another file, as far as anybody can tell."""
    bed.hub.rules += at_cdn(on_piece(1, then=flips(P + K)))
    result = bed.fill(bed.lock(THREE), **FOUR)
    assert type(result.error) is DigestMismatch
    assert f"{bed.kind.scheme}://{NAME}" in result.error.message
    assert_nothing_is_left(bed, THREE)


def test_a_first_range_that_is_answered_last_is_waited_for(bed):
    bed.hub.rules += at_cdn(on_piece(0, waits_until(lambda: sent(bed) >= ALL - P)))
    result = bed.fill(bed.lock(EIGHT), **FOUR)
    assert_done(result)
    assert result.sleeps == []
    assert len(result.ranges()) == 8


@pytest.mark.parametrize("count", [1, 3])
def test_an_address_that_is_over_after_some_requests_is_asked_for_anew_without_a_wait(bed, count):
    bed.hub.rules += [Rule(FILE, signs_each()), *at_cdn(honours(count))]
    result = bed.fill(bed.lock(EIGHT), **FOUR)
    assert_done(result)
    assert result.sleeps == []
    assert len(result.ranges("hub")) <= 8
    assert [request.status for request in result.requests if request.place == "cdn"].count(403) <= 8


def test_an_address_that_is_over_in_the_middle_of_a_range_is_asked_for_anew(bed):
    bed.hub.rules += [Rule(FILE, signs_each()), *at_cdn(honours(1, cut=K))]
    assert_done(bed.fill(bed.lock(EIGHT), **FOUR))


@pytest.mark.parametrize("refusal", [answers(429, {"Retry-After": "7"}), answers(503)], ids=["429", "503"])
def test_a_server_that_bears_two_connections_gets_two_and_the_file_comes(bed, refusal):
    crowd = Crowd(most=2, refusal=refusal)
    bed.pause = lambda _seconds: wait_for(bed, crowd, 4 * P)
    bed.hub.rules += at_cdn(crowd)
    assert_done(bed.fill(bed.lock(EIGHT), **FOUR))
    assert max(crowd.met) == 2
    assert 1 <= crowd.refused <= 8


def test_a_first_range_that_is_refused_while_others_come_is_no_failure_of_the_file(bed, monkeypatch):
    """The file's owner asks first, and finds both connections taken by those who help, again and again."""
    monkeypatch.setattr(width, "LOOK", 0.1)
    crowd = Crowd(most=2, refusal=answers(503))

    refused = waits_until(lambda: crowd.here == 2, then=crowd.refusal)
    bed.pause = lambda _seconds: wait_for(bed, crowd, P)
    bed.hub.rules += at_cdn(in_turn(itertools.chain([refused], itertools.repeat(crowd))))
    assert_done(bed.fill(bed.lock(EIGHT), **FOUR))


def test_a_server_whose_parts_are_small_is_asked_for_the_next_at_once(bed):
    bed.hub.rules += at_cdn(caps(MIB))
    result = bed.fill(bed.lock(EIGHT), **FOUR)
    assert_done(result)
    assert result.sleeps == []
    assert len(result.ranges()) <= ALL // MIB + 8
    assert max(request.sent for request in result.requests) <= MIB


def test_a_server_that_ignores_ranges_sends_the_whole_to_one(bed):
    bed.hub.rules += at_cdn(ignores_range())
    result = bed.fill(bed.lock(EIGHT), **FOUR)
    assert result.exit_code == ExitCode.DONE
    assert result.sleeps == []
    assert ALL <= result.fetched <= ALL + 3 * P, "the others leave as soon as they notice"


def test_a_server_that_never_comes_to_what_is_missing_is_given_up(bed):
    """It begins anew each time, and is cut before the second piece: bytes that are passed over are no progress."""
    bed.hub.rules += later(1, "", ignores_range(cut=K), times=None)
    result = bed.fill(bed.lock(THREE), connections=1)
    assert type(result.error) is ConnectionCut
    assert len(result.sleeps) == 2


def test_an_object_that_is_replaced_between_two_ranges_is_an_error_and_no_mixture(bed):
    bed.hub.rules += later(4, "", announces({"etag": '"another"'}), times=None)
    result = bed.fill(bed.lock(EIGHT), **FOUR)
    assert type(result.error) is ObjectChanged
    assert result.exit_code == ExitCode.BYTES
    assert not (bed.volume / "models" / EIGHT).exists()


def test_other_bytes_under_the_old_name_are_an_error_and_no_mixture(bed):
    """A server without strong ETags replaces the object: only the sha256 of the whole can tell."""
    bed.hub.rules += later(1, "", bodies(lambda body: body[::-1], chunked=False), times=None)
    lock = bed.lock(THREE)
    result = bed.fill(lock, **FOUR)
    assert result.exit_code == ExitCode.BYTES
    assert_nothing_is_left(bed, THREE)
    bed.hub.rules.clear()
    assert bed.fill(lock, **FOUR).exit_code == ExitCode.DONE
    assert (bed.volume / file_of(THREE).target).read_bytes() == content(THREE)
