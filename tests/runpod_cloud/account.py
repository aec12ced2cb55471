"""An account: its volumes and pods, and the rules that both APIs share. All methods may be called from many threads."""

from __future__ import annotations

import secrets
import shutil
import string
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from runpod_cloud import environment
from runpod_cloud.answers import NO_BALANCE, NO_INSTANCES, RefusedError
from runpod_cloud.container import Container, Timing
from runpod_cloud.machines import Catalog
from runpod_cloud.pods import Order, Pod, command
from runpod_cloud.volumes import Volume

LETTERS = string.ascii_lowercase + string.digits
MOST_VARIABLES = 50


@dataclass(slots=True, kw_only=True)
class Dials:
    """What a test may turn, at any time. Seconds are real ones.

    status_at_first: what a new pod says of itself; RUNNING is no proof of anything, as with the true service.
    runtime_seconds: from its first process until a pod's runtime is told.
    edge_seconds: after the rent, in which the proxy does not know the pod yet.
    proxy_seconds: how long the proxy waits for a pod to answer.
    known_seconds: after the rent, in which a pod is not told of.
    gone_seconds: how long a deleted pod is still told of, as TERMINATED.
    terminate_after_works: whether `terminateAfter` is honoured; by default it is accepted, and nothing happens.
    is_graphql_retired: GraphQL answers 410.
    requests_a_minute: beyond that, 429; None: no limit.
    """

    timing: Timing = field(default_factory=Timing)
    status_at_first: str = "RUNNING"
    runtime_seconds: float = 0.0
    edge_seconds: float = 0.0
    proxy_seconds: float = 100.0
    known_seconds: float = 0.0
    gone_seconds: float = 0.0
    terminate_after_works: bool = False
    is_graphql_retired: bool = False
    requests_a_minute: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one pod has cost so far: USD, and for how many seconds."""

    pod: str
    name: str
    machine: str
    price: float
    seconds: float

    @property
    def amount(self) -> float:
        """USD."""
        return self.price * self.seconds / 3600


class Account:
    """Volumes, pods and money."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self.folder, self.clock = folder, clock
        self.dials = Dials()
        self.catalog = Catalog()
        self.credit = 100.0
        self.secrets: dict[str, str] = {}
        self.image = environment.image_environment()
        self.base_url = ""
        self.volumes: dict[str, Volume] = {}
        self.pods: dict[str, Pod] = {}
        self.former: list[Pod] = []
        self.is_closed = False
        self.lock = threading.RLock()

    # Volumes

    def create_volume(self, name: str, size: int, datacenter: str, volume_type: str | None = None) -> Volume:
        """A new one, empty."""
        place = self.catalog.datacenter(datacenter)
        if place is None or not place.volume_types:
            raise RefusedError(
                400, f'data center "{datacenter}" does not support network volumes; supported data centers: '
                f"{', '.join(self.catalog.with_volumes())}",
            )  # fmt: skip
        if volume_type and volume_type not in place.volume_types:
            raise RefusedError(400, f'data center "{datacenter}" has no {volume_type} storage')
        with self.lock:
            folder = self.folder / "volumes" / _name(10)
            folder.mkdir(parents=True)
            volume = Volume(
                id=folder.name, name=name, size=size, datacenter=datacenter, folder=folder,
                type=volume_type or place.volume_types[0],
            )  # fmt: skip
            self.volumes[volume.id] = volume
            return volume

    def volume(self, volume_id: str) -> Volume:
        """The one with that id."""
        with self.lock:
            if volume_id not in self.volumes:
                raise RefusedError(404, "network volume not found", code="NOT_FOUND")
            return self.volumes[volume_id]

    def change_volume(self, volume_id: str, name: str | None, size: int | None) -> Volume:
        """A new name, or more room."""
        with self.lock:
            volume = self.volume(volume_id)
            if size is not None and size < volume.size:
                raise RefusedError(400, f"network volume size can only be increased; current size is {volume.size} GB")
            volume.name, volume.size = name or volume.name, size or volume.size
            return volume

    def delete_volume(self, volume_id: str) -> None:
        """It and all that is on it."""
        with self.lock:
            volume = self.volume(volume_id)
            users = [pod.id for pod in self.pods.values() if pod.volume is volume and pod.gone is None]
            if users:
                raise RefusedError(400, f"network volume is in use by pods: {', '.join(users)}")
            del self.volumes[volume_id]
        shutil.rmtree(volume.folder, ignore_errors=True)
        shutil.rmtree(volume.away, ignore_errors=True)

    # Pods

    def create_pod(self, order: Order, made: Callable[[Pod], bool]) -> Pod:
        """Rent it; its process starts if `made` says so."""
        with self.lock:
            if self.is_closed:
                raise RefusedError(503, "the stand-in is closed")
            volume = self.volume(order.volume_id) if order.volume_id else None
            self._check(order, volume)
            datacenter, cloud, price = self._placed(order, volume)
            pod_id, key = _name(14), f"rpa_pod_{_name(32)}"
            places, port = environment.places(order)
            variables = port | environment.injected(pod_id, key, order, datacenter)
            now = self.clock()
            pod = Pod(
                id=pod_id, order=order, key=key, cloud=cloud, datacenter=datacenter, price=price, volume=volume,
                container=self._container(pod_id, order, volume, variables), places=places, created=now,
                rented=time.monotonic(), status=self.dials.status_at_first,
                runtime_seconds=self.dials.runtime_seconds, spans=[[now, None]],
            )  # fmt: skip
            self.pods[pod_id] = pod
        if made(pod):
            pod.container.start()
        return pod

    def pod(self, pod_id: str) -> Pod | None:
        """The one with that id; None where there is none."""
        with self.lock:
            return next((pod for pod in self.listed() if pod.id == pod_id), None)

    def listed(self) -> list[Pod]:
        """All pods that are told of."""
        with self.lock:
            for pod in list(self.pods.values()):
                if pod.gone is not None and time.monotonic() - pod.gone >= self.dials.gone_seconds:
                    self.former.append(self.pods.pop(pod.id))
            now = time.monotonic()
            return [pod for pod in self.pods.values() if now - pod.rented >= self.dials.known_seconds]

    def terminate(self, pod_id: str) -> None:
        """Give it back."""
        with self.lock:
            pod = self.pod(pod_id)
            if pod is None or pod.gone is not None:
                raise RefusedError(404, "pod not found", code="NOT_FOUND")
            pod.bill_until(self.clock())
            pod.status, pod.gone = "TERMINATED", time.monotonic()
        pod.container.end()

    def stop(self, pod_id: str) -> Pod:
        """It keeps its place, and its container ends."""
        with self.lock:
            pod = self._in_state(pod_id, "RUNNING", "PROVISIONING", "STARTING")
            pod.bill_until(self.clock())
            pod.status = "EXITED"
        pod.container.end()
        return pod

    def resume(self, pod_id: str) -> Pod:
        """It runs again."""
        with self.lock:
            pod = self._in_state(pod_id, "EXITED", "ERROR")
            old = pod.container
            old.kill()
            pod.container = Container(pod.id, old.argv, old.env, old.folder, self.dials.timing)
            pod.container.log = old.log
            pod.status = "RUNNING"
            pod.spans.append([self.clock(), None])
            pod.container.start()
            return pod

    def restart(self, pod_id: str) -> Pod:
        """Its container ends, and is started again."""
        pod = self._in_state(pod_id, "RUNNING")
        pod.container.crash()
        return pod

    # Money and time

    def charges(self) -> list[Charge]:
        """What each pod has cost, those that are gone too."""
        now = self.clock()
        with self.lock:
            return [
                Charge(
                    pod=pod.id, name=pod.order.name, machine=pod.order.machine.names[0], price=pod.price,
                    seconds=pod.seconds(now),
                )
                for pod in [*self.former, *self.pods.values()]
            ]  # fmt: skip

    @property
    def balance(self) -> float:
        """What is left of the credit."""
        return self.credit - sum(charge.amount for charge in self.charges())

    def look_after(self) -> None:
        """What happens by itself: pods whose time is over go, where that works; without credit all stop."""
        now = self.clock()
        for pod in self.listed():
            after = pod.order.terminate_after
            if self.dials.terminate_after_works and after is not None and now >= after and pod.gone is None:
                self.terminate(pod.id)
            elif pod.status == "RUNNING" and self.balance <= 0:
                self.stop(pod.id)

    # Within

    def _check(self, order: Order, volume: Volume | None) -> None:
        if len(order.env) > MOST_VARIABLES:
            raise RefusedError(400, f"a pod can have at most {MOST_VARIABLES} environment variables")
        if volume and order.datacenters and volume.datacenter not in order.datacenters:
            raise RefusedError(
                400, f'Network volume "{volume.id}" is in data center "{volume.datacenter}", which is not in the '
                f"requested set [{', '.join(order.datacenters)}]",
            )  # fmt: skip
        if volume and order.cloud == "COMMUNITY":
            raise RefusedError(400, "network volumes are only available in the secure cloud")
        if self.balance <= 0:
            raise RefusedError(402, NO_BALANCE, code="INSUFFICIENT_BALANCE")

    def _placed(self, order: Order, volume: Volume | None) -> tuple[str, str, float]:
        """Where the machine is, in which cloud, and what it costs."""
        machine = order.machine
        wanted = [volume.datacenter] if volume else order.datacenters or list(machine.datacenters)
        for datacenter in wanted:
            free = self.catalog.room(machine.names, datacenter) - self.rented(machine.names, datacenter)
            for cloud, price in (("SECURE", machine.secure), ("COMMUNITY", machine.community)):
                is_wanted = order.cloud in (cloud, "ALL") and not (volume and cloud == "COMMUNITY")
                if is_wanted and price is not None and datacenter in machine.datacenters and free > 0:
                    return datacenter, cloud, price
        raise RefusedError(400, NO_INSTANCES, code="SUPPLY_CONSTRAINT")

    def rented(self, names: tuple[str, ...], datacenter: str) -> int:
        """How many of these machines are taken."""
        with self.lock:
            return sum(
                pod.gone is None and pod.datacenter == datacenter and bool({*names} & {*pod.order.machine.names})
                for pod in self.pods.values()
            )

    def _container(self, pod_id: str, order: Order, volume: Volume | None, variables: dict[str, str]) -> Container:
        disk = self.folder / "pods" / pod_id
        (disk / "tmp").mkdir(parents=True)
        user = environment.translated(environment.with_secrets(order.env, self.secrets), order, volume)
        own = {"HOME": str(disk), "TMPDIR": str(disk / "tmp")}
        stand_in = {"PROVISION_MOUNT": "folder", "RUNPOD_API_BASE_URL": self.base_url}
        try:
            argv = command(order.args)
        except ValueError as error:
            argv = [f"container command: {error}"]
        if volume:
            argv = [environment.moved(word, order.mount, volume.folder) for word in argv]
        return Container(pod_id, argv, {**self.image, **own, **user, **stand_in, **variables}, disk, self.dials.timing)

    def _in_state(self, pod_id: str, *states: str) -> Pod:
        pod = self.pod(pod_id)
        if pod is None:
            raise RefusedError(404, "pod not found", code="NOT_FOUND")
        if pod.status not in states:
            raise RefusedError(409, f"action is not valid for a pod that is {pod.status}", code="BAD_STATE")
        return pod


def _name(length: int) -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(length))
