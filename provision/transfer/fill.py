"""A fill: locks are surveyed on a volume, planned, checked for room, and carried out by a crew."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.errors import InputError, LockUnreadable, VolumeError, VolumeFull
from provision.layout import layout_fault, sidecars
from provision.plan import Action, Plan, State, check_neighbours, plan
from provision.progress import End, size_text
from provision.shard import share
from provision.transfer.jobs import jobs
from provision.transfer.outcome import Filling, kept
from provision.transfer.shift import Shift
from provision.transfer.sources import Sources
from provision.transfer.steps import Bench
from provision.volume.claims import Claims
from provision.volume.holdings import survey
from provision.volume.locks import read_locks, write_lock
from provision.volume.partials import Partials
from provision.volume.receipts import Receipt, believed_receipts
from provision.volume.receipts.writing import ReceiptWriter, compact
from provision.volume.space import check_room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from provision.crew import Stop
    from provision.hubs.supply import Supply
    from provision.lock import Lock, LockedFile
    from provision.plan import Holding
    from provision.progress import Progress
    from provision.shard import Shard
    from provision.transfer.rate import Rate
    from provision.transfer.width import Width
    from provision.volume.mount import Volume
    from provision.volume.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """What a fill is going to do, before it does anything."""

    locks: tuple[Lock, ...]
    shard: Shard | None
    plan: Plan
    holdings: Mapping[str, Holding]
    receipts: Mapping[str, Receipt]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a fill is done with.

    `width`: the connections there are at once, for all files. `rate`: bytes a second they may bring together. `xet`:
    whether Hugging Face's files come from its Xet storage first. `volume_size`: bytes, where someone knows them.
    """

    supply: Supply
    writer: Writer
    progress: Progress
    stop: Stop
    clock: Callable[[], float]
    width: Width
    rate: Rate
    xet: bool = False
    volume_size: int | None = None


def look_ahead(volume: Volume, locks: Sequence[Lock], now: float, shard: Shard | None = None) -> Prospect:
    """Survey `volume` and plan its way to `locks`, or to a share of them. Nothing is changed.

    Raises:
        InputError: two locks, here or left on the volume by another project, promise different bytes for one target.
        VolumeError: the volume cannot be surveyed.
    """
    fault = layout_fault([model for lock in locks for model in lock.models])
    if fault:
        raise InputError(fault, hint="give one of them another target or root, then run `provision lock`")
    check_neighbours(locks, _neighbours(volume, locks))
    receipts = believed_receipts(volume, now)
    holdings = survey(volume, [file for lock in locks for _, file in lock.files()], now, receipts)
    whole = plan(locks, lambda file: holdings[file.target])
    return Prospect(
        locks=tuple(locks),
        shard=shard,
        plan=whole if shard is None else whole.only(share(locks, shard)),
        holdings=holdings,
        receipts=receipts,
    )


def check_fits(volume: Volume, prospect: Prospect, writer: Writer, now: float, volume_size: int | None) -> None:
    """Refuse what `fill` would have no room for. Nothing is changed: what it would drop then counts as room.

    Raises:
        VolumeFull: it cannot fit.
        VolumeTrouble, VolumeError: the volume cannot be looked at.
    """
    partials = Partials(volume, writer)
    _check_room(prospect, partials, volume_size, partials.idle(_claimed(prospect), now))


def _neighbours(volume: Volume, locks: Sequence[Lock]) -> list[Lock]:
    """The locks that other projects have left on the volume."""
    try:
        return [lock for lock in read_locks(volume) if lock.project not in {ours.project for ours in locks}]
    except LockUnreadable:
        return []  # a damaged copy is no promise; its project's next fill replaces it


def fill(volume: Volume, prospect: Prospect, means: Means) -> Filling:
    """Carry `prospect` out. Files that fail are in the result; the others are as promised and have their receipts.

    Raises:
        VolumeFull: it cannot fit; nothing was fetched.
        VolumeReadOnly: the volume cannot be written; nothing was fetched.
        VolumeAbsent: it was unmounted meanwhile.
        Interrupted: a stop was asked for; what is proven stays proven.
    """
    partials = Partials(volume, means.writer, means.width.clock)
    if any(step.touches for step in prospect.plan.steps):
        volume.check_writable()
        prospect = _with_room(volume, prospect, means, partials)
    for lock in prospect.locks:
        write_lock(volume, lock)
    filling: Filling | None = None
    try:
        with ReceiptWriter(volume, means.clock, prospect.receipts) as receipts:
            filling = _carry_out(prospect, means, _bench(volume, prospect, means, partials, receipts))
        _write_sidecars(volume, prospect, filling, means.clock())
        compact(volume, means.clock)
        volume.check_attached()
    except VolumeError:
        if filling is None or filling.ok:
            raise  # else files have failed, and tell more than receipts that found no room either
    return filling


