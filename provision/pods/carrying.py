"""Carrying out an errand: rent, watch, bring back the result, give back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from provision.errors import ExitCode, Interrupted, PodError, ProvisionError
from provision.pods.bill import Bill, bill_of
from provision.pods.errand import STATUS_PORT, order_for
from provision.pods.job import PORT, TOKEN
from provision.pods.lease import lease_of, new_lease
from provision.pods.mirror import Mirror
from provision.pods.rental import Rental, Tenancy, Wanted
from provision.pods.result import believed, read_result, result_of
from provision.pods.returning import not_returned
from provision.pods.watching import Vigilance, Watch
from provision.pods.ways import Endpoint, Log, Marker

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.hubs.http.pools import Pools
    from provision.pods.cloud import Offer, Order, Pod
    from provision.pods.errand import Errand
    from provision.pods.job import Task
    from provision.pods.rental import Heard
    from provision.pods.result import Result
    from provision.pods.returning import Renting
    from provision.pods.ways import Way
    from provision.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Eyes:
    """How pods are seen from here. `marker` reads a file of the volume (None where there is none), where that can be
    done from here. `label` is for one of several pods that share `progress`: see `Mirror`. `began` gets what is carried
    out before anything is rented, `came_up` each pod that is at work.
    """

    pools: Pools
    progress: Progress
    tell: Callable[[str], None]
    marker: Callable[[str], bytes | None] | None = None
    label: str = ""
    vigilance: Vigilance = field(default_factory=Vigilance)
    began: Callable[[Underway], None] = lambda _: None
    came_up: Callable[[Pod], None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What came of an errand. `result` is there once the job has ended, however it did; `error` is what went wrong
    outside of it, and may be there as well: the pod is not given back. `left` is a pod that goes on by itself.
    """

    result: Result | None
    bill: Bill
    error: ProvisionError | None = None
    left: Pod | None = None

    @property
    def exit_code(self) -> int:
        """What the process says when this is all: what went wrong outside, else how the job has ended."""
        if self.error is not None:
            return self.error.exit_code
        return ExitCode.DONE if self.result is None else self.result.exit_code


@dataclass(frozen=True, slots=True)
class Underway:
    """An errand that is carried out, on another thread perhaps."""

    renting: Renting
    tenancy: Tenancy
    results: list[Result]

    def abandoned(self) -> Ending:
        """What is to be told of it when nobody waits any longer until its pods are given back."""
        attempts = [
            replace(attempt, pods=dict(attempt.pods), gone=set(attempt.gone)) for attempt in list(self.tenancy.attempts)
        ]
        return Ending(
            result=self.results[-1] if self.results else None,
            bill=bill_of(attempts, self.renting.clock()),
            error=not_returned(self.renting.cloud, attempts, ": interrupted again and again"),
            left=self.tenancy.left,
        )


class Watched:
    """One pod of a lease, seen by `eyes`."""

    def __init__(self, renting: Renting, eyes: Eyes, pod: Pod, *, port: int, token: str) -> None:
        self._endpoint = Endpoint(renting.cloud, eyes.pools, pod, renting.clock, port=port, token=token)
        ways: list[Way] = [self._endpoint, Log(renting.cloud, pod)]
        if eyes.marker is not None:
            ways.append(Marker(eyes.marker, pod))
        self._tell = eyes.tell
        self._mirror = Mirror(eyes.progress, eyes.tell, eyes.label)
        self._watch = Watch(renting, pod, ways, self._mirror.show, eyes.vigilance)

    def heard(self) -> Heard:
        """As `Watch.heard`."""
        return self._watch.heard()

    def to_its_end(self, deadline: float, task: Task) -> Result:
        """What came of the job for `task`, which has to have ended by `deadline`, time of day.

        Raises:
            PodLost: see `Watch.until_ended`.
        """
        try:
            status = self._watch.until_ended(deadline)
        finally:
            self._mirror.end()
        text = self._watch.result()
        self._watch.taken()
        try:
            result = None if text is None else read_result(text, task)
        except PodError:
            result = None
        if result is None or result.lease != status.lease:
            self._tell("the job has ended, and its result cannot be had: no more is known than its last status")
            return result_of(status, task)
        return result


