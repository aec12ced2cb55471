# ruff: noqa: ARG001, ARG002, ARG005 - the shapes of calls
"""Rentals that are interrupted: at every moment, before every instruction, again and again; no pod is left."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

import pytest
from pod_bed import Bed, ambiguous, failing

from provision.errors import CloudRefused, CloudUnavailable, Interrupted, NoCapacity, PodLost, PodNotReturned
from provision.pods import interrupts, rental, returning
from provision.pods.cloud import Pod


class Nth:
    """Raises `error` at the points of these numbers."""

    def __init__(self, error: BaseException, *numbers: int) -> None:
        self.error, self.numbers = error, set(numbers)

    def __call__(self, number: int, name: str) -> None:
        if number in self.numbers:
            raise self.error


def test_an_interrupted_rental_asks_whether_the_pod_is_to_go_on() -> None:
    asked: list[str] = []

    def leave(pod: Pod) -> bool:
        asked.append(pod.id)
        return True

    bed = Bed(options={"leave": leave})
    bed.points.at = failing({"work": [KeyboardInterrupt()]})
    left = bed.rental()

    with pytest.raises(KeyboardInterrupt):
        left.run(bed.work)

    assert asked == ["pod0"]
    assert set(bed.cloud.there) == {"pod0"}
    assert left.left is not None
    assert left.left.id == "pod0"


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), EOFError(), Interrupted("stop")])
def test_a_question_that_fails_is_answered_with_no(trouble: BaseException) -> None:
    def leave(pod: Pod) -> bool:
        raise trouble

    bed = Bed(options={"leave": leave})
    bed.points.at = failing({"work": [Interrupted("interrupted")]})

    with pytest.raises(Interrupted):
        bed.run()

    assert bed.cloud.there == {}


def test_an_interrupt_while_a_lost_pod_is_given_back_is_not_forgotten() -> None:
    def at(_number: int, name: str) -> None:
        if name == "delete: before" and len(bed.cloud.orders) == 1:
            bed.interrupts.handler(signal.SIGINT, None)

    bed = Bed()
    bed.points.at = at

    with pytest.raises(KeyboardInterrupt):
        bed.rental().run(lambda pod: (_ for _ in ()).throw(PodLost("gone")))

    assert len(bed.cloud.orders) == 1
    assert bed.cloud.there == {}


def test_a_request_that_was_interrupted_and_takes_effect_a_little_later_leaves_no_pod() -> None:
    bed = Bed()
    bed.cloud.late = 5
    bed.points.at = failing({"create: after": [KeyboardInterrupt()]})

    with pytest.raises(KeyboardInterrupt):
        bed.run()

    assert bed.cloud.deleted == ["pod0"]
    assert bed.cloud.there == {}


def test_a_signal_is_heeded_once_and_then_counted_until_the_user_insists() -> None:
    caught = interrupts.Interrupts()
    with pytest.raises(KeyboardInterrupt):
        caught.handler(signal.SIGINT, None)
    caught.handler(signal.SIGINT, None)
    caught.shield()
    assert caught.count == 0
    caught.handler(signal.SIGTERM, None)
    caught.handler(signal.SIGINT, None)
    assert not caught.are_insistent
    with pytest.raises(KeyboardInterrupt):
        caught.handler(signal.SIGINT, None)
    assert caught.are_insistent
    caught.handler(signal.SIGINT, None)


SCENARIOS = ("plain", "doubtful", "busy", "stillborn", "lost")


def scene(name: str) -> Bed:
    bed = Bed(options={"wait": 30.0, "come_up": 30.0})
    if name == "busy":
        bed.cloud.refusals = {offer.id: [NoCapacity("none")] for offer in bed.candidates}
    bed.cloud.stillborn = 1 if name == "stillborn" else 0
    bed.cloud.twins = 1 if name == "doubtful" else 0
    return bed


def played(name: str, bed: Bed) -> Any:
    """What came of it, or what was raised."""
    lives = []

    def work(pod: Pod) -> str:
        lives.append(pod)
        if name == "lost" and len(lives) == 1:
            raise PodLost("gone")
        return bed.work(pod)

    outer, doubts = bed.points.at, {"create: after": [ambiguous()] if name == "doubtful" else []}

    def at(number: int, point: str) -> None:
        outer(number, point)
        failing(doubts)(number, point)

    bed.points.at = at
    try:
        return bed.rental().run(work)
    except BaseException as error:  # noqa: BLE001 - it is judged by the caller
        return error


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), Interrupted("stop"), CloudUnavailable("503"), CloudRefused("401"), RuntimeError()]
)
@pytest.mark.parametrize("name", SCENARIOS)
def test_whatever_is_raised_at_whatever_point_no_pod_is_left(name: str, error: BaseException) -> None:
    bed = scene(name)
    played(name, bed)
    count = len(bed.points.seen)
    assert count > 10

    for number in range(count):
        bed = scene(name)
        bed.points.at = Nth(error, number)
        outcome = played(name, bed)
        assert bed.cloud.there == {}, (number, bed.points.seen[number], outcome)
        assert not isinstance(outcome, PodNotReturned), (number, bed.points.seen[number])


@pytest.mark.parametrize("name", ["plain", "doubtful"])
def test_a_second_interrupt_at_whatever_point_leaves_no_pod_either(name: str) -> None:
    bed = scene(name)
    played(name, bed)
    count = len(bed.points.seen)

    for first in range(count):
        for later in range(1, 8):
            bed = scene(name)
            bed.points.at = Nth(KeyboardInterrupt(), first, first + later)
            outcome = played(name, bed)
            assert bed.cloud.there == {}, (first, later, outcome)


class Tracer:
    """Calls the signal handler before the instruction of this number in the rental's own code."""

    FILES = frozenset(module.__file__ for module in (rental, returning))

    def __init__(self, bed: Bed, *numbers: int) -> None:
        self.count, self._numbers, self._bed = 0, set(numbers), bed

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in self.FILES:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            self.count += 1
            if self.count - 1 in self._numbers:
                self._bed.interrupts.handler(signal.SIGINT, frame)
        return self

    def play(self, name: str) -> Any:
        before = sys.gettrace()
        sys.settrace(self)
        try:
            return played(name, self._bed)
        finally:
            sys.settrace(before)


