"""The bill: minutes and money, estimated before and stated after. Pure; no I/O. Money is USD, sizes are bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision.names import shown
from provision.progress import duration_text, size_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from provision.pods.cloud import Offer
    from provision.pods.returning import Attempt

DOCUMENTED = 200_000_000
"""Bytes a second. RunPod gives 200 to 400 MB/s for a network volume (docs.runpod.io, storage/network-volumes)."""

START_UP = 120.0
"""Seconds until a pod's container runs and has installed what it needs."""

ENOUGH_BYTES, ENOUGH_SECONDS = 100_000_000, 1.0
"""Less than this tells no rate."""

_SHORTEST, _LONGEST = 30 * 60.0, 24 * 3600.0
_MARGIN = 15 * 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What an earlier job has fetched and read, in bytes, and how long that took, in seconds."""

    fetched: int = 0
    fetch_seconds: float = 0.0
    verified: int = 0
    verify_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Bytes a second, and whether each was measured on that volume."""

    fetch: float = DOCUMENTED
    verify: float = DOCUMENTED
    fetch_is_measured: bool = False
    verify_is_measured: bool = False


def rates_of(moved: Iterable[Moved]) -> Rates:
    """What earlier jobs on a volume have measured, all together; what is documented where they tell too little."""
    jobs = list(moved)
    fetch = _rate([(job.fetched, job.fetch_seconds) for job in jobs])
    verify = _rate([(job.verified, job.verify_seconds) for job in jobs])
    return Rates(
        fetch=fetch or DOCUMENTED,
        verify=verify or DOCUMENTED,
        fetch_is_measured=fetch is not None,
        verify_is_measured=verify is not None,
    )


def _rate(measured: Sequence[tuple[int, float]]) -> float | None:
    told = [(count, seconds) for count, seconds in measured if count >= ENOUGH_BYTES and seconds >= ENOUGH_SECONDS]
    return sum(count for count, _ in told) / sum(seconds for _, seconds in told) if told else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a job will take: bytes to `fetch` and to `verify` on a machine at `price` an hour, None where that is not
    known. `volume_price` is a month's, None where it is not known.
    """

    fetch: int
    verify: int
    rates: Rates
    offer: Offer | None = None
    volume_price: float | None = None

    @property
    def seconds(self) -> float:
        """From the request to the end of the job."""
        return START_UP + self.fetch / self.rates.fetch + self.verify / self.rates.verify

    @property
    def cost(self) -> float | None:
        """USD for the pod."""
        price = self.offer.price if self.offer is not None else None
        return None if price is None else price * self.seconds / 3600


def estimate_lines(estimate: Estimate) -> list[str]:
    """For people."""
    rates = estimate.rates
    lines = []
    if estimate.fetch:
        lines.append(f"fetch   {_work(estimate.fetch, rates.fetch, is_measured=rates.fetch_is_measured)}")
    lines.append(f"verify  {_work(estimate.verify, rates.verify, is_measured=rates.verify_is_measured)}")
    lines.append(f"time    about {duration_text(estimate.seconds)}, {duration_text(START_UP)} of it to start")
    if estimate.offer is not None:
        price = "at an unknown price" if estimate.offer.price is None else f"at {money(estimate.offer.price)} an hour"
        lines.append(f"pod     {estimate.offer.id} {price}: about {money(estimate.cost)}")
    if estimate.volume_price is not None:
        lines.append(f"volume  {money(estimate.volume_price)} a month, with or without a pod")
    return lines


def _work(count: int, rate: float, *, is_measured: bool) -> str:
    source = "as measured on this volume" if is_measured else "as documented for network volumes"
    return f"{size_text(count)}, {duration_text(count / rate)} at {size_text(int(rate))}/s {source}"


def estimate_document(estimate: Estimate) -> dict[str, Any]:
    """Of `--format json`."""
    offer = estimate.offer
    return {
        "fetch_bytes": estimate.fetch,
        "verify_bytes": estimate.verify,
        "fetch_rate": round(estimate.rates.fetch),
        "fetch_rate_measured": estimate.rates.fetch_is_measured,
        "verify_rate": round(estimate.rates.verify),
        "verify_rate_measured": estimate.rates.verify_is_measured,
        "seconds": round(estimate.seconds),
        "machine": offer.id if offer is not None else None,
        "usd_per_hour": offer.price if offer is not None else None,
        "usd": _rounded(estimate.cost),
        "volume_usd_per_month": _rounded(estimate.volume_price),
    }


def lease_seconds(estimate: Estimate) -> float:
    """How long a pod for this may live, where nobody has said: three times as long as it should take, and some more."""
    return min(max(_SHORTEST, _MARGIN + 3 * estimate.seconds), _LONGEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One pod that was rented. `price` is USD an hour; None where the cloud did not say.

    `maybe` is the name of one that may have been rented and was never seen: it has no id, and its cost is not known.
    """

    pod_id: str
    machine: str
    price: float | None
    seconds: float
    maybe: str = ""

    @property
    def cost(self) -> float | None:
        """USD; None where it is not known."""
        return None if self.price is None or self.maybe else self.price * self.seconds / 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """All pods of one job, those too that never came up."""

    uses: tuple[Use, ...] = ()

    @property
    def seconds(self) -> float:
        """Of all pods together."""
        return sum(use.seconds for use in self.uses)

    @property
    def cost(self) -> float | None:
        """USD; None where that of any is not known."""
        costs = [use.cost for use in self.uses if use.cost is not None]
        return sum(costs) if len(costs) == len(self.uses) else None

    def __add__(self, other: Bill) -> Bill:
        return Bill(uses=(*self.uses, *other.uses))


