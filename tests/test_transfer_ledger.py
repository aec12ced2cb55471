"""The ledger, the jobs and the help: who takes what, so that each piece comes once."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import pairwise

import pytest
from fill_bed import PLAIN, file_of, lock_of
from hub_kinds import HUGGINGFACE
from hypothesis import given
from hypothesis import strategies as st

from provision.crew import Crew, Stop
from provision.digest import PIECE_SIZE, piece_count, piece_digest, piece_span
from provision.errors import Interrupted, TimeIsUp
from provision.plan import Action, Holding, State, step_for
from provision.transfer.assistance import Assistance
from provision.transfer.jobs import BATCHES, jobs
from provision.transfer.ledger import STRETCH, Ledger
from provision.transfer.width import BUSY, LOOK, Machine, Width

SIZES = st.integers(0, 40 * PIECE_SIZE)


def finish(ledger, part):
    """The part has come, and with it perhaps its piece."""
    part.sure = part.offset = part.end
    if part.piece.is_complete:
        ledger.complete(part.piece.index, "x")


@given(SIZES, st.sets(st.integers(0, 39)), st.integers(1, 64), st.randoms())
def test_every_missing_byte_is_taken_by_exactly_one(size, held, connections, chance):
    """Whatever is given back, shared or lost, by whomever, in between."""
    count = piece_count(size)
    ledger = Ledger(size, held & set(range(count)))
    mine, came = [], []
    while ledger.missing or mine:
        taken = ledger.take(connections)
        assert len(taken) <= STRETCH
        assert all(one.end == other.begin for one, other in pairwise(taken))
        mine += taken
        while mine and (chance.random() < 0.7 or not ledger.missing):
            part = mine.pop(chance.randrange(len(mine)))
            if chance.random() < 0.2 and len(came) < 200:
                ledger.give_back([part])
            elif chance.random() < 0.3 and part.left >= 2:
                mine += [part, ledger.split(part, part.sure + part.left // 2)]
            else:
                came.append((part.begin, part.end))
                finish(ledger, part)
    spans = [piece_span(index, size) for index in sorted(set(range(count)) - held)]
    assert merged(came) == merged(spans)
    assert sum(end - begin for begin, end in came) == sum(end - begin for begin, end in spans)
    assert set(ledger.done) == set(range(count)) - held


def merged(spans):
    whole = []
    for begin, end in sorted(spans):
        adjoins = bool(whole) and whole[-1][1] == begin
        whole.append((whole.pop()[0] if adjoins else begin, end))
    return whole


def test_one_who_takes_all_takes_what_lies_before_him_only():
    ledger = Ledger(10 * PIECE_SIZE, {1})
    assert [part.piece.index for part in ledger.take_after(5 * PIECE_SIZE)] == [5, 6, 7, 8, 9]
    assert [part.piece.index for part in ledger.take(1)] == [0]
    assert [part.piece.index for part in ledger.take_after(0)] == [2, 3, 4]


def test_near_the_end_everybody_gets_something():
    assert len(Ledger(100 * PIECE_SIZE, set()).take(8)) == STRETCH
    assert len(Ledger(16 * PIECE_SIZE, set()).take(8)) == 1


def test_a_part_that_was_given_back_half_way_is_gone_on_with():
    ledger = Ledger(2 * PIECE_SIZE, set())
    (part,) = ledger.take(1)
    part.take(part.admit(memoryview(bytes(1000))))
    ledger.give_back([part])
    (again,) = ledger.take(1)
    again.take(again.admit(memoryview(bytes(PIECE_SIZE))))
    assert again.piece.is_complete
    assert again.piece.digest() == piece_digest(bytes(PIECE_SIZE))


def test_bytes_on_their_way_to_the_volume_are_not_given_away():
    ledger = Ledger(PIECE_SIZE, set())
    (part,) = ledger.take(1)
    part.admit(memoryview(bytes(1000)))
    assert part.left == PIECE_SIZE - 1000
    rest = ledger.split(part, part.sure + part.left // 2)
    assert part.end == rest.begin > 1000
    assert len(part.admit(memoryview(bytes(PIECE_SIZE)))) == part.end


def test_a_piece_that_was_lost_is_missing_as_a_whole():
    ledger = Ledger(2 * PIECE_SIZE, {1})
    (part,) = ledger.take(1)
    rest = ledger.split(part, 99)
    finish(ledger, part)
    finish(ledger, rest)
    ledger.lack(0)
    ledger.lack(1)
    assert [(part.begin, part.end, part.offset) for part in [*ledger.take(1), *ledger.take(1)]] == [
        (0, PIECE_SIZE, 0),
        (PIECE_SIZE, 2 * PIECE_SIZE, PIECE_SIZE),
    ]


def steps_of(*sizes):
    files = [replace(file_of(PLAIN), target=f"models/{i}", size=size) for i, size in enumerate(sizes)]
    lock = lock_of(HUGGINGFACE, "0" * 40, *files)
    return [step_for(lock.project, lock.models[0], file, Holding(state=State.ABSENT)) for file in files]


@given(st.lists(st.integers(0, 3 * PIECE_SIZE), max_size=60))
def test_each_step_is_in_one_job_and_large_files_have_one_of_their_own(sizes):
    steps = steps_of(*sizes)
    made = jobs(steps)
    assert sorted(step.file.target for job in made for step in job.steps) == sorted(step.file.target for step in steps)
    assert len({job.name for job in made}) == len(made)
    assert all(len(job.steps) == 1 for job in made if job.steps[0].file.size > PIECE_SIZE)
    assert sum(job.steps[0].file.size <= PIECE_SIZE for job in made) <= BATCHES


@given(st.lists(st.integers(0, 2 * PIECE_SIZE), min_size=1, max_size=30), st.randoms())
def test_a_fill_of_the_same_that_lacks_less_has_jobs_of_the_same_names(sizes, chance):
    steps = steps_of(*sizes)
    some = [replace(step, action=Action.KEEP) if chance.random() < 0.5 else step for step in steps]
    homes = {step.file.target: job.name for job in jobs(steps) for step in job.steps}
    for job in jobs(some):
        assert all(homes[step.file.target] == job.name for step in job.steps)
        assert job.steps
        assert all(step.action is not Action.KEEP for step in job.steps)


def test_fills_of_other_files_have_no_job_in_common():
    """Nor have two shards of one lock: neither ever waits for the other."""
    steps = steps_of(*range(100))
    assert {job.name for job in jobs(steps[:50])}.isdisjoint(job.name for job in jobs(steps[50:]))


class Needy:
    """A file under way that needs `pieces` stretches of help."""

    def __init__(self, pieces, then):
        self.left, self.helped, self._then = pieces, 0, then

    @property
    def need(self):
        return float(self.left)

    def assist(self):
        self.left -= 1
        self.helped += 1
        if not self.left:
            self._then()


class Busy:
    """A machine of two cores that this process keeps busy to a share."""

    def __init__(self, share):
        self.now, self.share = 0.0, share

    def width(self):
        machine = Machine(clock=self.clock, used=lambda: 2 * self.share * self.now, cores=2)
        return Width(2, 2, machine, Stop())

    def clock(self):
        self.now += LOOK
        return self.now


def test_help_goes_where_it_is_needed_until_the_end():
    assistance = Assistance(Busy(0.1).width(), Stop())
    needy = Needy(5, assistance.end)
    with assistance.offered(needy), assistance.offered(Needy(0, assistance.end)):
        assistance.give()
    assert needy.helped == 5


@pytest.mark.parametrize(("share", "helped"), [(BUSY - 0.1, True), (BUSY + 0.1, False)])
def test_nobody_helps_while_the_machine_is_what_is_slow(share, helped):
    busy = Busy(share)
    assistance = Assistance(busy.width(), Stop())
    needy = Needy(1, assistance.end)
    with assistance.offered(needy):
        threading.Timer(1.0, assistance.end).start()
        assistance.give()
    assert bool(needy.helped) == helped


def test_a_crew_with_nothing_left_to_do_calls_the_idle_and_ends_when_the_jobs_do():
    idle = threading.Event()
    helped = []

    def work(job):
        assert idle.wait(10), "the other threads came for help while this job was under way"
        return job

    def help_out():
        helped.append(1)
        idle.set()

    assert Crew(3, work, Stop(), help_out).run(["only"]) == ["only"]
    assert helped


def test_a_stop_reaches_whoever_waits_for_jobs_that_do_not_notice():
    stop, stuck = Stop(), threading.Event()

    def work(_):
        stop.expire()
        stuck.wait(20)

    with pytest.raises(TimeIsUp):
        Crew(1, work, stop).run([1])
    stuck.set()
    with pytest.raises(Interrupted):
        stop.check()
