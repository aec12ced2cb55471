"""Rental: a pod is rented, somebody works with it, and it is given back, whatever happens in between.

What was asked for is written down before it is asked for: a pod is known by its name, so that one whose answer never
came, or was interrupted, is found and given back as well. Each pod has a name of its own: what turns up late is nobody
else's.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from provision.errors import CloudUnavailable, Interrupted, NoCapacity, PodError, PodLost, ProvisionError
from provision.names import shown
from provision.pods.choice import price_text
from provision.pods.cloud import State
from provision.pods.lease import is_expired
from provision.pods.returning import Attempt, Renting, give_back, return_all
from provision.progress import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from provision.pods.cloud import Offer, Order, Pod

__all__ = ["Attempt", "Heard", "Rental", "Renting", "Wanted", "give_back"]

T = TypeVar("T")

_TOLD = 6


class Heard(StrEnum):
    """What has been heard of a pod."""

    WORD = "word"  # it says something
    NOTHING = "nothing"  # whoever would bring it says that there is nothing
    UNKNOWN = "unknown"  # nobody can be asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A pod that is wanted. `order_of` makes the order for an offer, under a new name each time. `candidates` are in
    the order in which to try them. `heard`: whether a pod has said something.
    """

    order_of: Callable[[Offer], Order]
    candidates: Sequence[Offer]
    heard: Callable[[Pod], Heard]


class Tenancy:
    """All pods that are asked for in one go. `attempts` is what was asked for; `left` is a pod left to itself."""

    def __init__(self, renting: Renting) -> None:
        self._renting, self._cloud = renting, renting.cloud
        self._current: Pod | None = None
        self.attempts: list[Attempt] = []
        self.left: Pod | None = None

    def attend(self, pod: Pod, work: Callable[[Pod], T]) -> T:
        """What `work` gives, called with a pod that was rented before, which is then given back as any other.

        Raises:
            PodNotReturned: before all else.
        """
        now = self._renting.clock()
        age = 0.0 if pod.began is None else max(0.0, self._renting.now() - pod.began)
        attempt = Attempt(name=pod.name, sent=now - age, pods={pod.id: pod}, is_answered=True, certain_at=now)
        self.attempts.append(attempt)
        self._current = pod
        return self._guarded(lambda: work(pod))

    def keep(self, pod: Pod) -> None:
        """Leave `pod` to itself: it gives itself back when it is done, or at its deadline."""
        for attempt in self.attempts:
            if pod.id in attempt.pods:
                attempt.kept, self.left = pod.id, pod

    def _guarded(self, work: Callable[[], T]) -> T:
        """What `work` gives. Whatever comes in between, every pod is then given back, but for one that is left."""
        failure: BaseException | None = None
        try:
            try:
                self._renting.interrupts.heed()
                return work()
            finally:
                self._renting.interrupts.shield()
        except (KeyboardInterrupt, Interrupted) as error:
            failure = error
            self._ask_to_leave()
            raise
        except BaseException as error:
            failure = error
            raise
        finally:
            return_all(self._renting, self.attempts, failure)

    def _ask_to_leave(self) -> None:
        """Whatever goes wrong with the question, the answer is no."""
        pod = self._current
        if pod is None:
            return
        try:
            self._renting.interrupts.heed()
            is_left = self._renting.leave(pod)
        except (KeyboardInterrupt, Exception):  # noqa: BLE001 - as above
            is_left = False
        finally:
            self._renting.interrupts.shield()
        if is_left:
            self.keep(pod)

    def _return_so_far(self) -> None:
        """Give back what there is: one that only seems lost would go on costing money."""
        self._renting.interrupts.shield()
        return_all(self._renting, self.attempts)
        self._renting.interrupts.heed()
        if self._renting.interrupts.count:
            raise KeyboardInterrupt


