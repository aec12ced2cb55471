# ruff: noqa: ARG001, ARG005 - the shapes of calls
"""Rentals: every pod that was ever asked for is gone in the end, whatever failed or came in between."""

from __future__ import annotations

import pytest
from pod_bed import CHEAP, GPU, LARGE, START, Bed, always, ambiguous, failing

from provision.errors import (
    CloudRefused,
    CloudUnavailable,
    ExitCode,
    NoCapacity,
    PodLost,
    PodNotReturned,
)
from provision.pods.cloud import Order, Pod, State
from provision.pods.rental import Heard, give_back


def test_the_first_that_is_free_is_worked_with_and_given_back() -> None:
    bed = Bed()
    bed.cloud.refusals = {CHEAP.id: [NoCapacity("none")]}

    assert bed.run() == "pod0"

    assert [order.offer for order in bed.cloud.orders] == [CHEAP, LARGE]
    assert len({order.name for order in bed.cloud.orders}) == 2
    assert bed.cloud.there == {}
    assert bed.cloud.deleted == ["pod0"]


def test_of_two_pods_with_one_name_both_are_given_back() -> None:
    bed = Bed()
    bed.cloud.twins = 1
    bed.points.at = failing({"create: after": [ambiguous()]})

    bed.run()

    assert bed.cloud.there == {}
    assert set(bed.cloud.deleted) == {"pod0", "pod1"}


def test_a_second_pod_of_an_answered_request_is_given_back_too() -> None:
    bed = Bed()
    bed.cloud.twins = 1

    bed.run()

    assert bed.cloud.there == {}


def test_a_refusal_stops_at_once() -> None:
    bed = Bed()
    bed.cloud.refusals = {CHEAP.id: [CloudRefused("no balance", hint="add credit")]}

    with pytest.raises(CloudRefused, match="no balance"):
        bed.run()

    assert len(bed.cloud.orders) == 1


def test_a_refusal_that_lied_leaves_nothing() -> None:
    bed = Bed()
    bed.points.at = failing({"create: after": [CloudRefused("401"), NoCapacity("none")]})

    with pytest.raises(CloudRefused):
        bed.run()

    assert bed.cloud.there == {}


def test_where_nothing_is_free_all_are_tried_again_until_the_wait_is_over() -> None:
    bed = Bed(options={"wait": 60.0})
    bed.cloud.refusals = {offer.id: [NoCapacity("none")] * 1000 for offer in bed.candidates}

    with pytest.raises(NoCapacity, match="cpu3c-2-4, cpu3g-4-16, NVIDIA RTX A4000 for 1 min"):
        bed.run()

    assert 60 <= bed.time.passed < 80
    assert len(bed.cloud.orders) > 9


def test_one_that_becomes_free_within_the_wait_is_taken() -> None:
    bed = Bed()
    bed.cloud.refusals = {offer.id: [NoCapacity("none")] * 3 for offer in bed.candidates}

    bed.run()

    assert bed.cloud.orders[-1].offer == CHEAP


def test_what_the_cloud_asks_us_to_wait_is_waited_and_not_without_end() -> None:
    bed = Bed()
    bed.points.at = failing({"create: before": [CloudUnavailable("slow down", retry_after=45)]})
    bed.run()
    assert bed.time.passed >= 45

    bed = Bed()
    bed.points.at = always("create: before", CloudUnavailable("slow down", retry_after=3600))
    with pytest.raises(CloudUnavailable):
        bed.run()
    assert bed.time.passed < 60


def test_a_pod_that_does_not_come_up_is_given_back_and_another_machine_tried() -> None:
    bed = Bed()
    bed.cloud.stillborn = 1

    assert bed.run() == "pod1"

    assert [order.offer for order in bed.cloud.orders] == [CHEAP, LARGE]
    assert bed.time.passed >= bed.renting.come_up
    assert bed.cloud.there == {}


def test_after_a_few_that_do_not_come_up_it_is_over() -> None:
    bed = Bed()
    bed.cloud.stillborn = 100

    with pytest.raises(PodLost, match="3 were tried, 5 min 0 s each"):
        bed.run()

    assert len(bed.cloud.orders) == 3
    assert bed.cloud.there == {}


def test_a_pod_that_runs_and_says_nothing_to_those_who_can_be_asked_is_no_use() -> None:
    bed = Bed(heard=Heard.NOTHING)

    with pytest.raises(PodLost):
        bed.run()


def test_a_pod_that_runs_and_is_out_of_our_reach_may_go_on() -> None:
    bed = Bed(heard=Heard.UNKNOWN)

    assert bed.run() == "pod0"


def test_a_pod_that_vanishes_before_it_is_up_is_replaced() -> None:
    bed = Bed()

    def vanish(number: int, name: str) -> None:
        if bed.time.passed > 12 and not bed.cloud.deleted:
            bed.cloud.there.pop("pod0", None)

    bed.points.at = vanish

    assert bed.run() == "pod1"


def test_a_pod_that_is_lost_while_it_works_is_rented_anew_a_few_times() -> None:
    bed, seen = Bed(), []

    def lost(pod: Pod) -> str:
        seen.append(pod.id)
        if len(seen) < 3:
            raise PodLost("gone")
        return "done"

    assert bed.rental().run(lost) == "done"
    assert seen == ["pod0", "pod1", "pod2"]
    assert bed.cloud.there == {}

    bed = Bed()
    with pytest.raises(PodLost, match="gone"):
        bed.rental().run(lambda pod: (_ for _ in ()).throw(PodLost("gone")))
    assert len(bed.cloud.orders) == 3