def carry_out(renting: Renting, errand: Errand, eyes: Eyes) -> Ending:
    """Do `errand` in a rented pod, and give it back. Errors that come once something may have been rented are told in
    the ending, so that the bill is known in any case.

    Raises:
        InputError: it is more than a pod can be handed.
    """
    rented, promised = _rental(renting, errand, eyes), errand.job.targets

    def run(take: Callable[[Result], None]) -> None:
        rented.rental.run(lambda pod: take(believed(rented.worked(pod), promised)))

    return _ended(Underway(renting, rented.rental, []), eyes, run)


def send_off(renting: Renting, errand: Errand, eyes: Eyes) -> Ending:
    """Rent a pod for `errand`, see that it has come up, and leave it to itself.

    Raises:
        InputError: as `carry_out`.
    """
    rental = _rental(renting, errand, eyes).rental
    return _ended(Underway(renting, rental, []), eyes, lambda _: rental.run(rental.keep))


def attend(renting: Renting, eyes: Eyes, pod: Pod, task: Task) -> Ending:
    """Watch a pod that was rented before to the end of its job, and give it back; errors are told in the ending.

    How its status is reached is read from its environment: no more is needed than the key of its cloud.
    """
    port, token = pod.env.get(PORT, ""), pod.env.get(TOKEN, "")
    watched = Watched(renting, eyes, pod, port=int(port) if port.isdecimal() else STATUS_PORT, token=token)
    tenancy = Tenancy(renting)

    def run(take: Callable[[Result], None]) -> None:
        tenancy.attend(pod, lambda _: take(believed(watched.to_its_end(_deadline(pod), task))))

    return _ended(Underway(renting, tenancy, []), eyes, run)


@dataclass(frozen=True, slots=True)
class _Rented:
    """A rental for an errand, and what is seen of its pods, by id."""

    rental: Rental
    errand: Errand
    watched: Callable[[Pod], Watched]
    came_up: Callable[[Pod], None]

    def worked(self, pod: Pod) -> Result:
        self.came_up(pod)
        return self.watched(pod).to_its_end(_deadline(pod), self.errand.job.task)


def _rental(renting: Renting, errand: Errand, eyes: Eyes) -> _Rented:
    new_order(renting, errand, errand.candidates[0])  # what cannot be sent is known before anything is rented
    seen: dict[str, Watched] = {}

    def watched(pod: Pod) -> Watched:
        if pod.id not in seen:
            seen[pod.id] = Watched(renting, eyes, pod, port=errand.port, token=errand.token)
        return seen[pod.id]

    wanted = Wanted(
        order_of=lambda offer: new_order(renting, errand, offer),
        candidates=errand.candidates,
        heard=lambda pod: watched(pod).heard(),
    )
    return _Rented(Rental(renting, wanted), errand, watched, eyes.came_up)


def _ended(underway: Underway, eyes: Eyes, run: Callable[[Callable[[Result], None]], object]) -> Ending:
    """The ending of `run`, which is given who takes the result, as soon as there is one."""
    tenancy, results = underway.tenancy, underway.results
    error: ProvisionError | None = None
    eyes.began(underway)
    try:
        run(results.append)
    except ProvisionError as failure:
        error = failure
    except KeyboardInterrupt:
        error = Interrupted("interrupted", hint="run the same command again; it resumes")
    if tenancy.left is not None and isinstance(error, Interrupted):
        error = None  # whoever interrupted wanted it so
    bill = bill_of(tenancy.attempts, underway.renting.clock())
    return Ending(result=results[-1] if results else None, bill=bill, error=error, left=tenancy.left)


def new_order(renting: Renting, errand: Errand, offer: Offer) -> Order:
    """An order under a name of its own, for a pod whose lease runs from now."""
    return order_for(errand, new_lease(errand.project, renting.now(), errand.seconds, renting.nonce()), offer)


def _deadline(pod: Pod) -> float:
    """Of its lease: time of day in seconds."""
    lease = lease_of(pod.name)
    return math.inf if lease is None else lease.deadline
