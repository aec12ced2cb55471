"""Turns: who is asked next, who is waited for, and who gives the turn away though bytes come."""

from __future__ import annotations

import pytest

from provision.errors import ConnectionCut, PathNotFound, RateLimited
from provision.retry import Patience, Retry
from provision.transfer.stretch import LITTLE
from provision.transfer.suppliers import Supplier, Suppliers
from provision.transfer.turns import Turns

PATIENCE = Patience(attempts=6, first_wait=1.0, longest_wait=30.0)


class Way:
    """A stretch of `size` bytes, suppliers that answer as they are told, and a clock that their answers move."""

    def __init__(self, size, **answers):
        self.now, self.moved, self.size, self.asked = 0.0, 0, size, []
        self._answers = answers
        self.suppliers = Suppliers([Supplier(name=name, place=name, open=None) for name in answers])
        retry = Retry(patience=PATIENCE, sleep=self.pass_time)
        self.turns = Turns(self.suppliers, retry, lambda: self.now, lambda _: None)

    def pass_time(self, seconds):
        self.now += seconds

    def run(self, supplier):
        self.asked.append((supplier.name, self.now))
        before = self.moved
        try:
            self._answers[supplier.name](self)
        finally:
            supplier.tally.bytes += self.moved - before

    def bring(self):
        return self.turns.bring(self)


def brings_all(way):
    way.moved = way.size


def takes(seconds, then):
    def answer(way):
        way.pass_time(seconds)
        then(way)

    return answer


def raises(*errors):
    """One after the other, then all bytes."""
    coming = iter(errors)

    def answer(way):
        error = next(coming, None)
        if error is not None:
            raise error
        brings_all(way)

    return answer


def cut_after(count, seconds):
    def answer(way):
        way.pass_time(seconds)
        way.moved += count
        if way.moved < way.size:
            raise ConnectionCut("cut")

    return answer


def test_one_whose_wait_ends_while_the_last_other_refuses_is_asked_and_no_failure_is_told():
    """It was not due when the round began, and is when the other says no."""
    way = Way(1, source=brings_all, mirror=takes(11.0, raises(PathNotFound("no"))))
    way.suppliers.put_off(way.suppliers.left[0], RateLimited("slow down", retry_after=10.0), way.now)
    assert way.bring() is None
    assert [name for name, _ in way.asked] == ["mirror", "source"]


def test_a_refusal_is_told_when_nobody_is_left():
    way = Way(1, source=raises(PathNotFound("no")), mirror=raises(PathNotFound("nor here")))
    with pytest.raises(PathNotFound, match=r"^no$"):
        way.bring()


def test_one_who_asked_for_time_is_waited_for_when_all_others_have_failed():
    way = Way(
        1,
        source=raises(RateLimited("slow down", retry_after=200.0)),
        mirror=raises(*[ConnectionCut("cut")] * 99),
    )
    assert way.bring() is None
    assert way.asked[-1][0] == "source"
    assert way.asked[-1][1] >= 200.0


def test_one_who_asks_for_time_again_and_again_is_not_waited_for_without_end():
    way = Way(1, source=raises(*[RateLimited("slow down", retry_after=50.0)] * 99))
    with pytest.raises(RateLimited):
        way.bring()
    assert len(way.asked) == PATIENCE.attempts


def test_one_who_cuts_every_answer_gives_the_turn_away_when_that_makes_it_slow():
    """64 KiB at once, and then a second's wait: nobody could call any of its answers slow."""
    way = Way(1000 * LITTLE, source=cut_after(LITTLE, 0.01), mirror=brings_all)
    assert way.bring() is None
    assert way.asked[-1][0] == "mirror"
    assert way.now < 60.0


def test_one_who_cuts_its_answers_and_is_fast_all_the_same_goes_on():
    way = Way(1000 * LITTLE, source=cut_after(20 * LITTLE, 0.01), mirror=brings_all)
    assert way.bring() is None
    assert {name for name, _ in way.asked} == {"source"}


def test_one_with_nobody_behind_it_goes_on_however_slow_that_is():
    way = Way(100 * LITTLE, source=cut_after(LITTLE, 0.01))
    assert way.bring() is None
    assert len(way.asked) == 100