class Rental(Tenancy):
    """One pod at a time, until the work is done."""

    def __init__(self, renting: Renting, wanted: Wanted) -> None:
        super().__init__(renting)
        self._wanted = wanted
        self._candidates = list(wanted.candidates)

    def run(self, work: Callable[[Pod], T]) -> T:
        """What `work` gives, called with a pod that has come up. One that it finds lost is replaced, a few times, and
        with a lease of its own; not one that was there until its deadline.

        Every pod is given back before this returns or raises, but for the one that `Renting.leave` lets go on.

        Raises:
            PodNotReturned: before all else.
            NoCapacity, CloudRefused, CloudUnavailable: no pod can be had.
            PodLost: too many were lost.
        """
        return self._guarded(lambda: self._worked(work))

    def _worked(self, work: Callable[[Pod], T]) -> T:
        for left in reversed(range(self._renting.again + 1)):
            pod = self._come_up()
            self._current = pod
            try:
                return work(pod)
            except PodLost as error:
                self._current = None
                if not left or is_expired(pod, self._renting.now()):
                    raise
                self._renting.tell(f"{error.message}; another is rented, which goes on where it stopped")
                self._return_so_far()
        raise AssertionError("unreachable")

    def _come_up(self) -> Pod:
        """A pod whose container runs."""
        for left in reversed(range(self._renting.hosts)):
            pod = self._rented()
            if self._is_up(pod):
                return pod
            self._candidates = [*self._candidates[1:], *self._candidates[:1]]  # another one first
            if left:
                self._renting.tell(f"pod {shown(pod.id)} does not come up; it is given back, and another is tried")
                self._return_so_far()
        raise PodLost(
            f"no pod came up: {self._renting.hosts} were tried, {duration_text(self._renting.come_up)} each",
            hint="see whether the image can be pulled there, or try another machine: --gpu any",
        )

    def _is_up(self, pod: Pod) -> bool:
        clock, began = self._renting.clock, self._renting.clock()
        may_run, heard = True, Heard.UNKNOWN
        while clock() - began < self._renting.come_up:
            heard = self._wanted.heard(pod)
            if heard is Heard.WORD:
                return True
            try:
                seen = self._cloud.pod(pod.id)
            except PodError as error:
                self._renting.sleep(min(max(self._renting.look, error.retry_after or 0.0), self._renting.come_up))
                continue
            may_run = seen is not None and seen.is_up
            is_over = seen is None or seen.state in {State.STOPPED, State.FAILED}
            if is_over and clock() - began >= self._renting.settle:  # a new pod is not known everywhere at once
                return False
            self._renting.sleep(self._renting.look)
        # One that runs may only be out of reach from here; one that says nothing though it can be asked is no use.
        return may_run and heard is Heard.UNKNOWN

    def _rented(self) -> Pod:
        """A pod of the first candidate that is to be had."""
        began, rounds = self._renting.clock(), 0
        while True:
            for offer in self._candidates:
                pod = self._patiently_asked(offer)
                if pod is not None:
                    return pod
            rounds += 1
            waited = self._renting.clock() - began
            if waited >= self._renting.wait:
                raise self._no_capacity(waited)
            if rounds == 1:
                self._renting.tell(
                    f"no machine is free just now; going round for {duration_text(self._renting.wait - waited)}"
                )
            self._renting.sleep(min(self._renting.patience.wait(min(rounds, 16), None), self._renting.wait - waited))

    def _patiently_asked(self, offer: Offer) -> Pod | None:
        """A pod for `offer`; None where none is free. Raises CloudUnavailable where the cloud does not answer."""
        patience, failures = self._renting.patience, 0
        while True:
            try:
                return self._asked(offer)
            except NoCapacity:
                return None
            except CloudUnavailable as error:
                failures += 1
                asked = error.retry_after or 0.0
                is_unknown = self.attempts[-1].ended is None  # it may have taken effect, and another would be a second
                if is_unknown or failures >= patience.attempts or asked > patience.longest_request:
                    raise
                self._renting.tell(f"{error.message}; trying again")
                self._renting.sleep(patience.wait(failures, error.retry_after))

    def _asked(self, offer: Offer) -> Pod:
        """One request for one pod, and what came of it.

        Raises:
            NoCapacity, CloudRefused: there is none.
            CloudUnavailable: there was no answer. The attempt has ended where a list shows that there is no pod.
        """
        order = self._wanted.order_of(offer)
        self._renting.tell(f"asking for {offer.id} ({price_text(offer.price)})")
        attempt = Attempt(name=order.name, sent=self._renting.clock(), offer=offer)
        self.attempts.append(attempt)
        try:
            pod = self._cloud.create_pod(order)
        except CloudUnavailable as error:
            attempt.certain_at = self._renting.clock() + self._renting.settle
            return self._found(attempt, error)
        except ProvisionError:
            attempt.certain_at, attempt.is_answered = self._renting.clock(), True
            raise
        attempt.pods[pod.id] = pod
        attempt.certain_at, attempt.is_answered = self._renting.clock(), True
        return pod

    def _found(self, attempt: Attempt, unanswered: CloudUnavailable) -> Pod:
        """The pod of a request that was not answered. Raises what came instead of an answer where there is none."""
        began, looks = self._renting.clock(), 0
        while self._renting.clock() - began < self._renting.settle + self._renting.confirm:
            at = self._renting.clock()
            try:
                listed = self._cloud.pods()
            except PodError as error:
                looks += 1
                self._renting.sleep(self._renting.patience.wait(min(looks, 16), error.retry_after))
                continue
            found = [pod for pod in listed if pod.name == attempt.name]
            attempt.pods |= {pod.id: pod for pod in found}
            if found:
                self._return_surplus(found[1:])
                return found[0]
            if attempt.certain_at is not None and at >= attempt.certain_at:
                attempt.ended = at
                break
            self._renting.sleep(self._renting.look)
        raise unanswered

    def _return_surplus(self, pods: Sequence[Pod]) -> None:
        """Both of two requests took effect. That it is gone is seen to in the end; it need not cost until then."""
        for pod in pods:
            with suppress(PodError):
                self._cloud.delete_pod(pod.id)

    def _no_capacity(self, waited: float) -> NoCapacity:
        names = [shown(offer.id) for offer in self._candidates]
        more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
        return NoCapacity(
            f"no machine is free: tried {', '.join(names[:_TOLD])}{more} for {duration_text(waited)}",
            hint="wait longer (--wait), or let other machines do as well: --cpu any --gpu any",
        )