def bill_of(attempts: Iterable[Attempt], clock: float) -> Bill:
    """The bill for what a rental has asked for; `clock`: the time, by the rental's clock, for what is still there.

    Each pod counts from the request for it until it was seen to be gone; so does one that nobody knows of whether it
    was rented.
    """
    return Bill(uses=tuple(use for attempt in attempts for use in _uses(attempt, clock)))


def _uses(attempt: Attempt, clock: float) -> Iterator[Use]:
    machine = attempt.offer.id if attempt.offer is not None else ""
    for pod in attempt.pods.values():
        ended = clock if attempt.ended is None or pod.id == attempt.kept else attempt.ended
        yield Use(pod_id=pod.id, machine=machine or pod.machine, price=attempt.price, seconds=ended - attempt.sent)
    if not attempt.pods and not attempt.is_answered and attempt.ended is None:
        yield Use(pod_id="", machine=machine, price=attempt.price, seconds=clock - attempt.sent, maybe=attempt.name)


def bill_lines(bill: Bill) -> list[str]:
    """For people."""
    if not bill.uses:
        return ["no pod was rented, and nothing is to be paid"]
    lines = [
        f"{_pod(use)}  {shown(use.machine)}  {duration_text(use.seconds)}"
        f"  {'' if use.price is None else f'at {money(use.price)} an hour: '}{money(use.cost)}"
        for use in bill.uses
    ]
    if len(bill.uses) > 1:
        lines.append(f"all together  {duration_text(bill.seconds)}  {money(bill.cost)}")
    return lines


def _pod(use: Use) -> str:
    return f"a pod {shown(use.maybe)} may have been rented" if use.maybe else f"pod {shown(use.pod_id)}"


def bill_document(bill: Bill) -> dict[str, Any]:
    """Of `--format json`, and of proofs."""
    return {
        "usd": _rounded(bill.cost),
        "seconds": round(bill.seconds),
        "pods": [
            {
                "id": use.pod_id,
                "machine": use.machine,
                "usd_per_hour": use.price,
                "seconds": round(use.seconds),
                "usd": _rounded(use.cost),
                **({"maybe": use.maybe} if use.maybe else {}),
            }
            for use in bill.uses
        ],
    }


def money(amount: float | None) -> str:
    """USD for people: `$0.06`, `$0.004`, `$12.30`."""
    if amount is None:
        return "an unknown amount"
    return (
        f"${amount:.2f}"
        if amount >= 0.995 or not amount
        else f"${float(f'{amount:.2g}'):.4f}".rstrip("0").ljust(5, "0")
    )


def _rounded(amount: float | None) -> float | None:
    return None if amount is None else round(amount, 6)
