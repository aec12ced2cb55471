"""Fills that are killed, race for one claim, or left some behind: real processes, and many threads."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from claims_bed import NAME, Clock, claims_in, claims_of, hearts_in, kept, pass_time
from volume_material import names_in

from provision.volume.claims import ANCIENT, BEAT, STALE, SWEEP_LIMIT
from provision.volume.writer import this_process

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the facts of a process come from Linux")


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


_FILL = """
import signal, sys, os, time
from provision.volume.claims import Claims
from provision.volume.mount import Volume
from provision.volume.writer import new_writer
claims = Claims(Volume.open(sys.argv[1]), new_writer(), time.monotonic, time.time)
for line in sys.stdin:
    word, _, name = line.strip().partition(" ")
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    print(int(bool(getattr(claims, word)(name))), flush=True)
"""


@contextmanager
def process(volume):
    """Another process, and a function that has it do `take NAME` or `release NAME` and answers what came of it."""
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent.parent)!r})\n{_FILL}"
    words = [sys.executable, "-c", program, volume.path]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as child:

        def ask(line):
            child.stdin.write(f"{line}\n")
            return lambda: child.stdout.readline().strip()

        try:
            yield child, ask
        finally:
            child.kill()


def kill(child, ask):
    ask("die")
    assert child.wait(30) == -signal.SIGKILL


def test_two_processes_share_one_volume(volume, ours):
    with process(volume) as (_, ask):
        assert ask(f"take {NAME}")() == "1"
        assert not ours.take(NAME)
        assert ours.held_by_others([NAME]) == {NAME}
        ask(f"release {NAME}")()
        assert ours.take(NAME)
        assert ask(f"take {NAME}")() == "0"


@linux
def test_who_runs_again_after_kill_9_on_the_same_host_does_not_wait(volume, ours):
    with process(volume) as (child, ask):
        assert ask(f"take {NAME}")() == "1"
        assert not ours.take(NAME)
        kill(child, ask)
    assert ours.held_by_others([NAME]) == set()
    assert ours.take(NAME)


@linux
def test_what_a_killed_process_has_left_is_swept_by_the_next_though_nobody_asks_for_it(volume, ours):
    with process(volume) as (child, ask):
        for n in range(5):
            assert ask(f"take models/{n}")() == "1"
        kill(child, ask)
    assert len(names_in(kept(volume))) == 6
    with ours:
        ours.take(NAME)
    assert names_in(kept(volume)) == []


def test_leftovers_of_another_host_are_swept_by_a_fill_that_ran_for_long_enough(ours, theirs, fill_of, clock, volume):
    for n in range(5):
        theirs.take(f"models/{n}")
    with fill_of("cccccccc") as short:
        short.take("short")
        pass_time(clock, STALE - BEAT, short)
    assert len(names_in(kept(volume))) == 6, "whether these are alive nobody can know yet"
    with ours:
        ours.take(NAME)
        pass_time(clock, STALE + BEAT, ours)
    assert names_in(kept(volume)) == []


def test_a_sweep_takes_nothing_from_the_living(ours, theirs, clock, volume):
    theirs.take(NAME)
    with ours:
        ours.take("mine")
        pass_time(clock, 3 * STALE, ours, theirs)
    assert len(names_in(kept(volume))) == 2
    assert not ours.take(NAME)


def test_a_sweep_is_bounded_and_the_next_one_goes_on(theirs, fill_of, volume):
    for n in range(SWEEP_LIMIT + 3):
        theirs.take(f"models/{n}")
    for left in (3, 0):
        with fill_of("aaaaaaaa", now=lambda: time.time() + ANCIENT + 60):
            pass
        assert len(claims_in(volume)) == left


@pytest.mark.parametrize("killed_before", ["it was named", "it was unmade"])
def test_a_claim_that_names_nobody_is_waited_for_and_then_taken(ours, theirs, clock, volume, killed_before):
    theirs.take(NAME)
    if killed_before == "it was named":
        next(claims_in(volume)[0].iterdir()).rmdir()
    else:
        hearts_in(volume)[0].rmdir()
    assert not ours.take(NAME)
    assert ours.held_by_others([NAME]) == {NAME}
    pass_time(clock, STALE)
    assert ours.held_by_others([NAME]) == set()
    assert ours.take(NAME)
    assert names_in(claims_in(volume)[0]) == ["aaaaaaaa"]


@linux
def test_a_claim_that_names_nobody_is_taken_at_once_when_all_who_could_be_making_it_are_dead(ours, fill_of, volume):
    """Killed between the two steps of a claim; the next fill of the same host must not wait for a minute."""
    killed = fill_of("bbbbbbbb", owner=replace(this_process(), started=1))  # another process has its number now
    killed.take(NAME)
    next(claims_in(volume)[0].iterdir()).rmdir()
    assert ours.held_by_others([NAME]) == set()
    assert ours.take(NAME)
    assert names_in(claims_in(volume)[0]) == ["aaaaaaaa"]


def test_of_two_that_hold_one_claim_the_one_of_whom_nothing_is_known_is_waited_for(ours, theirs, clock, volume):
    theirs.take(NAME)
    assert not ours.take(NAME)
    (claims_in(volume)[0] / "cccccccc").mkdir()
    pass_time(clock, STALE)
    assert not ours.take(NAME)
    pass_time(clock, STALE)
    assert ours.take(NAME)
    assert names_in(claims_in(volume)[0]) == ["aaaaaaaa"]


def test_a_claim_that_is_made_anew_has_its_time_again(ours, theirs, clock, volume):
    theirs.take(NAME)
    next(claims_in(volume)[0].iterdir()).rmdir()
    assert not ours.take(NAME)
    folder = claims_in(volume)[0]
    folder.rename(folder.with_name("aside"))
    folder.mkdir()  # by another, who has not yet written its name to it
    pass_time(clock, STALE)
    assert not ours.take(NAME)


def race(contenders, work):
    """What each of `contenders` makes of `work`, all at once."""
    answers, start = [], threading.Barrier(len(contenders))

    def run(claims):
        start.wait()
        answers.append(work(claims))

    threads = [threading.Thread(target=run, args=(claims,)) for claims in contenders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_of_many_that_ask_at_once_exactly_one_is_told_yes(fill_of):
    contenders = [fill_of(f"{n:08x}") for n in range(4)]
    for n in range(100):
        assert sorted(race(contenders, lambda claims, n=n: claims.take(f"models/{n}"))) == [False] * 3 + [True]


def test_threads_of_one_fill_take_different_names_at_once(fill_of, volume):
    claims, numbers = fill_of("aaaaaaaa"), iter(range(1000))
    assert all(race([claims] * 8, lambda claims: all(claims.take(f"models/{next(numbers)}") for _ in range(20))))
    assert len(claims_in(volume)) == 160
    assert len(hearts_in(volume)) == 1, "all share one heart"


def test_of_many_that_break_one_stale_claim_at_once_hardly_more_than_one_is_told_yes(fill_of):
    here, winners = this_process(), []
    for n in range(100):
        assert fill_of(f"d{n:07x}", owner=replace(here, pid=2**22)).take(NAME + str(n))
        successors = [fill_of(f"{n:07x}{m}", owner=here) for m in range(4)]
        winners.append(sum(race(successors, lambda claims, n=n: claims.take(NAME + str(n)))))
    assert min(winners) >= 1
    assert sum(winners) <= 110


def test_of_processes_that_ask_at_once_exactly_one_is_told_yes(volume):
    with process(volume) as (_, one), process(volume) as (_, two), process(volume) as (_, three):
        for n in range(100):
            answers = [ask(f"take models/{n}") for ask in (one, two, three)]
            assert sorted(answer() for answer in answers) == ["0", "0", "1"]
