"""The width: connections are added while more of them bring more, and only then."""

from __future__ import annotations

import threading

import pytest

from provision.crew import Crew, Stop
from provision.errors import Interrupted
from provision.transfer.width import BUSY, GAIN, REST, SETTLE, SPELL, Machine, Width


class Line:
    """A line on which `width` connections bring `brings(width)` bytes a second, and a process that is `busy`."""

    def __init__(self, brings, first=8, most=32, busy=0.0):
        self.now, self.brings, self.busy = 0.0, brings, busy
        machine = Machine(clock=lambda: self.now, used=lambda: self.busy * self.now, cores=1)
        self.width = Width(first, most, machine, Stop())

    def go_on(self, seconds, at_work=99):
        """All places are taken, but no more than `at_work`, and the next who comes looks ten times a second."""
        widths = [self.width.now]
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            while self.width._taken < at_work and self.width.take_place():
                continue
            while self.width._taken > min(self.width.now, at_work):
                self.width.leave_place()
            self.width.came(round(self.brings(self.width._taken) * 0.1))
            self.width.take_place() and self.width.leave_place()
            widths.append(self.width.now)
        return widths


def lossy(width):
    """Each connection brings its two megabytes."""
    return 2_000_000 * width


def full(_width):
    return 100_000_000


def test_where_each_connection_brings_its_own_there_are_soon_as_many_as_may_be():
    line = Line(lossy)
    assert sorted(set(line.go_on(2 * (SETTLE + SPELL) + 2))) == [8, 16, 32]
    assert line.width.now == 32


def test_where_the_line_is_full_one_look_is_taken_and_another_after_a_rest():
    line = Line(full)
    widths = line.go_on(10)
    assert set(widths) == {8, 16}
    assert widths[-1] == 8
    assert widths.count(16) * 0.1 <= SETTLE + SPELL + 0.5
    line.go_on(REST - 10)
    line.brings = lossy
    line.go_on(10)
    assert line.width.now == 32


def test_a_little_more_is_not_worth_twice_the_connections():
    line = Line(lambda width: 1_000_000 * (GAIN - 0.05 if width > 8 else 1.0))
    assert line.go_on(10)[-1] == 8


def test_nothing_is_added_while_the_machine_is_what_is_slow():
    assert set(Line(lossy, busy=BUSY + 0.1).go_on(10)) == {8}


def test_nothing_is_added_while_there_is_no_work_for_those_who_are_there():
    assert set(Line(lossy).go_on(10, at_work=5)) == {8}


def test_a_number_that_was_asked_for_stays():
    assert set(Line(lossy, first=6, most=6).go_on(10)) == {6}


def test_who_does_not_bear_so_many_gets_fewer_until_a_rest_is_over():
    line = Line(lossy)
    line.go_on(5)
    line.width.refused()
    assert set(line.go_on(REST - 1)) == {16}
    assert line.go_on(5)[-1] == 32


def test_those_who_come_and_go_between_two_stretches_are_judged_all_the_same():
    """Each leaves its place and takes one again: that is no place without work."""
    line = Line(full)
    widths = []
    while line.width.take_place():
        continue
    for _ in range(100):
        line.now += 0.1
        line.width.came(10_000_000)
        line.width.leave_place()
        line.width.take_place()
        widths.append(line.width.now)
        while line.width._taken < line.width.now:
            line.width.take_place()
        while line.width._taken > line.width.now:
            line.width.leave_place()
    assert widths[-1] == 8
    assert 16 in widths


def test_one_refusal_at_the_beginning_is_no_verdict():
    line = Line(lossy)
    line.width.refused()
    assert set(line.go_on(REST - 1)) == {8}
    assert line.go_on(10)[-1] == 32


def test_nobody_works_without_a_place_and_nobody_waits_for_one_in_vain():
    at_work, most, guard = 0, 0, threading.Lock()
    width = Width(3, 3, Machine(clock=lambda: 0.0, used=lambda: 0.0, cores=1), Stop())

    def work(job):
        nonlocal at_work, most
        with guard:
            at_work += 1
            most = max(most, at_work)
        threading.Event().wait(0.001)
        with guard:
            at_work -= 1
        return job

    assert Crew(10, work, Stop(), room=width).run(range(50)) == list(range(50))
    assert most == 3


def test_a_stop_ends_the_wait_for_a_place():
    stop = Stop()
    width = Width(1, 1, Machine(clock=lambda: 0.0, used=lambda: 0.0, cores=1), stop)
    assert width.take_place()
    stop.set()
    with pytest.raises(Interrupted), width:
        raise AssertionError("there is no place")
