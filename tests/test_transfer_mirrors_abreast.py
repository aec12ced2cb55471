"""Mirrors of a file that comes over four connections at once: from either hub, with the other one behind it."""

from __future__ import annotations

import time

import pytest
from byte_faults import Meeting, cuts_after, flips, on_piece
from fill_bed import EIGHT, NAME, SIZES, SMALL_PIECE, THREE, TOKEN, bed_at, build, small_pieces
from hub_kinds import HUGGINGFACE, MODELSCOPE, reach
from misbehaving_hub import MisbehavingHub, Rule, answers
from test_transfer_mirrors import Beds, done

from provision.errors import DigestMismatch
from provision.lock import Mirror
from provision.serve import Folder, Settings
from provision.transfer import width

FILE = r"/resolve/|/repo\?"
P = SMALL_PIECE
FOUR = {"connections": 4}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = Folder(build(tmp_path_factory.mktemp("served"), (THREE, EIGHT)))
    with MisbehavingHub(folder, Settings(token=TOKEN)) as hub, MisbehavingHub(folder) as mirror:
        yield hub, mirror


@pytest.fixture(params=[(HUGGINGFACE, MODELSCOPE), (MODELSCOPE, HUGGINGFACE)], ids=lambda kinds: str(kinds[0]))
def kinds(request):
    return request.param


@pytest.fixture
def beds(served, kinds, tmp_path, monkeypatch):
    small_pieces(monkeypatch)
    monkeypatch.setattr(width, "LOOK", 0.01)  # help comes at once
    hub, mirror = served
    mirror.rules.clear()
    mirror.log.clear()
    bed = bed_at(hub, kinds[0], tmp_path)
    bed.used = lambda: 0.0 if hub.log else time.monotonic()  # help comes when the owner has asked
    bed.sent_elsewhere = 10 * SIZES[EIGHT]
    bed.others = {kinds[1].scheme: reach(kinds[1], mirror.endpoint)}
    return Beds(bed=bed, mirror=mirror)


@pytest.fixture
def names(kinds):
    """Of the source, and of the mirror."""
    return [f"{kind.scheme}://{NAME}" for kind in kinds]


def fill(beds, kinds, path):
    commit = beds.mirror.folder.repository(kinds[1].scheme, NAME).snapshot().commit
    mirror = Mirror(source=f"{kinds[1].scheme}://{NAME}", revision=kinds[1].branch, commit=commit)
    return beds.fill(path, mirrors=(mirror,), **FOUR)


def at_cdn(behaviour):
    return Rule("", behaviour, place="cdn")


def test_where_the_source_refuses_all_the_mirror_serves_the_whole(beds, kinds, names):
    beds.bed.hub.rules.append(Rule(FILE, answers(404)))
    result = fill(beds, kinds, EIGHT)
    assert done(result).served == {names[1]: SIZES[EIGHT]}
    assert list(done(result).dropped) == [names[0]]
    assert result.sleeps == []


def test_where_the_source_fails_on_the_way_the_mirror_takes_over_and_no_byte_comes_twice(beds, kinds, names):
    meeting = Meeting(4)
    beds.bed.hub.rules[:] = [
        Rule("", on_piece(0, cuts_after(P // 2), meeting=meeting), times=4, place="cdn"),
        at_cdn(answers(503)),
    ]
    result = fill(beds, kinds, EIGHT)
    assert len(set(meeting.clients)) == 4
    assert done(result).served[names[0]] == 3 * P + P // 2
    assert done(result).served[names[1]] == SIZES[EIGHT] - 3 * P - P // 2
    assert len(result.sleeps) <= 1, "of the one that was cut, before the source was asked once more"


def test_a_source_that_asks_for_time_is_left_alone_and_the_mirror_goes_on_without_a_wait(beds, kinds, names):
    meeting = Meeting(4)
    asks = on_piece(1, answers(429, {"Retry-After": "60"}), meeting=meeting)
    beds.bed.hub.rules.append(at_cdn(asks))
    result = fill(beds, kinds, EIGHT)
    assert len(set(meeting.clients)) == 4
    assert sum(done(result).served.values()) == SIZES[EIGHT]
    assert done(result).served[names[0]] <= 4 * P, "what was under way, and nothing more"
    assert result.sleeps == []


def test_a_source_whose_bytes_are_wrong_is_dropped_and_the_mirror_sends_the_whole(beds, kinds, names):
    beds.bed.hub.rules.append(at_cdn(flips(P + 77)))
    outcome = done(fill(beds, kinds, THREE))
    assert outcome.served == dict.fromkeys(names, SIZES[THREE])
    assert list(outcome.dropped) == names[:1]
    assert f"bytes {P:,}-{2 * P - 1:,}" in outcome.dropped[names[0]]


def test_a_mirror_whose_bytes_are_wrong_is_dropped_and_named_with_the_bytes(beds, kinds, names):
    beds.bed.hub.rules.append(at_cdn(on_piece(0, answers(503), meeting=Meeting(3))))
    beds.mirror.rules.append(at_cdn(flips(77)))
    outcome = done(fill(beds, kinds, THREE))
    assert list(outcome.dropped) == names[1:]
    assert f"bytes 0-{P - 1:,}" in outcome.dropped[names[1]]
    assert outcome.served[names[0]] == SIZES[THREE], "what the source had sent was not asked of it again"


def test_bytes_that_are_wrong_at_both_get_no_name_and_both_are_named(beds, kinds, names):
    for hub in (beds.bed.hub, beds.mirror):
        hub.rules.append(at_cdn(on_piece(0, then=flips(5))))
    result = fill(beds, kinds, THREE)
    assert isinstance(result.error, DigestMismatch)
    assert set(names) <= set(result.error.message.replace(",", "").split())
    assert not (beds.bed.volume / "models" / THREE).exists()
