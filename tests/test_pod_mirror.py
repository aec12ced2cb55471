"""Mirrors: what is shown here adds up to what the pod has said, whatever it says next."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from pod_voice import status

from provision.pods.mirror import Mirror, unseen
from provision.pods.status import Phase, Running, Status
from provision.progress import Bars


@dataclass
class Ledger:
    """A Progress that adds up."""

    begun: list[tuple[str, int]] = field(default_factory=list)
    ended: int = 0
    done: int = 0
    open: dict[str, int] = field(default_factory=dict)

    def begin(self, label: str, total: int) -> None:
        self.begun.append((label, total))
        self.done = 0

    def task(self, name: str, size: int) -> Entry:
        assert size >= 0
        self.open[name] = 0
        return Entry(self, name)

    def end(self) -> None:
        self.ended += 1


@dataclass
class Entry:
    ledger: Ledger
    name: str

    def advance(self, count: int) -> None:
        self.ledger.open[self.name] += count
        self.ledger.done += count

    def restart(self) -> None:
        self.advance(-self.ledger.open[self.name])

    def note(self, text: str) -> None:
        raise AssertionError(text)

    def finish(self) -> None:
        del self.ledger.open[self.name]


def filling(done: int, *running: Running, **changes: object) -> Status:
    return status(done=done, total=1000, running=running, **changes)


def test_phases_begin_and_end_and_files_run_in_between() -> None:
    ledger, told = Ledger(), []
    mirror = Mirror(ledger, told.append)
    mirror.show(status(Phase.WAITING))
    mirror.show(status(Phase.WAITING))
    mirror.show(status(Phase.INSTALLING))
    mirror.show(status(Phase.FILLING))
    mirror.show(filling(30, Running(name="a", size=100, done=30)))
    assert ledger.open == {"a": 30}
    mirror.show(filling(150, Running(name="b", size=900, done=50)))
    assert (ledger.done, ledger.open) == (150, {"b": 50})
    mirror.show(status(Phase.VERIFYING, total=1000, done=10))
    assert (ledger.done, ledger.open) == (10, {})
    mirror.show(status(Phase.ENDED))

    assert told == ["waiting for the volume to be mounted", "installing provision in the pod"]
    assert ledger.begun == [("fill", 1000), ("verify", 1000)]
    assert ledger.ended == 2


def test_a_file_that_begins_again_is_taken_back() -> None:
    ledger = Ledger()
    mirror = Mirror(ledger, lambda _: None)
    mirror.show(filling(80, Running(name="a", size=100, done=80)))
    mirror.show(filling(10, Running(name="a", size=100, done=10)))

    assert (ledger.done, ledger.open) == (10, {"a": 10})


def test_every_note_is_told_once() -> None:
    told: list[str] = []
    mirror = Mirror(Ledger(), told.append)
    for notes in (("1", "2"), ("1", "2"), ("2", "3", "3"), ("3", "3", "4"), ("9",)):
        mirror.show(status(notes=notes))

    assert told == ["1", "2", "3", "3", "4", "9"]


def test_one_of_several_pods_is_one_task_with_its_label() -> None:
    ledger, told = Ledger(), []
    east, west = Mirror(ledger, told.append, "east"), Mirror(ledger, told.append, "west")
    east.show(filling(100, Running(name="a", size=1000, done=100)))
    west.show(filling(50, notes=("hello",)))
    assert (ledger.done, ledger.open) == (150, {"east fill": 100, "west fill": 50})
    east.show(filling(20))
    west.end()
    east.end()

    assert ledger.done == 70
    assert ledger.open == {}
    assert (ledger.begun, ledger.ended) == ([], 0)
    assert told == ["west: hello"]


def test_it_is_drawn_by_the_same_bars_as_a_local_fill() -> None:
    screen = io.StringIO()
    mirror = Mirror(Bars(screen), lambda _: None)
    mirror.show(filling(300, Running(name="models/a", size=1000, done=300)))
    mirror.show(filling(1000))
    mirror.end()

    assert "fill: 100%" in screen.getvalue()
    assert "models/a" in screen.getvalue()


files = st.builds(
    Running, name=st.sampled_from("abc"), size=st.integers(0, 500), done=st.integers(0, 500)
)  # fmt: skip
statuses = st.builds(
    status,
    st.sampled_from(Phase),
    total=st.sampled_from([0, 1000, 2000]),
    done=st.integers(0, 2000),
    running=st.lists(files, max_size=4).map(tuple),
)


@given(st.lists(statuses, max_size=8), st.sampled_from(["", "one"]))
def test_whatever_comes_what_is_shown_is_what_was_last_said(said: list[Status], label: str) -> None:
    ledger = Ledger()
    mirror = Mirror(ledger, lambda _: None, label)
    for each in said:
        before = ledger.done
        mirror.show(each)
        if each.phase in {Phase.FILLING, Phase.VERIFYING} and each.total and not label:
            assert ledger.done == each.done, before
    mirror.end()

    assert ledger.open == {}
    assert ledger.ended == len(ledger.begun)


@given(st.lists(st.sampled_from("ab"), max_size=8), st.lists(st.sampled_from("ab"), max_size=8), st.integers(1, 5))
def test_notes_that_roll_on_lose_none(old: list[str], new: list[str], kept: int) -> None:
    before, now = tuple(old[-kept:]), tuple([*old, *new][-kept:])

    found = tuple(unseen(before, now))

    assert len(found) <= len(new)
    assert now[len(now) - len(found) :] == found
