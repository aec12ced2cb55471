"""Several errands at once: one that fails stops no other, and an interrupt tears none of them from what it does."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from provision.errors import Interrupted, NoCapacity, PodNotReturned
from provision.pods.cloud import Pod, State
from provision.pods.fleet import Fleet

POD = Pod(id="x", name="n", state=State.RUNNING, is_up=True)


def never_asked() -> bool:
    pytest.fail("nobody was to be asked")


def interrupt(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def quiet(_: str) -> None:
    """Nobody listens."""


def test_each_has_its_result_in_the_order_of_the_errands_and_one_that_fails_stops_no_other():
    turn = {"a": threading.Event(), "b": threading.Event()}

    def work(errand):
        if errand == "b":
            turn["b"].set()
            raise NoCapacity("nothing is free")
        turn["b"].wait()
        return errand.upper()

    first, second, third = Fleet(never_asked, quiet).run(["a", "b", "c"], work)

    assert (first, third) == ("A", "C")
    assert isinstance(second, NoCapacity)


def test_a_fault_of_ours_is_not_taken_for_a_result():
    with pytest.raises(ZeroDivisionError):
        Fleet(never_asked, quiet).run([0], lambda errand: 1 / errand)


@pytest.mark.parametrize("answer", [True, False])
def test_after_ctrl_c_one_question_decides_for_all(answer):
    asked = []

    def ask():
        asked.append(1)
        return answer

    fleet = Fleet(ask, quiet)
    begun = threading.Barrier(3)

    def work(_):
        if begun.wait() == 0:
            interrupt()
        try:
            fleet.stop.sleep(60)
        except Interrupted:
            return fleet.leave(POD)

    assert fleet.run([1, 2, 3], work) == [answer] * 3
    assert asked == [1]


def test_whoever_does_not_answer_gives_back():
    fleet = Fleet(lambda: 1 / 0, quiet)
    assert fleet.run([1], lambda _: interrupt() or fleet.leave(POD)) == [False]


def test_a_second_ctrl_c_while_the_question_stands_is_a_no():
    def ask():
        interrupt()
        threading.Event().wait(60)
        return True

    fleet = Fleet(ask, quiet)
    assert fleet.run([1], lambda _: interrupt() or fleet.leave(POD)) == [False]


def test_after_sigterm_nobody_is_asked():
    fleet = Fleet(never_asked, quiet)
    assert fleet.run([1], lambda _: interrupt(signal.SIGTERM) or fleet.leave(POD)) == [False]


def test_a_thread_that_gives_back_is_not_torn_from_it_but_for_a_user_who_insists():
    told, stuck = [], threading.Event()
    fleet = Fleet(lambda: False, told.append)

    def work(_):
        interrupt()
        fleet.leave(POD)
        while not stuck.is_set():
            before = len(told)
            interrupt()
            while len(told) == before and not stuck.wait(0.01):
                pass

    try:
        with pytest.raises(PodNotReturned) as caught:
            fleet.run([1], work)
    finally:
        stuck.set()

    assert caught.value.exit_code == 9
    assert "provision pod ls" in caught.value.hint


def test_the_handlers_are_as_they_were_before():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    Fleet(never_asked, quiet).run([1], lambda errand: errand)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
