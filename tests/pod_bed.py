# ruff: noqa: ARG002 - the protocol's shape
"""A cloud that does as it is told, on a clock of its own, and fails at any moment, before or after taking effect."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from provision.errors import CloudUnavailable, InputError
from provision.pods.cloud import (
    ByHand,
    Datacenter,
    Kind,
    LogLine,
    NetworkVolume,
    Offer,
    Order,
    Pod,
    Request,
    State,
)
from provision.pods.interrupts import Interrupts
from provision.pods.lease import new_lease
from provision.pods.rental import Heard, Rental, Renting, Wanted
from provision.retry import Patience

START = 1_800_000_000.0
VOLUME = NetworkVolume(id="vol1", name="models", size=100, datacenter="EU-RO-1")
CHEAP = Offer(kind=Kind.CPU, id="cpu3c-2-4", name="CPU", price=0.06)
LARGE = Offer(kind=Kind.CPU, id="cpu3g-4-16", name="CPU", price=0.16)
GPU = Offer(kind=Kind.GPU, id="NVIDIA RTX A4000", name="A4000", price=0.25)


@dataclass
class Time:
    """Time that passes only when somebody sleeps, or something takes long."""

    passed: float = 0.0

    def clock(self) -> float:
        return self.passed

    def now(self) -> float:
        return START + self.passed

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.passed += seconds


@dataclass
class Points:
    """All moments at which something can come in between, counted: `at(number, name)` may raise."""

    at: Callable[[int, str], None] = lambda _number, _name: None
    seen: list[str] = field(default_factory=list)

    def pass_by(self, name: str) -> None:
        self.seen.append(name)
        self.at(len(self.seen) - 1, name)


@dataclass
class ScriptedCloud:
    """`refusals` are raised by `create_pod`, one each time, by the machine's id; `stillborn` pods never come up."""

    time: Time
    points: Points = field(default_factory=Points)
    refusals: dict[str, list[Exception]] = field(default_factory=dict)
    stillborn: int = 0
    up_after: float = 20.0
    twins: int = 0
    late: float = 0.0  # seconds until a new pod is listed
    name: str = "scripted"
    there: dict[str, Pod] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    born: dict[str, float] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)

    def create_pod(self, order: Order) -> Pod:
        self.points.pass_by("create: before")
        self.orders.append(order)
        if self.refusals.get(order.offer.id):
            raise self.refusals[order.offer.id].pop(0)
        for _ in range(1 + self.twins):
            pod = self._new(order)
        self.points.pass_by("create: after")
        return pod

    def _new(self, order: Order) -> Pod:
        pod_id = f"pod{len(self.born)}"
        pod = Pod(
            id=pod_id, name=order.name, state=State.RUNNING, is_up=False, price=order.offer.price, env=order.env,
            machine=order.offer.name,
        )  # fmt: skip
        self.there[pod_id], self.born[pod_id] = pod, self.time.clock()
        if self.stillborn:
            self.stillborn -= 1
            self.dead.add(pod_id)
        return pod

    def pod(self, pod_id: str) -> Pod | None:
        self.points.pass_by("pod: before")
        pod = self.there.get(pod_id)
        self.points.pass_by("pod: after")
        return pod and replace(pod, is_up=self.is_up(pod_id))

    def is_up(self, pod_id: str) -> bool:
        return pod_id not in self.dead and self.time.clock() - self.born[pod_id] >= self.up_after

    def pods(self) -> list[Pod]:
        self.points.pass_by("pods: before")
        listed = [pod for pod in self.there.values() if self.time.clock() - self.born[pod.id] >= self.late]
        self.points.pass_by("pods: after")
        return listed

    def delete_pod(self, pod_id: str) -> None:
        self.points.pass_by("delete: before")
        self.there.pop(pod_id, None)
        self.deleted.append(pod_id)
        self.points.pass_by("delete: after")

    def by_hand(self, pod_id: str) -> ByHand:
        command = f"scripted remove {pod_id}" if pod_id else ""
        return ByHand(command=command, page=f"https://scripted.example/pods/{pod_id}")

    def volumes(self) -> list[NetworkVolume]:
        return [VOLUME]

    def volume(self, volume_id: str) -> NetworkVolume | None:
        return VOLUME if volume_id == VOLUME.id else None

    def create_volume(self, name: str, size: int, datacenter: str) -> NetworkVolume:
        raise InputError("no new volumes here")

    def resize_volume(self, volume_id: str, size: int) -> NetworkVolume:
        raise InputError("no larger volumes here")

    def delete_volume(self, volume_id: str) -> None:
        raise InputError("volumes stay here")

    def datacenters(self) -> list[Datacenter]:
        return [Datacenter(id=VOLUME.datacenter, name="Romania")]

    def volume_price(self, size: int) -> float:
        return 0.07 * size

    def offers(self, datacenter: str) -> list[Offer]:
        return [CHEAP, LARGE, GPU]

    def logs(self, pod_id: str, after: str) -> Sequence[LogLine]:
        return []

    def address(self, pod_id: str, port: int) -> str:
        return ""

    def requests(self, order: Order) -> list[Request]:
        return [Request(method="POST", url="https://scripted.example/pods", body="{}")]


