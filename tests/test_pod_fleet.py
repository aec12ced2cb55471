"""Several errands at once: one that fails stops no other, and an interrupt tears none of them from what it does."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from provision.errors import ExitCode, Interrupted, NoCapacity, PodNotReturned, ProvisionError
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


def test_a_fault_of_ours_is_told_as_one_and_drops_no_other_result():
    fault, result = Fleet(never_asked, quiet).run([0, 1], lambda errand: 1 / errand)

    assert result == 1
    assert (type(fault), fault.exit_code) == (ProvisionError, ExitCode.FAULT)
    assert isinstance(fault.__cause__, ZeroDivisionError)


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_after_sigterm_and_sighup_nobody_is_asked(number):
    for unasked in (False, True):
        fleet = Fleet(never_asked, quiet, unasked=unasked)
        assert fleet.run([1], lambda _, fleet=fleet: interrupt(number) or fleet.leave(POD)) == [unasked]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_question_though_its_answer_is_still_being_read(number):
    reading, writing = os.pipe()
    late = threading.Timer(3.0, lambda: os.write(writing, b"d"))

    def ask():
        late.start()
        interrupt(number)
        return os.read(reading, 1) == b"d"

    fleet = Fleet(ask, quiet)
    assert fleet.run([1], lambda _: interrupt() or fleet.leave(POD)) == [False]
    late.cancel()
    os.close(reading)
    os.close(writing)


def test_a_signal_just_before_the_question_is_not_thrown_away():
    fleet = Fleet(never_asked, quiet)

    def work(_):
        interrupt()
        interrupt(signal.SIGTERM)
        return fleet.leave(POD)

    assert fleet.run([1], work) == [False]


def insisted_on(tell):
    """What comes of one errand that is done, and of one that is being given back when the user insists."""
    fleet, insist, stuck = Fleet(lambda: False, tell), threading.Event(), threading.Event()

    def work(errand):
        if errand == "done":
            return errand
        interrupt()
        fleet.leave(POD)
        insist.set()
        return stuck.wait(60)

    def hammer():
        insist.wait()
        for _ in range(3):
            interrupt()
            stuck.wait(0.15)

    threading.Thread(target=hammer, daemon=True).start()
    try:
        return fleet.run(["done", "stuck"], work, lambda errand: PodNotReturned(f"{errand} is left"))
    finally:
        stuck.set()


def test_a_user_who_insists_is_told_of_what_is_left_and_what_is_done_is_told_too():
    told = []
    done, left = insisted_on(told.append)

    assert done == "done"
    assert (left.message, left.exit_code) == ("stuck is left", 9)
    assert "giving back, a moment" in told[0]


def test_nobody_who_listens_is_no_reason_to_stop_giving_back():
    def deaf(_):
        raise BrokenPipeError

    fleet = Fleet(lambda: False, deaf)
    again = threading.Event()

    def work(_):
        interrupt()
        fleet.leave(POD)
        interrupt()
        again.wait(0.4)
        return "given back"

    assert fleet.run([1], work) == ["given back"]


def test_below_nohup_a_closed_terminal_ends_nothing():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        fleet = Fleet(never_asked, quiet)
        assert fleet.run([1], lambda _: interrupt(signal.SIGHUP) or fleet.stop.sleep(0.2)) == [None]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_handlers_are_as_they_were_before():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    Fleet(never_asked, quiet).run([1], lambda errand: errand)
    assert [signal.getsignal(number) for number in numbers] == before
