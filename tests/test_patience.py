"""Retry and crew: what is tried again, for how long, and how everyone stops."""

from __future__ import annotations

import threading

import pytest

from provision.crew import Crew, Stop
from provision.errors import (
    ConnectionCut,
    Gated,
    HubRefused,
    HubUnavailable,
    Interrupted,
    OfflineMode,
    ProvisionError,
    RateLimited,
    VolumeFull,
    VolumeTrouble,
    without_secrets,
    worst,
)
from provision.retry import Patience, Retry

PATIENCE = Patience(attempts=3, first_wait=1.0, longest_wait=4.0, longest_request=60.0)


class Work:
    """Raises the given errors in turn, then answers; `sleeps` are the waits in between."""

    def __init__(self, *errors: ProvisionError, moves: int = 0) -> None:
        self.errors, self.moves = list(errors), moves
        self.position, self.calls = 0, 0
        self.sleeps: list[float] = []

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            self.position += self.moves
            raise self.errors.pop(0)
        return "done"

    def run(self) -> str:
        retry = Retry(patience=PATIENCE, sleep=self.sleeps.append)
        return retry.call(self, position=lambda: self.position)


def test_an_error_that_may_pass_is_tried_again_with_growing_waits():
    work = Work(ConnectionCut("1"), ConnectionCut("2"))

    assert work.run() == "done"
    assert 0.5 <= work.sleeps[0] <= 1.0
    assert 1.0 <= work.sleeps[1] <= 2.0


def test_patience_ends_and_the_last_error_comes_as_it_was():
    work = Work(ConnectionCut("1"), ConnectionCut("2"), ConnectionCut("3"), ConnectionCut("4"))

    with pytest.raises(ConnectionCut, match="3"):
        work.run()
    assert work.calls == PATIENCE.attempts


def test_progress_resets_the_count():
    work = Work(*(ConnectionCut(str(n)) for n in range(50)), moves=1)

    assert work.run() == "done"
    assert work.calls == 51
    assert max(work.sleeps) <= 1.0


@pytest.mark.parametrize("error", [Gated("x"), HubRefused("x"), OfflineMode("x"), VolumeFull("x"), Interrupted("x")])
def test_an_error_that_cannot_pass_is_not_tried_again(error: ProvisionError):
    work = Work(error)

    with pytest.raises(type(error)):
        work.run()
    assert (work.calls, work.sleeps) == (1, [])


def test_retry_after_is_waited_for():
    work = Work(RateLimited("slow down", retry_after=30.0))

    assert work.run() == "done"
    assert 30.0 <= work.sleeps[0] <= 30.0 + PATIENCE.first_wait, (
        "not in step with all the others who were asked to wait"
    )


def test_a_hub_that_asks_for_too_long_is_not_waited_for():
    work = Work(RateLimited("tomorrow", retry_after=3600.0))

    with pytest.raises(RateLimited):
        work.run()
    assert work.sleeps == []


def test_trouble_of_a_file_system_may_pass():
    assert Work(VolumeTrouble("EIO")).run() == "done"


def test_a_crew_answers_in_the_order_of_its_jobs():
    assert Crew(3, lambda n: n * n, Stop()).run(range(20)) == [n * n for n in range(20)]


def test_a_crew_works_on_as_many_jobs_at_once_as_it_has_hands():
    meeting = threading.Barrier(4, timeout=20)

    Crew(4, lambda _: meeting.wait(), Stop()).run(range(4))  # a smaller crew would break the barrier


def test_the_first_exception_stops_everyone_and_is_raised():
    stop, started = Stop(), []

    def work(job: int) -> None:
        started.append(job)
        if job == 0:
            raise VolumeFull("full")
        stop.sleep(20)

    with pytest.raises(VolumeFull):
        Crew(2, work, stop).run(range(100))
    assert len(started) <= 3


def test_a_stop_ends_a_sleep_at_once():
    stop = Stop()
    stop.set()

    with pytest.raises(Interrupted, match="interrupted"):
        stop.sleep(1000)


def test_the_worst_of_several_errors_is_what_a_person_must_act_on():
    assert isinstance(worst([HubUnavailable("later"), VolumeFull("full"), Gated("ask")]), VolumeFull)
    assert isinstance(worst([HubUnavailable("later"), Gated("ask")]), Gated)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer hf_abcdefghijklmnop",
        "token=verysecretvalue&x=1",
        "https://user:verysecretvalue@proxy:3128/",
        "https://verysecretvalue@host/x",
        "https://cdn/x?X-Amz-Signature=verysecretvalue&X-Amz-Credential=verysecretvalue",
        "https://cdn/x?Signature=verysecretvalue&Key-Pair-Id=verysecretvalue&Policy=verysecretvalue",
        "m_session_id=verysecretvalue; path=/",
        "hf_abcdefghijklmnop",
    ],
)
def test_what_looks_like_a_secret_is_not_shown(text: str):
    assert "verysecretvalue" not in without_secrets(text)
    assert "abcdefghijklmnop" not in without_secrets(text)
    assert "***" in without_secrets(text)
