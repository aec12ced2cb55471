"""Choice: which machines to try, in which order. Pure; no I/O.

What a cloud says of its stock does not predict whether it will rent a machine out, so that stock only orders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.errors import InputError
from provision.names import nearest, shown
from provision.pods.cloud import Kind, Stock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.pods.cloud import Offer

ANY = "any"
"""In place of an id: every machine of that kind."""

_TOLD = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a person asked for. `cpu` and `gpu` are ids, or ANY; "" where nothing was said of that kind.

    Of neither kind: both. Of one: only that. `max_price`: USD an hour.
    """

    cpu: str = ""
    gpu: str = ""
    max_price: float | None = None


def candidates(offers: Sequence[Offer], wishes: Wishes) -> list[Offer]:
    """The offers worth trying, in the order in which to try them.

    CPUs first, then GPUs; within a kind the cheapest first, those of an unknown price after them, those without stock
    last. An unknown price is never under a `max_price`.

    Raises:
        InputError: none is left. It says what was offered, and which id was probably meant.
    """
    wanted = {Kind.CPU: wishes.cpu, Kind.GPU: wishes.gpu}
    if not any(wanted.values()):
        wanted = {Kind.CPU: ANY, Kind.GPU: ANY}
    for kind, name in wanted.items():
        _check_known(offers, kind, name)
    fitting = [offer for offer in offers if wanted[offer.kind] in {ANY, offer.id}]
    chosen = [offer for offer in fitting if _is_affordable(offer, wishes.max_price)]
    if not chosen:
        raise _nothing(fitting, wishes)
    return sorted(chosen, key=_rank)


def _rank(offer: Offer) -> tuple[bool, bool, bool, float, str]:
    price = offer.price
    return offer.kind is Kind.GPU, offer.stock is Stock.NONE, price is None, price or 0.0, offer.id


def _is_affordable(offer: Offer, most: float | None) -> bool:
    return most is None or (offer.price is not None and offer.price <= most)


def _check_known(offers: Sequence[Offer], kind: Kind, name: str) -> None:
    """Raise InputError where `name` is no machine of this kind."""
    ids = sorted(offer.id for offer in offers if offer.kind is kind)
    if name in {"", ANY} or name in ids:
        return
    close = nearest(name, ids, count=1)
    what = f"there is no {kind.value.upper()} `{shown(name)}` where the volume is"
    if close:
        raise InputError(what, hint=f"did you mean --{kind.value} {_argument(close[0])}?")
    raise InputError(f"{what}; offered: {_listed(ids)}", hint=f"--{kind.value} any takes the cheapest of them")


def _nothing(fitting: Sequence[Offer], wishes: Wishes) -> InputError:
    if not fitting:
        kinds = " or ".join(kind.upper() for kind in ("cpu", "gpu") if getattr(wishes, kind)) or "machine"
        return InputError(
            f"no {kinds} is offered where the volume is",
            hint="another kind may be: --cpu any --gpu any; a volume cannot leave its data center",
        )
    priced = sorted(fitting, key=lambda offer: (offer.price is None, offer.price or 0.0))
    return InputError(
        f"no machine costs {wishes.max_price:g} USD an hour or less; "
        f"offered: {_listed([f'{offer.id} ({price_text(offer.price)})' for offer in priced])}",
        hint="raise --max-price",
    )


def price_text(price: float | None) -> str:
    """A price by the hour, for people."""
    return "price unknown" if price is None else f"${price:.3g} an hour"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return (", ".join(shown(name) for name in names[:_TOLD]) + more) or "none"


def _argument(name: str) -> str:
    import shlex

    return shlex.quote(shown(name))
