"""Giving back: delete, look, and again, until every pod of a rental is known to be gone, or people have to be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from provision.errors import CloudRefused, PodNotReturned, ProvisionError, without_secrets
from provision.names import shown
from provision.pods.interrupts import Interrupts
from provision.pods.lease import lease_of
from provision.retry import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from provision.pods.cloud import Cloud, Offer, Pod

T = TypeVar("T")

_LOOKS = 3
"""How often the list is asked for, for pods that the cloud refused to rent: it said that there are none."""


def _stays(_: Pod) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Renting:
    """What it takes to rent and to give back. All durations are seconds.

    `now` is the time of day, `clock` one that never jumps. `sleep` may raise Interrupted; `rest` is for giving back,
    and does not. `leave` is asked when a rental is interrupted: whether its pod is to go on without us. `nonce` gives
    eight random letters and digits.

    `wait`: how long to go round the candidates while none is free. `come_up`: how long a pod may take until it says
    something; `hosts`: how many may fail to. `again`: how often a pod that was lost is rented anew. `settle`: how long
    a request without an answer may still take effect. `confirm`: how long to try to give back. `look`: between two
    looks at a pod.
    """

    cloud: Cloud
    now: Callable[[], float]
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    rest: Callable[[float], None]
    tell: Callable[[str], None]
    nonce: Callable[[], str]
    interrupts: Interrupts = field(default_factory=Interrupts)
    leave: Callable[[Pod], bool] = _stays
    patience: Patience = field(default_factory=lambda: Patience(first_wait=1.0, longest_wait=15.0))
    wait: float = 600.0
    come_up: float = 300.0
    hosts: int = 3
    again: int = 2
    settle: float = 10.0
    confirm: float = 120.0
    look: float = 2.0


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One pod that was asked for by `name`, and all that turned up under it. Times are of `clock`.

    `certain_at`: from when on a list without the name is proof that there is no such pod; None until an answer, or
    its absence, is known. `kept`: the id of the one that is left to itself.
    """

    name: str
    sent: float
    offer: Offer | None = None
    pods: dict[str, Pod] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    is_answered: bool = False
    certain_at: float | None = None
    kept: str = ""
    ended: float | None = None

    @property
    def left(self) -> list[Pod]:
        """Those that are to be given back and are not known to be gone."""
        return [pod for pod in self.pods.values() if pod.id not in self.gone and pod.id != self.kept]

    @property
    def price(self) -> float | None:
        """USD an hour."""
        told = [pod.price for pod in self.pods.values()] + [None if self.offer is None else self.offer.price]
        return max((price for price in told if price is not None), default=None)  # a pod that is stopped tells 0

    @property
    def is_named(self) -> bool:
        """Whether the name is one of ours, which nobody else's pod has."""
        return lease_of(self.name) is not None


def give_back(renting: Renting, pods: Iterable[Pod]) -> None:
    """Give back `pods`, and of those with a lease's name any other of that name, and see that they are gone.

    Signals do not break it off: see `Interrupts`. One that is gone is no error.

    Raises:
        PodNotReturned: some may still be there.
    """
    now = renting.clock()
    attempts = [Attempt(name=pod.name, sent=now, pods={pod.id: pod}, is_answered=True, certain_at=now) for pod in pods]
    renting.interrupts.shield()
    return_all(renting, attempts)


def return_all(renting: Renting, attempts: Sequence[Attempt], failure: BaseException | None = None) -> None:
    """Give back whatever came of `attempts`; `failure` is what ended the rental, and is named where this fails too.

    Raises:
        PodNotReturned: some may still be there.
    """
    _Returning(renting, attempts).run(failure)


