"""Choice: what is tried first, and what is said where nothing can be."""

from __future__ import annotations

import pytest
from pod_bed import CHEAP, GPU, LARGE

from provision.errors import InputError
from provision.pods.choice import ANY, Wishes, candidates
from provision.pods.cloud import Kind, Offer, Stock

DEAR = Offer(kind=Kind.GPU, id="NVIDIA H100 80GB HBM3", name="H100", price=2.99)
SECRETIVE = Offer(kind=Kind.CPU, id="cpu5c-2-4", name="CPU", price=None)
SOLD_OUT = Offer(kind=Kind.CPU, id="cpu3c-1-2", name="CPU", price=0.03, stock=Stock.NONE)
OFFERS = [DEAR, SECRETIVE, GPU, LARGE, SOLD_OUT, CHEAP]


def chosen(**wishes: object) -> list[Offer]:
    return candidates(OFFERS, Wishes(**wishes))  # type: ignore[arg-type]


def test_cpus_come_first_the_cheapest_of_each_kind_first_unknown_prices_later_and_without_stock_last() -> None:
    assert chosen() == [CHEAP, LARGE, SECRETIVE, SOLD_OUT, GPU, DEAR]


def test_naming_one_kind_leaves_out_the_other() -> None:
    assert chosen(gpu=ANY) == [GPU, DEAR]
    assert chosen(cpu=ANY) == [CHEAP, LARGE, SECRETIVE, SOLD_OUT]
    assert chosen(cpu="cpu3g-4-16") == [LARGE]


def test_naming_both_kinds_takes_both() -> None:
    assert chosen(cpu="cpu3c-2-4", gpu="NVIDIA RTX A4000") == [CHEAP, GPU]


def test_an_unknown_price_is_under_no_limit() -> None:
    assert chosen(max_price=0.2) == [CHEAP, LARGE, SOLD_OUT]
    assert chosen(max_price=0.06) == [CHEAP, SOLD_OUT]


def test_a_wrong_id_is_answered_with_the_nearest_right_one() -> None:
    with pytest.raises(InputError) as caught:
        chosen(gpu="nvidia rtx a400")
    assert caught.value.hint == "did you mean --gpu 'NVIDIA RTX A4000'?"


def test_an_id_like_none_is_answered_with_what_there_is() -> None:
    with pytest.raises(InputError, match="no CPU `zzz` where the volume is; offered: cpu3c-1-2, cpu3c-2-4"):
        chosen(cpu="zzz")


def test_where_all_is_too_dear_the_cheapest_are_told() -> None:
    with pytest.raises(InputError, match=r"0\.01 USD an hour or less; offered: cpu3c-1-2 \(\$0\.03 an hour\)"):
        chosen(max_price=0.01)


def test_where_nothing_is_offered_that_is_said() -> None:
    with pytest.raises(InputError, match="no machine is offered"):
        candidates([], Wishes())
    with pytest.raises(InputError, match="no GPU is offered"):
        candidates([CHEAP], Wishes(gpu=ANY))