def _with_room(volume: Volume, prospect: Prospect, means: Means, partials: Partials) -> Prospect:
    """The prospect, when it fits. What killed fills of other hosts have left would be copied, so that it takes room
    twice; where that room is missing it is dropped, and the prospect is made anew.
    """
    try:
        _check_room(prospect, partials, means.volume_size)
    except VolumeFull:
        dropped = partials.drop_idle(_claimed(prospect), means.clock())
        if not dropped:
            raise
        means.supply.retry.tell(f"no room to copy what a killed fill has left: {size_text(dropped)} of it removed")
        prospect = look_ahead(volume, prospect.locks, means.clock(), prospect.shard)
        _check_room(prospect, partials, means.volume_size)
    return prospect


def _claimed(prospect: Prospect) -> list[LockedFile]:
    return [step.file for step in prospect.plan.having(Action.FETCH, Action.RESUME)]


def _check_room(prospect: Prospect, partials: Partials, volume_size: int | None, freed: int = 0) -> None:
    """`freed`: bytes that will not be there any more."""
    claimed = _claimed(prospect)
    needed = prospect.plan.room_needed(prospect.holdings) + partials.copies(claimed) - freed
    check_room(partials.volume, needed, volume_size, partials.sunk(claimed))


def _bench(volume: Volume, prospect: Prospect, means: Means, partials: Partials, receipts: ReceiptWriter) -> Bench:
    return Bench(
        volume=volume,
        partials=partials,
        known=prospect.receipts,
        copies=_by_sha256(prospect.receipts.values()),
        receipts=receipts,
        sources=Sources(means.supply, xet=means.xet),
        rate=means.rate,
        width=means.width,
        progress=means.progress,
        stop=means.stop,
        clock=means.clock,
    )


def _by_sha256(receipts: Iterable[Receipt]) -> dict[str, list[Receipt]]:
    found: dict[str, list[Receipt]] = {}
    for receipt in receipts:
        found.setdefault(receipt.sha256, []).append(receipt)
    return found


def _carry_out(prospect: Prospect, means: Means, bench: Bench) -> Filling:
    steps = prospect.plan.steps
    outcomes = [kept(step) for step in steps if step.action is Action.KEEP]
    work = jobs(steps)
    means.progress.begin("fill", sum(step.file.size for step in steps if step.touches))
    end = End.INTERRUPTED
    try:
        with Claims(bench.volume, means.writer, means.width.clock, means.clock) as claims:
            outcomes += Shift(bench=bench, claims=claims).run(work)
        end = End.OK if all(outcome.error is None for outcome in outcomes) else End.FAILED
    except VolumeError:
        end = End.FAILED
        raise
    finally:
        means.progress.end(end)
    with suppress(VolumeError):  # a leftover that cannot be removed takes room, and makes nothing wrong
        bench.partials.sweep(outcome.step.file for outcome in outcomes if outcome.error is None)
    by_target = {outcome.step.file.target: outcome for outcome in outcomes}
    return Filling(outcomes=tuple(by_target[step.file.target] for step in prospect.plan.steps))


def _write_sidecars(volume: Volume, prospect: Prospect, filling: Filling, now: float) -> None:
    """The sidecars whose files all stand. With shards, the last fill to end finds that they do, and writes them."""
    done = {outcome.step.file.target for outcome in filling.outcomes if outcome.error is None}
    if prospect.shard is not None:
        others = [file for lock in prospect.locks for _, file in lock.files() if file.target not in done]
        held = survey(volume, others, now)
        done |= {target for target, holding in held.items() if holding.state is State.PROVEN}
    for sidecar in sidecars(model for lock in prospect.locks for model in lock.models):
        if done.issuperset(sidecar.after):
            volume.write_file(sidecar.target, sidecar.text.encode())
