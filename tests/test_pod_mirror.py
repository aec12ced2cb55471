"""A mirror shows a pod's progress as if it were our own, whatever of it was seen."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from provision.pods.mirror import Mirror, unseen
from provision.pods.status import Past, Phase, Running, Status


@dataclass
class Shown:
    """A progress that remembers: each label with its total, and what its tasks have moved it to."""

    labels: list[list] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    open: bool = False
    tasks: dict[str, int] = field(default_factory=dict)

    def begin(self, label, total):
        assert not self.open, "the one before has not ended"
        self.open = True
        self.labels.append([label, total, 0])

    def end(self):
        assert self.open
        self.open = False

    def task(self, name, _):
        return _Task(self, name)


@dataclass
class _Task:
    shown: Shown
    name: str
    done: int = 0

    def advance(self, count):
        self.done += count
        self.shown.labels[-1][2] += count
        self.shown.tasks[self.name] = self.done

    def restart(self):
        self.advance(-self.done)

    def note(self, text): ...

    def finish(self): ...


def status(phase, **parts):
    return Status(lease="n", phase=phase, began=0.0, now=1.0, deadline=9.0, **parts)


def mirrored(*statuses):
    shown = Shown()
    mirror = Mirror(shown, shown.said.append)
    for one in statuses:
        mirror.show(one)
    mirror.end()
    return shown


FILLED = (Past(phase=Phase.FILLING, total=10, done=10),)
BOTH = (*FILLED, Past(phase=Phase.VERIFYING, total=10, done=10))


def test_what_was_not_seen_of_a_phase_is_made_up_for_when_it_is_over():
    shown = mirrored(
        status(Phase.FILLING, total=10, done=2),
        status(Phase.VERIFYING, total=10, done=4, past=FILLED),
        status(Phase.ENDED, past=BOTH, exit_code=0),
    )
    assert shown.labels == [["fill", 10, 10], ["verify", 10, 10]]


def test_a_job_that_was_over_before_it_was_seen_is_shown_all_the_same():
    assert mirrored(status(Phase.ENDED, past=BOTH)).labels == [["fill", 10, 10], ["verify", 10, 10]]


def test_a_phase_that_ended_short_is_not_shown_as_whole():
    short = (Past(phase=Phase.FILLING, total=10, done=6),)
    shown = mirrored(status(Phase.FILLING, total=10, done=5), status(Phase.VERIFYING, total=10, done=0, past=short))
    assert shown.labels[0] == ["fill", 10, 6]


def test_a_container_that_was_started_again_shows_its_work_again():
    again = status(Phase.FILLING, total=4, done=1, starts=2)
    shown = mirrored(status(Phase.VERIFYING, total=10, done=1, past=FILLED), again)
    assert shown.labels == [["fill", 10, 10], ["verify", 10, 1], ["fill", 4, 1]]


def test_a_file_that_begins_again_moves_back_and_the_whole_with_it():
    shown = mirrored(
        status(Phase.FILLING, total=10, done=6, running=(Running(name="a", size=8, done=6),)),
        status(Phase.FILLING, total=10, done=1, running=(Running(name="a", size=8, done=1),)),
    )
    assert shown.tasks["a"] == 1
    assert shown.labels == [["fill", 10, 1]]


counts = st.integers(min_value=0, max_value=50)
files = st.lists(
    st.builds(Running, name=st.sampled_from("abc"), size=st.just(50), done=counts),
    max_size=3,
    unique_by=lambda f: f.name,
)
statuses = st.builds(
    status,
    st.sampled_from([Phase.FILLING, Phase.VERIFYING, Phase.INSTALLING, Phase.ENDED]),
    total=counts,
    done=counts,
    running=files.map(tuple),
    starts=st.integers(min_value=1, max_value=2),
    past=st.lists(st.builds(Past, phase=st.sampled_from(Phase), total=counts, done=counts), max_size=2).map(tuple),
)


@given(st.lists(statuses, max_size=8))
def test_what_is_shown_in_the_end_is_what_was_last_said_of_each_phase(said):
    shown = mirrored(*said)
    last = said[-1] if said else None
    if last is not None and last.phase in {Phase.FILLING, Phase.VERIFYING} and last.total:
        assert shown.labels[-1][2] == last.done
    assert not shown.open


def test_notes_are_told_once_whatever_part_of_them_is_seen():
    assert unseen(["a", "b"], ["a", "b", "c"]) == ["c"]
    assert unseen(["a", "b", "c"], ["b", "c", "d"]) == ["d"]
    assert unseen(["a"], ["x", "y"]) == ["x", "y"]
    assert mirrored(*[status(Phase.FILLING, notes=("slow", "slower")[:n]) for n in (1, 2, 2)]).said == [
        "slow",
        "slower",
    ]