class _Returning:
    def __init__(self, renting: Renting, attempts: Sequence[Attempt]) -> None:
        self._renting, self._cloud = renting, renting.cloud
        # One that brought no pod is looked for again: its request may have been answered wrongly, or be late.
        self._attempts = [attempt for attempt in attempts if attempt.ended is None or not attempt.pods]
        for attempt in self._attempts:
            attempt.ended = None
        self._trouble: Exception | None = None
        self._until = renting.clock() + renting.confirm
        self._told = self._rounds = 0
        self._is_refused = False

    def run(self, failure: BaseException | None) -> None:
        while True:
            try:
                self._prepare()
                is_done = self._all_given_back()
                break
            except KeyboardInterrupt:
                self._renting.interrupts.add()
                if self._renting.interrupts.are_insistent:
                    is_done = False
                    break
        if not is_done:
            raise self._not_returned(failure) from failure

    def _prepare(self) -> None:
        """A create that nobody knows the answer of may still take effect."""
        for attempt in self._attempts:
            if attempt.certain_at is None:
                attempt.certain_at = self._renting.clock() + self._renting.settle

    def _all_given_back(self) -> bool:
        while True:
            self._trouble = None
            self._round()
            self._rounds += 1
            if not self._open():
                return True
            if self._renting.clock() >= self._until:
                return not [attempt for attempt in self._open() if attempt.left or not attempt.is_answered]
            self._tell_the_impatient()
            self._renting.rest(self._pause())

    def _round(self) -> None:
        for attempt in self._attempts:
            for pod in attempt.left:
                self._tried(self._cloud.delete_pod, pod.id)
                self._look(attempt, pod)
        at = self._renting.clock()
        listed = self._tried(self._cloud.pods)
        if listed is not None:
            for attempt in self._attempts:
                _notice(attempt, listed)
        for attempt in self._attempts:
            if not attempt.left and self._is_over(attempt, None if listed is None else at):
                attempt.ended = self._renting.clock()

    def _look(self, attempt: Attempt, pod: Pod) -> None:
        seen = self._tried(lambda: [self._cloud.pod(pod.id)])
        if seen == [None]:
            attempt.gone.add(pod.id)

    def _is_over(self, attempt: Attempt, listed_at: float | None) -> bool:
        """Whether nothing can be there any more; a list that was had at that time does not hold its name."""
        if not attempt.is_named:
            return True
        if listed_at is not None:
            return attempt.certain_at is not None and listed_at >= attempt.certain_at
        is_denied = attempt.is_answered and not attempt.pods  # the cloud has said that it rents out nothing
        return is_denied and (self._is_refused or self._rounds + 1 >= _LOOKS)

    def _tried(self, call: Callable[..., T], *arguments: str) -> T | None:
        """Its answer; None where it fails, however it does: this is the one thing that must go on."""
        try:
            return call(*arguments)
        except Exception as error:  # noqa: BLE001 - it is told where nothing helps
            self._trouble = error
            self._is_refused = self._is_refused or isinstance(error, CloudRefused)
            return None

    def _open(self) -> list[Attempt]:
        return [attempt for attempt in self._attempts if attempt.ended is None]

    def _pause(self) -> float:
        asked = self._trouble.retry_after if isinstance(self._trouble, ProvisionError) else None
        pause = self._renting.patience.wait(min(self._rounds, 16), asked)
        return min(pause, max(self._until - self._renting.clock(), self._renting.patience.first_wait))

    def _tell_the_impatient(self) -> None:
        if self._renting.interrupts.count > self._told:
            self._told = self._renting.interrupts.count
            self._renting.tell("giving the pod back, a moment; interrupt again and again to leave it as it is")

    def _not_returned(self, failure: BaseException | None) -> PodNotReturned:
        why = f": {_words(self._trouble)}" if self._trouble is not None else ""
        if self._renting.interrupts.are_insistent:
            why = f": interrupted {self._renting.interrupts.count} times{why}"
        return not_returned(self._cloud, self._open(), f"{why}{_before(failure)}")


def not_returned(cloud: Cloud, attempts: Iterable[Attempt], why: str) -> PodNotReturned:
    """What is to be told of those of `attempts` that are not known to be gone: ids, prices, how to end them by hand,
    and `why`. The cloud is not asked.
    """
    doubtful = [attempt for attempt in attempts if attempt.left or (not attempt.is_answered and attempt.ended is None)]
    said = "; ".join(_said(attempt) for attempt in doubtful)
    hints = [hint for attempt in doubtful for hint in _hints(cloud, attempt)]
    return PodNotReturned(
        f"{said or 'nobody has looked whether all pods are gone'}{why}",
        hint="\n".join(dict.fromkeys(hints)) or _commands(cloud),
    )


def _said(attempt: Attempt) -> str:
    price = "an unknown price" if attempt.price is None else f"{attempt.price:.3g} USD an hour"
    if not attempt.left:
        return f"a pod {attempt.name} may have been rented, at {price}, and the cloud cannot be asked"
    ids = " and ".join(shown(pod.id) for pod in attempt.left)
    return f"pod {ids} ({shown(attempt.name)}) is not given back, and costs {price}"


def _hints(cloud: Cloud, attempt: Attempt) -> list[str]:
    hints = []
    for pod_id in [pod.id for pod in attempt.left] or [""]:
        try:
            way = cloud.by_hand(pod_id)
            command, page = way.command, way.page
        except Exception:  # noqa: BLE001 - the rest has to be told all the same
            command, page = "", ""
        hints += [f"stop it by hand: {command}"] if command else [_commands(cloud)]
        hints += [f"or there: {page}"] if page else []
    return hints


def _commands(cloud: Cloud) -> str:
    return f"provision pod ls --cloud {cloud.name} shows what is rented; provision pod rm gives it back"


def _notice(attempt: Attempt, listed: Sequence[Pod]) -> None:
    """Pods of the attempt's name are its own; those of an id that seemed gone are not."""
    for pod in listed:
        if (attempt.is_named and pod.name == attempt.name) or pod.id in attempt.pods:
            attempt.pods.setdefault(pod.id, pod)
            attempt.gone.discard(pod.id)


def _before(failure: BaseException | None) -> str:
    """What had gone wrong already, where that was something else."""
    return "" if failure is None or isinstance(failure, PodNotReturned) else f"; before that: {_words(failure)}"


def _words(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    text = error.message if isinstance(error, ProvisionError) else f"{type(error).__name__}: {error}"
    return shown(without_secrets(text), 300)