def test_a_lease_runs_from_its_order_however_long_was_waited() -> None:
    bed = Bed(options={"wait": 7200.0})

    def none_is_free(order: Order) -> Pod:
        if bed.time.passed < 3595:
            raise NoCapacity("none")
        return create(order)

    create, bed.cloud.create_pod = bed.cloud.create_pod, none_is_free  # type: ignore[method-assign]

    assert bed.run() == "pod0"
    assert bed.cloud.orders[0].deadline >= START + 3595 + bed.life


def test_the_wait_is_not_cut_short_by_the_lease() -> None:
    bed = Bed(options={"wait": 7200.0}, life=1800.0)
    bed.cloud.refusals = {offer.id: [NoCapacity("none")] * 2000 for offer in bed.candidates}

    with pytest.raises(NoCapacity):
        bed.run()
    assert 7200 <= bed.time.passed < 7230


def test_a_lost_pod_is_replaced_by_one_with_a_lease_of_its_own() -> None:
    bed, lives = Bed(), []

    def work(pod: Pod) -> str:
        lives.append(pod.id)
        bed.time.sleep(3000)
        if len(lives) < 2:
            raise PodLost("gone")
        return "done"

    assert bed.rental().run(work) == "done"
    assert bed.cloud.orders[1].deadline > START + 3000 + bed.life


def test_a_lost_pod_is_not_replaced_past_its_deadline() -> None:
    bed = Bed()

    def too_late(pod: Pod) -> str:
        bed.time.sleep(4000)
        raise PodLost("gone")

    with pytest.raises(PodLost):
        bed.rental().run(too_late)
    assert len(bed.cloud.orders) == 1


def test_a_pod_that_cannot_be_given_back_is_the_loudest_error_and_keeps_the_other() -> None:
    bed = Bed()

    def at(_number: int, name: str) -> None:
        if name == "delete: before":
            raise CloudUnavailable("gateway timeout")
        if name == "work":
            raise PodLost("the pod says nothing")

    bed.points.at = at
    bed.options = {"again": 0}

    with pytest.raises(PodNotReturned) as caught:
        bed.run()

    assert caught.value.exit_code is ExitCode.POD_NOT_RETURNED
    assert isinstance(caught.value.__cause__, PodLost)
    for words in ("pod0", "0.06 USD an hour", "gateway timeout", "the pod says nothing"):
        assert words in caught.value.message
    assert "scripted remove pod0" in caught.value.hint
    assert "https://scripted.example/pods/pod0" in caught.value.hint
    assert 120 <= bed.time.passed - 20 < 160


def test_a_delete_that_fails_for_a_while_is_repeated() -> None:
    bed = Bed()
    bed.points.at = failing(
        {
            "delete: before": [ambiguous(), CloudRefused("403"), RuntimeError("a fault")],
            "delete: after": [ambiguous()],
            "pod: after": [],
            "pods: before": [ambiguous(), CloudRefused("403")],
        }
    )

    bed.run()

    assert bed.cloud.there == {}


def test_that_the_cloud_says_yes_to_a_delete_is_no_proof() -> None:
    bed, lies = Bed(), [1, 2, 3]
    delete = bed.cloud.delete_pod
    bed.cloud.delete_pod = lambda pod_id: None if lies and lies.pop() else delete(pod_id)  # type: ignore[method-assign]
    bed.points.at = always("pods: before", ambiguous())

    bed.run()

    assert bed.cloud.there == {}


def test_that_a_pod_is_not_found_once_is_no_proof() -> None:
    bed, lies = Bed(), [1, 2]
    look, delete = bed.cloud.pod, bed.cloud.delete_pod

    def find(pod_id: str) -> Pod | None:
        return None if bed.time.passed > 70 and lies and lies.pop() else look(pod_id)

    bed.cloud.pod = find  # type: ignore[method-assign]
    bed.cloud.delete_pod = lambda pod_id: None if lies else delete(pod_id)  # type: ignore[method-assign]

    bed.run()

    assert lies == []
    assert bed.cloud.there == {}


def test_where_all_was_refused_a_list_that_cannot_be_had_is_not_waited_for_long() -> None:
    bed = Bed(options={"wait": 0.0})
    bed.cloud.refusals = {offer.id: [NoCapacity("none")] for offer in bed.candidates}
    bed.points.at = always("pods: before", ambiguous())

    with pytest.raises(NoCapacity):
        bed.run()

    assert bed.time.passed < 10


def test_a_new_pod_need_not_be_known_everywhere_at_once() -> None:
    bed = Bed()
    look = bed.cloud.pod
    bed.cloud.pod = lambda pod_id: look(pod_id) if bed.time.passed > 5 else None  # type: ignore[method-assign]

    assert bed.run() == "pod0"
    assert len(bed.cloud.orders) == 1


def test_a_pod_that_is_gone_is_given_back_though_the_list_cannot_be_had() -> None:
    bed = Bed()
    bed.points.at = always("pods: before", ambiguous())

    assert bed.run() == "pod0"
    assert bed.cloud.there == {}


def test_giving_back_by_name_takes_all_of_a_lease_and_only_one_of_anybody_elses() -> None:
    bed = Bed()
    bed.cloud.twins = 1
    ours = bed.cloud.create_pod(bed.order_of(GPU))
    foreign = [Pod(id=f"x{number}", name="notebook", state=State.RUNNING, is_up=True) for number in range(2)]
    bed.cloud.there |= {pod.id: pod for pod in foreign}
    bed.cloud.born |= {pod.id: 0.0 for pod in foreign}

    give_back(bed.renting, [ours, foreign[0]])

    assert set(bed.cloud.there) == {"x1"}


def test_a_pod_that_is_gone_already_is_no_error() -> None:
    bed = Bed()

    give_back(bed.renting, [Pod(id="x", name="y", state=State.STOPPED, is_up=False)])
