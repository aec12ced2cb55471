"""The bill: what a job will take, by which rates, and what it has cost."""

from __future__ import annotations

import pytest
from pod_bed import CHEAP, Bed

from provision.errors import NoCapacity, PodLost
from provision.pods.bill import (
    DOCUMENTED,
    START_UP,
    Bill,
    Estimate,
    Moved,
    Rates,
    Use,
    bill_document,
    bill_lines,
    bill_of,
    estimate_document,
    estimate_lines,
    lease_seconds,
    money,
    rates_of,
)
from provision.pods.cloud import Pod

GB = 10**9


def test_without_earlier_jobs_the_documented_rate_counts_and_is_called_so() -> None:
    estimate = Estimate(fetch=20 * GB, verify=20 * GB, rates=rates_of([]), offer=CHEAP, volume_price=7.0)

    assert estimate.seconds == START_UP + 100 + 100
    assert estimate.cost == pytest.approx(0.06 * 320 / 3600)
    assert estimate_lines(estimate) == [
        "fetch   20.0 GB, 1 min 40 s at 200.0 MB/s as documented for network volumes",
        "verify  20.0 GB, 1 min 40 s at 200.0 MB/s as documented for network volumes",
        "time    about 5 min 20 s, 2 min 0 s of it to start",
        "pod     cpu3c-2-4 at $0.06 an hour: about $0.0053",
        "volume  $7.00 a month, with or without a pod",
    ]
    assert estimate_document(estimate)["fetch_rate_measured"] is False


def test_measured_rates_go_before_and_too_little_measures_nothing() -> None:
    rates = rates_of(
        [
            Moved(fetched=10 * GB, fetch_seconds=100, verified=10 * GB, verify_seconds=20),
            Moved(fetched=30 * GB, fetch_seconds=100, verified=0, verify_seconds=0),
            Moved(fetched=5, fetch_seconds=60, verified=GB, verify_seconds=0.0),
        ]
    )

    assert rates == Rates(fetch=2e8, verify=5e8, fetch_is_measured=True, verify_is_measured=True)
    assert rates_of([Moved(fetched=5, fetch_seconds=60)]) == Rates(fetch=DOCUMENTED, verify=DOCUMENTED)


@pytest.mark.parametrize(("size", "seconds"), [(0, 30 * 60), (500 * GB, 15 * 60 + 3 * 5120), (10**15, 24 * 3600)])
def test_a_lease_is_three_times_as_long_as_the_job_and_bounded(size: int, seconds: float) -> None:
    assert lease_seconds(Estimate(fetch=size, verify=size, rates=Rates())) == seconds


def test_an_unknown_price_is_said_to_be_unknown() -> None:
    use = Use(pod_id="p", machine="m", price=None, seconds=60)

    assert Bill(uses=(use,)).cost is None
    assert bill_lines(Bill(uses=(use,))) == ["pod p  m  1 min 0 s  an unknown amount"]
    assert Estimate(fetch=0, verify=1, rates=Rates()).cost is None


def test_several_pods_add_up() -> None:
    bill = Bill(uses=(Use(pod_id="a", machine="m", price=3.6, seconds=100),))
    bill += Bill(uses=(Use(pod_id="b", machine="n", price=0.36, seconds=200),))

    assert bill_lines(bill) == [
        "pod a  m  1 min 40 s  at $3.60 an hour: $0.10",
        "pod b  n  3 min 20 s  at $0.36 an hour: $0.02",
        "all together  5 min 0 s  $0.12",
    ]
    assert bill_document(bill)["usd"] == 0.12
    assert [pod["usd"] for pod in bill_document(bill)["pods"]] == [0.1, 0.02]
    assert bill_lines(Bill()) == ["no pod was rented, and nothing is to be paid"]


def test_a_bill_names_every_pod_that_was_there_and_none_that_was_refused() -> None:
    bed, lives = Bed(life=20_000.0), []
    bed.cloud.refusals = {CHEAP.id: [NoCapacity("none")]}

    def work(pod: Pod) -> None:
        lives.append(pod.id)
        bed.time.sleep(3600)
        if len(lives) == 1:
            raise PodLost("gone")

    rental = bed.rental()
    rental.run(work)
    bill = bill_of(rental.attempts, bed.time.clock())

    assert [use.pod_id for use in bill.uses] == ["pod0", "pod1"]
    assert [use.machine for use in bill.uses] == ["cpu3g-4-16", "cpu3c-2-4"]
    assert 3600 < bill.uses[0].seconds < 3700
    assert bill.cost == pytest.approx(0.16 + 0.06, rel=0.02)


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "$0.00"), (0.06, "$0.06"), (0.0043, "$0.0043"), (0.5, "$0.50"), (12.3, "$12.30")]
)
def test_small_amounts_are_not_rounded_away(amount: float, text: str) -> None:
    assert money(amount) == text