STRIDE = int(os.environ.get("PROVISION_TEST_STRIDE", "7"))
"""One instruction in so many is interrupted; 1 in the full run."""


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_signal_before_any_instruction_leaves_no_pod(name: str) -> None:
    counting = Tracer(scene(name))
    counting.play(name)
    assert counting.count > 500

    for number in range(0, counting.count, STRIDE):
        bed = scene(name)
        outcome = Tracer(bed, number).play(name)
        assert bed.cloud.there == {}, (number, outcome)
        assert not isinstance(outcome, PodNotReturned), number


def test_two_signals_before_any_two_instructions_leave_no_pod() -> None:
    counting = Tracer(scene("plain"))
    counting.play("plain")

    for number in range(0, counting.count, STRIDE * 3):
        for gap in (1, 2, 5, 17, 60, 200):
            bed = scene("plain")
            outcome = Tracer(bed, number, number + gap).play("plain")
            assert bed.cloud.there == {}, (number, gap, outcome)
            assert not isinstance(outcome, PodNotReturned), (number, gap)


def test_real_signals_do_not_tear_us_from_giving_back_and_insistence_does() -> None:
    def at(_number: int, name: str) -> None:
        if name in {"work", "delete: before"}:
            os.kill(os.getpid(), signal.SIGTERM if name == "work" else signal.SIGINT)

    bed = Bed()
    bed.points.at = at
    with bed.interrupts.installed(), pytest.raises(KeyboardInterrupt):
        bed.run()
    assert bed.cloud.there == {}

    def worse(number: int, name: str) -> None:
        at(number, name)
        if name == "delete: before":
            raise ambiguous()

    bed = Bed()
    bed.points.at = worse
    with bed.interrupts.installed(), pytest.raises(PodNotReturned, match="interrupted") as caught:
        bed.run()
    assert isinstance(caught.value.__cause__, KeyboardInterrupt)
    assert bed.interrupts.count >= interrupts.INSISTENCE
    assert bed.time.passed < 60 + 20 + 30, "it does not try until the time to confirm is over"
    assert any("a moment" in line for line in bed.told)
