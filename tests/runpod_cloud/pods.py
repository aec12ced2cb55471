"""Pods: what was ordered, what became of it, and how each API tells that."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from runpod_cloud.container import Container
from runpod_cloud.machines import Machine
from runpod_cloud.volumes import Volume

ACTIONS = {
    "PROVISIONING": ["stop", "terminate"],
    "STARTING": ["stop", "terminate"],
    "RUNNING": ["stop", "restart", "terminate"],
    "EXITED": ["start", "terminate"],
    "ERROR": ["start", "terminate"],
    "TERMINATED": [],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What both APIs ask for, in one shape. `terminate_after`: time of day in seconds."""

    name: str
    image: str
    machine: Machine
    args: str = ""
    env: dict[str, str] = field(default_factory=dict)
    ports: list[str] = field(default_factory=list)
    disk: int = 10
    cloud: str = "SECURE"
    datacenters: list[str] = field(default_factory=list)
    volume_id: str = ""
    mount: str = ""
    persistent: int = 0
    terminate_after: float | None = None


@dataclass(slots=True, kw_only=True)
class Pod:
    """A rented pod. `places`: its ports, and which of this machine they are. `spans`: when it was billed."""

    id: str
    order: Order
    key: str
    cloud: str
    datacenter: str
    price: float
    volume: Volume | None
    container: Container
    places: dict[int, int]
    created: float
    rented: float  # by the clock that does not jump
    status: str
    runtime_seconds: float = 0.0
    gone: float | None = None
    spans: list[list[float | None]] = field(default_factory=list)

    @property
    def is_up(self) -> bool:
        """Whether its runtime is told: its first process has run for a while."""
        began = self.container.began
        return self.status == "RUNNING" and began is not None and time.monotonic() - began >= self.runtime_seconds

    @property
    def uptime(self) -> int:
        """Whole seconds since its first process."""
        return int(time.monotonic() - self.container.began) if self.container.began is not None else 0

    def seconds(self, now: float) -> float:
        """For how long it has been billed."""
        return sum((now if to is None else to) - (begin or 0) for begin, to in self.spans)

    def bill_until(self, now: float) -> None:
        """It costs nothing from now on."""
        if self.spans and self.spans[-1][1] is None:
            self.spans[-1][1] = now

    def http_ports(self) -> list[int]:
        """The ports that the proxy serves."""
        return [int(port.partition("/")[0]) for port in self.order.ports if port.endswith("/http")]

    def document(self) -> dict[str, Any]:
        """As v2 tells it."""
        order, machine = self.order, self.order.machine
        compute: dict[str, Any] = {"id": machine.id}
        compute |= {"count": machine.count} if machine.kind == "gpu" else {}
        compute |= {"vcpuCount": machine.count, "memory": machine.memory} if machine.kind == "cpu" else {}
        ssh: dict[str, Any] = {"host": "ssh.runpod.io", "port": 22, "username": f"{self.id}-64411eb2"}
        return {
            "id": self.id, "name": order.name, "image": order.image, "args": order.args, "disk": order.disk,
            "ports": order.ports, "env": order.env, "registry": None, "status": self.status,
            "actions": ACTIONS[self.status], "mounts": self._mounts(), machine.kind: compute, "cloud": self.cloud,
            "dataCenterId": self.datacenter, "cudaVersion": "12.8" if machine.kind == "gpu" else None,
            "ssh": {"proxy": {**ssh, "command": f"ssh {self.id}-64411eb2@ssh.runpod.io"}, "direct": None},
            "template": None, "cost": 0 if self.status in ("EXITED", "TERMINATED") else self.price, "locked": False,
            "globalNetworking": {"enabled": False}, "runtime": self._runtime(), "createdAt": stamp(self.created),
            "startedAt": stamp(self.created) if self.is_up else None,
        }  # fmt: skip

    def graphql(self) -> dict[str, Any]:
        """As GraphQL tells it."""
        order, machine = self.order, self.order.machine
        gpus = machine.count if machine.kind == "gpu" else 0
        ports = [
            {
                "ip": "100.65.0.10",
                "isIpPublic": False,
                "privatePort": port,
                "publicPort": 50000 + port % 10000,
                "type": "http",
            }
            for port in self.http_ports()
        ]
        host: dict[str, Any] = {"podHostId": f"{self.id}-64411eb2", "gpuDisplayName": machine.id if gpus else "unknown"}
        host |= {"dataCenterId": self.datacenter, "location": self.datacenter[:2], "secureCloud": True}
        return {
            "id": self.id, "name": order.name, "imageName": order.image, "containerDiskInGb": order.disk,
            "costPerHr": self.price, "adjustedCostPerHr": self.price, "desiredStatus": self.status,
            "dockerArgs": order.args, "dockerId": None, "env": [f"{name}={value}" for name, value in order.env.items()],
            "gpuCount": gpus, "lastStatusChange": f"Rented by User: {time.ctime(self.created)}",
            "lastStartedAt": stamp(self.created), "createdAt": stamp(self.created), "machineId": f"m{self.id[:11]}",
            "memoryInGb": machine.memory, "podType": "RESERVED", "port": None, "ports": ",".join(order.ports),
            "uptimeSeconds": self.uptime if self.is_up else 0, "vcpuCount": machine.count if not gpus else 8 * gpus,
            "volumeInGb": order.persistent, "volumeMountPath": order.mount, "networkVolumeId": order.volume_id or None,
            "networkVolume": self.volume.graphql() if self.volume else None, "templateId": None, "machine": host,
            "runtime": {"ports": ports, "uptimeInSeconds": self.uptime} if self.is_up else None,
        }  # fmt: skip

    def _mounts(self) -> dict[str, Any]:
        if self.order.volume_id:
            return {"network": [{"volumeId": self.order.volume_id, "path": self.order.mount}]}
        return (
            {"persistent": {"size": self.order.persistent, "path": self.order.mount}} if self.order.persistent else {}
        )

    def _runtime(self) -> dict[str, Any] | None:
        if not self.is_up:
            return None
        ports = [
            {"private": port, "public": 50000 + port % 10000, "type": "http", "ip": None} for port in self.http_ports()
        ]
        return {"uptime": self.uptime, "ports": ports, "cpu": {"util": 1}, "memory": {"util": 1}}


def stamp(seconds: float) -> str:
    """A time of day as both APIs write it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def command(args: str) -> list[str]:
    """What runs for `args` (dockerArgs): a JSON object with `entrypoint` and `cmd` as it is, else words; no shell.

    An image would have a command of its own for none; here nothing runs then. Raises ValueError for an open quote.
    """
    if args.lstrip().startswith("{"):
        try:
            told = json.loads(args)
            return [*told.get("entrypoint", []), *told.get("cmd", [])] or ["sleep", "infinity"]
        except ValueError:
            pass
    return shlex.split(args) or ["sleep", "infinity"]
