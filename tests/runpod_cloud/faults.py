"""The chaos dial: which requests go wrong, and how.

    cloud.faults.on("createPod", "cut", after=True)          # the pod is rented, and nobody hears of it
    cloud.faults.on("delete", "500", times=3, by="pod")      # a pod's own attempts, by either API
    cloud.faults.on("create", "crash", seconds=0.5)          # half a second later all its processes are killed
    cloud.faults.chaos(seed=7, rate=0.3)

An operation is an id of v2 (`getPod`), a field of GraphQL (`podTerminate`), `proxy`, a group of GROUPS, or `*`. A fault
of ANSWERS or DOINGS comes before the request takes effect, or, with `after`, in the place of its answer; one of
MISFORTUNES happens to the pod that is rented.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from runpod_cloud.answers import (
    NO_BALANCE,
    NO_INSTANCES,
    NO_RESOURCES,
    NONE_NOW,
    Answer,
    document,
    graphql_error,
    page,
    problem,
)

GROUPS = {
    "create": ("createPod", "deployCpuPod", "podFindAndDeployOnDemand"),
    "delete": ("deletePod", "podTerminate", "podAction"),
    "get": ("getPod", "pod"),
    "list": ("listPods", "myself"),
}

DOINGS = ("cut", "hang", "slow", "torn", "late", "lie")
"""The connection ends without an answer; the same after `seconds`; the answer comes after `seconds`; half of it comes;
the connection ends, and the request takes effect after `seconds`; a request to delete is answered, and nothing happens.
"""

MISFORTUNES = ("bad-host", "crash", "vanish", "exit", "unmount", "late-mount")
"""Its process never starts; it is killed, and started again; the pod is gone; it stops; its volume is away after
`seconds`; the volume is away until then."""

ELSEWHERE = 'Network volume "k3x" is in data center "CA-MTL-3", which is not in the requested set [EUR-IS-2]'


def _refusal(status: int, detail: str, code: str) -> Callable[[str], Answer]:
    """Told in each API's own way: GraphQL answers 200 with errors."""
    return lambda field: graphql_error(detail, code, data={field: None}) if field else problem(status, detail)


def _status(status: int, detail: str, headers: dict[str, str] | None = None) -> Callable[[str], Answer]:
    """The same from both APIs: it comes from in front of them."""
    answer = problem(status, detail)
    return lambda _: replace(answer, headers=answer.headers | (headers or {}))


ANSWERS: dict[str, Callable[[str], Answer]] = {
    "401": _status(401, "missing bearer token"),
    "402": _refusal(402, NO_BALANCE, "INSUFFICIENT_BALANCE"),
    "403": _refusal(403, "access denied", "FORBIDDEN"),
    "404": _refusal(404, "resource not found", "NOT_FOUND"),
    "410": _status(410, "This API has been retired. See https://docs.runpod.io/api-reference-v2/migrate-from-v1"),
    "422": _refusal(422, "Request validation failed.", "BAD_USER_INPUT"),
    "429": _status(429, "rate limit exceeded for the minute window", {"Retry-After": "1"}),
    "500": _refusal(500, "Something went wrong. Please try again later or contact support.", "INTERNAL_SERVER_ERROR"),
    "503": _status(503, "upstream unavailable"),
    "page200": lambda _: page(200, "Just a moment..."),
    "page502": lambda _: page(502, "Bad gateway"),
    "page520": lambda _: page(520, "Web server is returning an unknown error"),
    "page524": lambda _: page(524, "A timeout occurred"),
    "null": lambda field: document({"data": {field: None}} if field else None),
    "empty": lambda _: Answer(headers={"Content-Type": "application/json"}),
    "capacity": _refusal(400, NO_INSTANCES, "SUPPLY_CONSTRAINT"),
    "capacity-resources": _refusal(400, NO_RESOURCES, "INTERNAL_SERVER_ERROR"),
    "capacity-none": _refusal(400, NONE_NOW, "SUPPLY_CONSTRAINT"),
    "elsewhere": _refusal(400, ELSEWHERE, "BAD_REQUEST"),
}

