"""The Cloud protocol: what it takes to rent a machine that mounts a volume, and to give it back. Values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Kind(StrEnum):
    """What a machine computes with."""

    CPU = "cpu"
    GPU = "gpu"


class Stock(StrEnum):
    """How many of a machine the cloud says it has. A hint only: what is in stock is often refused, and the reverse."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    UNKNOWN = "unknown"
    NONE = "none"


class State(StrEnum):
    """What a cloud says of a pod. RUNNING is no proof that it works: see `Pod.is_up`."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"  # it keeps its place, and may cost a little
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkVolume:
    """A volume as its cloud knows it. `size` in GB of 10**9 bytes."""

    id: str
    name: str
    size: int
    datacenter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A machine for rent in one data center. `price` in USD an hour; None where the cloud does not say.

    `id` is what the cloud rents it by: a CPU instance `cpu3c-2-4` (flavor, vCPUs, GB of memory), or a type of GPU.
    """

    kind: Kind
    id: str
    name: str
    price: float | None
    stock: Stock = Stock.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A pod that is wanted.

    `command` runs in place of whatever the image would start. `env` may hold secrets. `mount` is where `volume` is to
    be found inside. `port` is served to the outside, by HTTP. `disk`: GB beside the volume. `deadline`: time of day in
    seconds, when the pod has to be gone.
    """

    name: str
    image: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    offer: Offer
    volume: NetworkVolume
    mount: str
    port: int
    disk: int
    deadline: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod as its cloud tells of it. `price`: USD an hour as it stands. `began`: time of day in seconds.

    `is_up`: its container has been seen to run. `env` holds secrets, so that it is not shown.
    """

    id: str
    name: str
    state: State
    is_up: bool
    price: float | None = None
    began: float | None = None
    machine: str = ""
    volume_id: str = ""
    datacenter: str = ""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line that a pod printed. `id` tells where to go on; "" where the cloud gives none."""

    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Datacenter:
    """A place where volumes can be."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ByHand:
    """How a person gives a pod back without us: a command to paste, and a page; "" where there is none."""

    command: str
    page: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What would be sent, for people to read: secrets in `body` are masked."""

    method: str
    url: str
    body: str


class Cloud(Protocol):
    """Whoever rents pods and keeps volumes. Methods may be called from several threads.

    All may raise:
        CloudRefused: the key, the balance, a permission, or a request that is not understood. Asking again is no use.
        CloudUnavailable: no answer, or none that makes sense. What was asked for may have taken effect all the same.
    """

    @property
    def name(self) -> str:
        """What people call it: `runpod`, `local`."""

    def volumes(self) -> list[NetworkVolume]:
        """All volumes."""

    def volume(self, volume_id: str) -> NetworkVolume | None:
        """One of them; None where there is no such volume."""

    def create_volume(self, name: str, size: int, datacenter: str) -> NetworkVolume:
        """A new volume of `size` GB. Raises InputError where there is no such data center, or it has no volumes."""

    def resize_volume(self, volume_id: str, size: int) -> NetworkVolume:
        """The volume, grown to `size` GB. Raises InputError where that would be smaller, or there is no such volume."""

    def delete_volume(self, volume_id: str) -> None:
        """Delete it and all that is on it. One that is gone is no error."""

    def datacenters(self) -> list[Datacenter]:
        """Where volumes can be created."""

    def volume_price(self, size: int) -> float:
        """USD a month for a volume of `size` GB."""

    def offers(self, datacenter: str) -> list[Offer]:
        """All machines that can mount a volume in `datacenter`, in no order."""

    def create_pod(self, order: Order) -> Pod:
        """Rent it. Raises NoCapacity where no such machine is free."""

    def pod(self, pod_id: str) -> Pod | None:
        """One pod; None when it is gone, which is when it costs nothing any more."""

    def pods(self) -> list[Pod]:
        """All pods of this account, ours and others."""

    def delete_pod(self, pod_id: str) -> None:
        """Give it back. One that is gone is no error; that this returns is no proof that it is gone."""

    def logs(self, pod_id: str, after: str) -> Sequence[LogLine]:
        """What the pod has printed since the line with the id `after` ("": from the beginning), as far as is known."""

    def address(self, pod_id: str, port: int) -> str:
        """Where `port` of the pod is served to the outside, without a slash at its end; "" while that is unknown."""

    def by_hand(self, pod_id: str) -> ByHand:
        """How a person gives it back without us; of "", a pod whose id is not known, there is only the page."""

    def requests(self, order: Order) -> list[Request]:
        """What `create_pod` would send."""
