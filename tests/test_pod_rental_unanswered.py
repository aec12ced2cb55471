"""Requests without an answer: what they have rented is found, nothing is rented twice, and what may be is told."""

from __future__ import annotations

import pytest
from pod_bed import Bed, ambiguous, failing

from provision.errors import CloudUnavailable, PodLost, PodNotReturned
from provision.pods.bill import bill_document, bill_lines, bill_of
from provision.pods.cloud import Order, Pod


def test_a_request_without_an_answer_that_took_effect_is_found_by_its_name() -> None:
    bed = Bed()
    bed.points.at = failing({"create: after": [ambiguous()]})

    assert bed.run() == "pod0"

    assert len(bed.cloud.orders) == 1
    assert bed.cloud.there == {}


def test_before_another_is_asked_for_the_list_is_waited_for_and_a_settle_time_passes() -> None:
    bed = Bed()
    bed.cloud.late = 5
    bed.points.at = failing({"create: after": [ambiguous()], "pods: before": [ambiguous(), ambiguous()]})

    assert bed.run() == "pod0"

    assert len(bed.cloud.orders) == 1


def test_a_request_without_effect_is_made_again_under_a_new_name() -> None:
    bed = Bed()
    bed.points.at = failing({"create: before": [ambiguous()]})

    assert bed.run() == "pod0"

    assert bed.time.passed >= bed.renting.settle
    assert bed.cloud.there == {}


def test_a_pod_that_turns_up_after_its_settle_time_is_given_back_in_the_end() -> None:
    bed = Bed()
    bed.cloud.late = 15
    bed.points.at = failing({"create: after": [ambiguous()]})

    assert bed.run() == "pod1"

    assert bed.cloud.there == {}
    assert set(bed.cloud.deleted) == {"pod0", "pod1"}


def test_one_that_turns_up_after_a_lost_pod_was_given_back_is_looked_for_again_in_the_end() -> None:
    bed, lives = Bed(), []

    def work(pod: Pod) -> str:
        lives.append(pod.id)
        if len(lives) == 1:
            raise PodLost("gone")
        bed.cloud._new(bed.cloud.orders[0])  # the first request takes effect now
        return "done"

    first = [CloudUnavailable("cut")]
    create = bed.cloud.create_pod

    def cut(order: Order) -> Pod:
        if first:
            bed.cloud.orders.append(order)
            raise first.pop()
        return create(order)

    bed.cloud.create_pod = cut  # type: ignore[method-assign]

    assert bed.rental().run(work) == "done"
    assert len(bed.cloud.deleted) == 3
    assert bed.cloud.there == {}


def test_a_request_that_nobody_knows_the_effect_of_is_told_like_a_pod() -> None:
    bed = Bed()

    def at(_number: int, name: str) -> None:
        if name in {"create: before", "pods: before"}:
            raise CloudUnavailable("gateway timeout")

    bed.points.at = at
    rental = bed.rental()
    with pytest.raises(PodNotReturned, match=r"may have been rented, at 0\.06 USD an hour") as caught:
        rental.run(bed.work)
    assert "provision pod ls --cloud scripted" in caught.value.hint
    assert "https://scripted.example/pods/" in caught.value.hint

    bill = bill_of(rental.attempts, bed.time.clock())
    assert bill.cost is None
    (line,) = bill_lines(bill)
    assert line.startswith(f"a pod {rental.attempts[0].name} may have been rented  cpu3c-2-4")
    assert line.endswith("at $0.06 an hour: an unknown amount")
    assert bill_document(bill)["pods"][0]["maybe"] == rental.attempts[0].name


def test_a_request_that_took_effect_while_nobody_could_look_is_not_made_again() -> None:
    bed = Bed()

    def at(_number: int, name: str) -> None:
        if name in {"create: after", "pods: before"}:
            raise CloudUnavailable("gateway timeout")

    bed.points.at = at
    with pytest.raises(PodNotReturned):
        bed.run()
    assert len(bed.cloud.orders) == 1


def test_a_list_from_before_the_settle_time_does_not_show_that_a_request_had_no_effect() -> None:
    bed = Bed()
    bed.cloud.late = 5

    def at(_number: int, name: str) -> None:
        if name == "create: after" or (name == "pods: before" and 2 < bed.time.passed < 140):
            raise CloudUnavailable("gateway timeout")

    bed.points.at = at
    with pytest.raises(CloudUnavailable, match="gateway timeout"):
        bed.run()
    assert len(bed.cloud.orders) == 1
    assert bed.cloud.there == {}
    assert bed.cloud.deleted == ["pod0"]


def test_a_request_that_had_no_effect_as_a_list_shows_costs_nothing() -> None:
    bed = Bed()
    bed.points.at = failing({"create: before": [ambiguous()]})
    rental = bed.rental()
    rental.run(bed.work)

    assert [use.pod_id for use in bill_of(rental.attempts, bed.time.clock()).uses] == ["pod0"]