PASSING = ("cut", "hang", "slow", "torn", "429", "500", "503", "page200", "page502", "page520", "page524")
"""What goes away when one asks again."""

UNLUCKY = ("late", "capacity", "capacity-resources", "capacity-none", "null", "empty", *MISFORTUNES)
"""What may happen to a request for a pod, beside that."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """What happens to requests for `operations`; to the first `times`, or to all. `by`: `account`, `pod`: whose key."""

    kind: str
    operations: tuple[str, ...] = ("*",)
    after: bool = False
    times: int | None = None
    seconds: float = 0.2
    by: str = ""

    @property
    def is_misfortune(self) -> bool:
        """Whether it happens to the pod, and not to the request."""
        return self.kind in MISFORTUNES

    def takes(self, operation: str, by: str) -> bool:
        """Whether this is one of its own; counts it when it is."""
        if self.times == 0 or self.by not in ("", by) or not {"*", operation} & {*self.operations}:
            return False
        if self.is_misfortune and operation not in GROUPS["create"]:
            return False
        if self.kind == "lie" and operation not in GROUPS["delete"]:
            return False
        self.times = None if self.times is None else self.times - 1
        return True


Decision = Callable[[str, str], Fault | None]


class Faults:
    """The dial. `told` lists what has happened: (operation, kind, after)."""

    def __init__(self) -> None:
        self.rules: list[Fault] = []
        self.decision: Decision | None = None
        self.told: list[tuple[str, str, bool]] = []
        self.lock = threading.Lock()

    def on(
        self,
        operation: str,
        kind: str,
        *,
        after: bool = False,
        times: int | None = 1,
        seconds: float = 0.2,
        by: str = "",
    ) -> Fault:
        """A rule; the first that takes a request has it. None `times`: always."""
        if kind not in (*ANSWERS, *DOINGS, *MISFORTUNES):
            raise ValueError(kind)
        operations = GROUPS.get(operation, (operation,))
        fault = Fault(kind=kind, operations=operations, after=after, times=times, seconds=seconds, by=by)
        self.rules.append(fault)
        return fault

    def chaos(
        self,
        seed: int,
        rate: float,
        *,
        creating: float | None = None,
        passing: Sequence[str] = PASSING,
        unlucky: Sequence[str] = UNLUCKY,
        seconds: float = 0.2,
    ) -> None:
        """A share `rate` of all requests goes wrong (`creating`, of those for a pod), the same for the same seed: by
        operation and how many it was.
        """
        counts: Counter[str] = Counter()

        def decide(operation: str, by: str) -> Fault | None:
            counts[operation] += 1
            dice = random.Random(f"{seed} {operation} {by} {counts[operation]}")
            is_create = operation in GROUPS["create"]
            if dice.random() >= (rate if creating is None or not is_create else creating):
                return None
            kinds = [*passing, *(unlucky if is_create else ())]
            kinds += ["lie"] if operation in GROUPS["delete"] and by == "account" else []
            return Fault(kind=dice.choice(kinds), after=dice.random() < 0.5, seconds=seconds * dice.random() * 2)

        self.decision = decide

    def decide(self, decision: Decision | None) -> None:
        """A function of operation and key's owner (`account`, `pod`) decides for each request that no rule takes."""
        self.decision = decision

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self.rules.clear()
        self.decision = None

    def pick(self, operation: str, by: str) -> Fault | None:
        """What happens to this request."""
        with self.lock:
            fault = next((rule for rule in self.rules if rule.takes(operation, by)), None)
            if fault is None and self.decision is not None:
                fault = self.decision(operation, by)
            if fault is not None:
                self.told.append((operation, fault.kind, fault.after))
            return fault