@dataclass
class Bed:
    """A rental at a scripted cloud. `heard` is what is heard of a pod that is up."""

    time: Time = field(default_factory=Time)
    points: Points = field(default_factory=Points)
    told: list[str] = field(default_factory=list)
    heard: Heard = Heard.WORD
    interrupts: Interrupts = field(default_factory=Interrupts)
    options: dict[str, Any] = field(default_factory=dict)
    candidates: Sequence[Offer] = (CHEAP, LARGE, GPU)
    life: float = 3600.0

    def __post_init__(self) -> None:
        self.cloud = ScriptedCloud(self.time, self.points)
        self._numbers = itertools.count()

    def nonce(self) -> str:
        return f"{next(self._numbers):08d}"

    def tell(self, text: str) -> None:
        self.points.pass_by("tell")
        self.told.append(text)

    def sleep(self, seconds: float) -> None:
        self.points.pass_by("sleep")
        self.time.sleep(seconds)

    def rest(self, seconds: float) -> None:
        self.points.pass_by("rest")
        self.time.sleep(seconds)

    @property
    def renting(self) -> Renting:
        plain = {"patience": Patience(first_wait=1.0, longest_wait=15.0, attempts=4)}
        return Renting(
            cloud=self.cloud, now=self.time.now, clock=self.time.clock, sleep=self.sleep, rest=self.rest,
            tell=self.tell, nonce=self.nonce, interrupts=self.interrupts, **(plain | self.options),
        )  # fmt: skip

    def order_of(self, offer: Offer) -> Order:
        self.points.pass_by("order")
        lease = new_lease("p", self.time.now(), self.life, self.nonce())
        return Order(
            name=str(lease), image="python:3.12-slim", command=("sh",), env={}, offer=offer, volume=VOLUME,
            mount="/workspace", port=8000, disk=10, deadline=lease.deadline,
        )  # fmt: skip

    def hear(self, pod: Pod) -> Heard:
        self.points.pass_by("heard")
        return self.heard if self.cloud.is_up(pod.id) else Heard.UNKNOWN

    def rental(self) -> Rental:
        wanted = Wanted(
            order_of=self.order_of, candidates=self.candidates, heard=self.hear
        )  # fmt: skip
        return Rental(self.renting, wanted)

    def work(self, pod: Pod) -> str:
        self.points.pass_by("work")
        self.time.sleep(60)
        self.points.pass_by("work")
        return pod.id

    def run(self) -> str:
        return self.rental().run(self.work)


def failing(names: dict[str, list[BaseException]]) -> Any:
    """Raises the next error of the point's name, as long as there is one."""

    def at(_number: int, name: str) -> None:
        if names.get(name):
            raise names[name].pop(0)

    return at


def always(name: str, error: BaseException) -> Any:
    def at(_number: int, point: str) -> None:
        if point == name:
            raise error

    return at


def ambiguous() -> CloudUnavailable:
    return CloudUnavailable("no answer")
