"""Fills of one volume share its work: one does it, the others see that, and take over from those whose heart stops."""

from __future__ import annotations

import os
import time
from functools import partial

import pytest
from claims_bed import NAME, Clock, claims_of, kept, pass_time
from volume_material import names_in

from provision.volume.claims import ANCIENT, BEAT, STALE
from provision.volume.writer import this_process


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def fill_of(volume, clock):
    """A function that gives the claims of a new writer."""
    return partial(claims_of, volume, clock=clock)


@pytest.fixture
def ours(fill_of):
    return fill_of("aaaaaaaa", owner=this_process())


@pytest.fixture
def theirs(fill_of):
    return fill_of("bbbbbbbb")


def test_what_one_has_taken_the_other_has_not_until_it_is_given_back(ours, theirs):
    assert ours.take(NAME)
    assert not theirs.take(NAME)
    assert theirs.take("another")
    ours.release(NAME)
    assert theirs.take(NAME)
    assert not ours.take(NAME)


def test_what_is_ours_stays_ours_however_often_it_is_taken(ours, theirs):
    assert ours.take(NAME)
    assert ours.take(NAME)
    assert not theirs.take(NAME)


def test_only_what_others_hold_is_said_to_be_held(ours, theirs):
    assert ours.held_by_others([NAME]) == set()
    ours.take("mine")
    theirs.take(NAME)
    assert ours.held_by_others(["mine", NAME, "nobody's"]) == {NAME}
    assert theirs.held_by_others(["mine", NAME, "nobody's"]) == {"mine"}
    theirs.release(NAME)
    assert ours.held_by_others(["mine", NAME, "nobody's"]) == set()


def test_who_gives_back_what_is_not_its_own_takes_it_from_nobody(ours, theirs, fill_of):
    theirs.take(NAME)
    ours.release(NAME)
    assert not fill_of("cccccccc").take(NAME)


def test_any_text_may_name_work(ours, theirs):
    for name in ("", ".", "..", "/", "../../outside", "a/b", "日本", "x" * 100_000, "\0"):
        assert ours.take(name)
        assert not theirs.take(name)
        ours.release(name)


def test_leaving_gives_everything_back_and_nothing_is_left(ours, theirs, volume):
    with ours, theirs:
        for n in range(20):
            assert (ours if n % 2 else theirs).take(f"models/{n}")
        assert len(names_in(kept(volume))) == 22
    assert names_in(kept(volume)) == []


def test_claims_are_kept_in_empty_folders_only(ours, volume):
    ours.take(NAME)
    ours.beat()
    assert [path for path in kept(volume).rglob("*") if not path.is_dir()] == []


def test_looking_makes_nothing(ours, tmp_path):
    with ours:
        assert ours.held_by_others([NAME]) == set()
        ours.beat()
    assert list(tmp_path.iterdir()) == []


def test_a_claim_whose_heart_beats_is_held_for_ever(ours, theirs, clock):
    theirs.take(NAME)
    for _ in range(100):
        pass_time(clock, STALE / 2, theirs)
        assert ours.held_by_others([NAME]) == {NAME}
        assert not ours.take(NAME)


def test_a_claim_whose_heart_has_stopped_is_taken_over(ours, theirs, clock):
    theirs.take(NAME)
    assert not ours.take(NAME)
    pass_time(clock, STALE - 1)
    assert not ours.take(NAME)
    assert ours.held_by_others([NAME]) == {NAME}
    pass_time(clock, 1)
    assert ours.held_by_others([NAME]) == set()
    assert ours.take(NAME)


def test_silence_counts_from_when_we_first_saw_it(ours, theirs, clock):
    theirs.take(NAME)
    pass_time(clock, 10 * STALE)
    assert not ours.take(NAME)
    pass_time(clock, STALE)
    assert ours.take(NAME)


def test_silence_is_noticed_before_anybody_asks(ours, theirs, clock):
    theirs.take(NAME)
    pass_time(clock, STALE + BEAT, ours)
    assert ours.take(NAME)


def test_one_beat_is_enough_to_be_alive(ours, theirs, clock):
    theirs.take(NAME)
    for _ in range(5):
        assert not ours.take(NAME)
        pass_time(clock, STALE - 1)
        theirs.beat()


def test_hearts_of_different_speed_do_not_stand_for_each_other(ours, theirs, fill_of, clock):
    alive = fill_of("cccccccc")
    theirs.take(NAME)
    alive.take("another")
    assert ours.held_by_others([NAME, "another"]) == {NAME, "another"}
    pass_time(clock, STALE, alive)
    assert ours.held_by_others([NAME, "another"]) == {"another"}


@pytest.mark.parametrize("hours", [-23, -10, 10, 23])
def test_clocks_that_are_hours_apart_do_not_matter(fill_of, hours):
    here, there = Clock(100.0), Clock(9e9)
    ours = fill_of("aaaaaaaa", clock=here)
    theirs = fill_of("bbbbbbbb", clock=there, now=lambda: time.time() + hours * 3600)
    ours.take("mine")
    theirs.take(NAME)
    for _ in range(20):
        pass_time(here, BEAT, ours)
        pass_time(there, BEAT, theirs)
        assert not ours.take(NAME)
        assert not theirs.take("mine")


def test_what_is_days_old_is_left_over_at_once(fill_of, theirs):
    theirs.take(NAME)
    later = fill_of("aaaaaaaa", now=lambda: time.time() + ANCIENT + 60)
    assert later.held_by_others([NAME]) == set()
    assert later.take(NAME)


def test_a_claim_of_days_is_held_while_its_heart_beats(fill_of, theirs, volume):
    theirs.take(NAME)
    for path in (kept(volume), *kept(volume).rglob("*")):
        os.utime(path, (0, 0))
    theirs.beat()
    assert not fill_of("aaaaaaaa").take(NAME)


def test_who_was_suspended_wakes_up_beside_its_successor_and_takes_nothing_from_it(ours, theirs, fill_of, clock):
    theirs.take(NAME)
    ours.take("first look")
    pass_time(clock, STALE + BEAT, ours)
    assert ours.take(NAME)
    theirs.beat()
    assert theirs.take(NAME)  # it still believes so: both do the work
    theirs.release(NAME)
    third = fill_of("cccccccc")
    assert not third.take(NAME)
    ours.release(NAME)
    assert third.take(NAME)
