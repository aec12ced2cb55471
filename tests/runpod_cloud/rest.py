"""REST v2: its published paths for pods, network volumes and the catalog, with the rules that its schema tells.

What the schema leaves to the service answers 400, as its table of failures says: both or neither of `gpu` and `cpu`, a
count of vCPUs that is no power of two, two kinds of mounts, a volume elsewhere. How the service words these is not
published.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from runpod_cloud import shapes
from runpod_cloud.account import Account
from runpod_cloud.answers import Answer, RefusedError, document, problem
from runpod_cloud.logs import Wish
from runpod_cloud.machines import Cpu, Gpu, Machine, cpu_machine, gpu_machine
from runpod_cloud.pods import Order, Pod

ROUTES = (
    ("GET", r"/v2/pods", "listPods"),
    ("POST", r"/v2/pods", "createPod"),
    ("GET", r"/v2/pods/([^/]+)", "getPod"),
    ("DELETE", r"/v2/pods/([^/]+)", "deletePod"),
    ("POST", r"/v2/pods/([^/]+)/action", "podAction"),
    ("GET", r"/v2/pods/([^/]+)/logs", "getPodLogs"),
    ("GET", r"/v2/network-volumes", "listNetworkVolumes"),
    ("POST", r"/v2/network-volumes", "createNetworkVolume"),
    ("GET", r"/v2/network-volumes/([^/]+)", "getNetworkVolume"),
    ("PATCH", r"/v2/network-volumes/([^/]+)", "updateNetworkVolume"),
    ("DELETE", r"/v2/network-volumes/([^/]+)", "deleteNetworkVolume"),
    ("GET", r"/v2/catalog/cpus", "listCpuTypes"),
    ("GET", r"/v2/catalog/cpus/([^/]+)", "getCpuType"),
    ("GET", r"/v2/catalog/gpus", "listGpuTypes"),
    ("GET", r"/v2/catalog/gpus/([^/]+)", "getGpuType"),
    ("GET", r"/v2/catalog/datacenters", "listDataCenters"),
    ("GET", r"/v2/catalog/datacenters/([^/]+)", "getDataCenter"),
)
LEVELS = ("NONE", "LOW", "MEDIUM", "HIGH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """An answer that goes on: the log of a pod."""

    pod: Pod
    wish: Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to one operation. `made`: whether a pod that it rents may start."""

    operation: str
    id: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    made: Callable[[Pod], bool]

    def asked(self, name: str, default: str = "") -> str:
        """One parameter of the query."""
        return self.query.get(name, [default])[0]

    def json(self, shape: shapes.Shape) -> dict[str, Any]:
        """The body, which has that shape."""
        try:
            value = json.loads(self.body or b"null")
        except ValueError:
            raise RefusedError(400, "request body is not valid JSON") from None
        wrong = shapes.faults(value, shape)
        if wrong:
            raise RefusedError(422, "Request validation failed.", errors=wrong)
        return dict(value)


def route(method: str, path: str) -> tuple[str, str] | Answer:
    """The operation and the id in the path; else how v2 says that there is none."""
    methods = []
    for known, pattern, operation in ROUTES:
        match = re.fullmatch(pattern, path)
        if match and known == method:
            return operation, unquote(match[1]) if match.groups() else ""
        methods += [known] if match else []
    if methods:
        return problem(405, "The requested method is not allowed for this path.", Allow=", ".join(methods))
    return problem(404, "resource not found")


def answer(account: Account, call: Call) -> Answer | Stream:
    """What v2 says. Raises RefusedError."""
    return OPERATIONS[call.operation](account, call)


# Pods


def _list_pods(account: Account, _: Call) -> Answer:
    return document({"pods": [pod.document() for pod in account.listed()]})


def _create_pod(account: Account, call: Call) -> Answer:
    told = call.json(shapes.CREATE_POD)
    if "templateId" in told:
        raise RefusedError(404, "template not found")
    if "image" not in told:
        raise RefusedError(422, "Request validation failed.", errors=["$: missing properties 'image'"])
    pod = account.create_pod(_order(account, told), call.made)
    return document({**pod.document(), "runtime": None}, 201)


def _order(account: Account, told: dict[str, Any]) -> Order:
    mounts = told.get("mounts", {})
    network, persistent = (mounts.get("network") or [{}])[0], mounts.get("persistent", {})
    if network and persistent:
        raise RefusedError(400, "mounts.network and mounts.persistent are mutually exclusive")
    if persistent and "cpu" in told:
        raise RefusedError(400, "mounts.persistent is not supported on CPU pods")
    return Order(
        name=told["name"], image=told["image"], machine=_machine(account, told), args=told.get("args", ""),
        env=told.get("env", {}), ports=told.get("ports", []), disk=told.get("disk", 50),
        cloud=told.get("cloud", "SECURE"), datacenters=told.get("dataCenterIds", []),
        volume_id=network.get("volumeId", ""), mount=network.get("path", persistent.get("path", "")),
        persistent=persistent.get("size", 0),
    )  # fmt: skip


def _machine(account: Account, told: dict[str, Any]) -> Machine:
    if ("gpu" in told) == ("cpu" in told):
        raise RefusedError(400, "exactly one of gpu or cpu must be set")
    if "gpu" in told:
        gpu = account.catalog.gpu(told["gpu"]["id"])
        if gpu is None:
            raise RefusedError(400, f'unknown GPU type "{told["gpu"]["id"]}"')
        return gpu_machine(gpu, told["gpu"].get("count", 1))
    cpu, vcpus = account.catalog.cpu(told["cpu"]["id"]), told["cpu"]["vcpuCount"]
    if cpu is None:
        raise RefusedError(400, f'unknown CPU flavor "{told["cpu"]["id"]}"')
    if vcpus & (vcpus - 1) or vcpus > cpu.most:
        raise RefusedError(400, f"cpu.vcpuCount must be a power of two between 2 and {cpu.most}")
    return cpu_machine(cpu, vcpus)


def _found(account: Account, call: Call) -> Pod:
    pod = account.pod(call.id)
    if pod is None:
        raise RefusedError(404, "pod not found")
    return pod


def _get_pod(account: Account, call: Call) -> Answer:
    return document(_found(account, call).document())


def _delete_pod(account: Account, call: Call) -> Answer:
    account.terminate(call.id)
    return Answer(status=204)


def _pod_action(account: Account, call: Call) -> Answer:
    action = call.json(shapes.POD_ACTION)["action"]
    if action == "terminate":
        return _delete_pod(account, call)
    doings = {"start": account.resume, "stop": account.stop, "restart": account.restart}
    return document(doings[action](call.id).document())


def _logs(account: Account, call: Call) -> Stream:
    pod, tail, source = _found(account, call), call.asked("tail", "100"), call.asked("source")
    if not tail.isdigit() or int(tail) > 5000:
        raise RefusedError(422, "Request validation failed.", errors=["tail: must be between 0 and 5000"])
    if source not in ("", "container", "system"):
        raise RefusedError(422, "Request validation failed.", errors=["source: must be container or system"])
    wish = Wish(
        source=source, tail=int(tail), since=call.asked("since"), after=call.headers.get("last-event-id", "")
    )  # fmt: skip
    return Stream(pod=pod, wish=wish)


# Network volumes


def _list_volumes(account: Account, _: Call) -> Answer:
    return document({"networkVolumes": [volume.document() for volume in list(account.volumes.values())]})


def _create_volume(account: Account, call: Call) -> Answer:
    told = call.json(shapes.CREATE_VOLUME)
    volume = account.create_volume(told["name"], told["size"], told["dataCenter"], told.get("type"))
    return document(volume.document(), 201)


def _get_volume(account: Account, call: Call) -> Answer:
    return document(account.volume(call.id).document())


def _update_volume(account: Account, call: Call) -> Answer:
    account.volume(call.id)
    told = call.json(shapes.UPDATE_VOLUME)
    return document(account.change_volume(call.id, told.get("name"), told.get("size")).document())


def _delete_volume(account: Account, call: Call) -> Answer:
    account.delete_volume(call.id)
    return Answer(status=204)


# The catalog


def _includes(call: Call, name: str, known: tuple[str, ...]) -> bool:
    asked = [one for one in call.asked("include").split(",") if one]
    if any(one not in known for one in asked):
        raise RefusedError(400, f"unsupported include; supported values: {', '.join(known)}")
    return name in asked


def _has_stock(call: Call, products: tuple[str, ...]) -> bool:
    wanted = _includes(call, "AVAILABILITY", ("AVAILABILITY",))
    asked = [one for one in call.asked("product").split(",") if one]
    if wanted != bool(asked) or any(one not in products for one in asked):
        raise RefusedError(400, f"include=AVAILABILITY requires product, one of {', '.join(products)}, and vice versa")
    return wanted


def _stock(account: Account, machine: Machine) -> dict[str, Any]:
    places = [
        {
            "id": place.id, "name": place.name,
            "availability": account.catalog.level(machine.names, place.id, account.rented(machine.names, place.id)),
        }
        for place in account.catalog.datacenters
        if place.id in machine.datacenters
    ]  # fmt: skip
    best = max((place["availability"] for place in places), key=LEVELS.index, default="NONE")
    return {"availability": best, **({"dataCenters": places} if best != "NONE" else {})}


def _cpu(account: Account, call: Call, cpu: Cpu) -> dict[str, Any]:
    told = {
        "id": cpu.id, "name": cpu.name, "group": cpu.group, "vcpu": {"min": 2, "max": cpu.most},
        "ramGbPerVcpu": cpu.memory, "price": {"securePerVcpu": cpu.price, "serverlessPerVcpu": cpu.price},
    }  # fmt: skip
    stock = _has_stock(call, ("POD", "SERVERLESS"))
    return told | (_stock(account, cpu_machine(cpu, int(call.asked("vcpuCount", "2")))) if stock else {})


def _gpu(account: Account, call: Call, gpu: Gpu) -> dict[str, Any]:
    told = {
        "id": gpu.id, "name": gpu.name, "pool": gpu.pool, "manufacturer": "NVIDIA", "memory": gpu.memory,
        "secure": gpu.secure is not None, "community": gpu.community is not None,
        "price": {"secure": gpu.secure or 0, "community": gpu.community or 0},
        "maxCount": {"secure": gpu.most, "community": gpu.most},
    }  # fmt: skip
    stock = _has_stock(call, ("POD", "CLUSTER", "SERVERLESS"))
    return told | (_stock(account, gpu_machine(gpu, int(call.asked("count", "1")))) if stock else {})


def _place(account: Account, call: Call, place: Any) -> dict[str, Any]:
    told = {
        "id": place.id, "name": place.name, "region": place.region, "globalNetwork": False,
        "networkVolumeTypes": list(place.volume_types), "compliance": ["SOC_2_TYPE_2"],
    }  # fmt: skip
    known = ("GPU_AVAILABILITY", "CPU_AVAILABILITY")
    catalog = account.catalog
    kinds: list[tuple[str, list[Any], Callable[[Any], Machine]]] = [
        ("gpu", catalog.gpus, lambda gpu: gpu_machine(gpu, 1)),
        ("cpu", catalog.cpus, lambda cpu: cpu_machine(cpu, 2)),
    ]
    for kind, entries, machine in kinds:
        if _includes(call, f"{kind.upper()}_AVAILABILITY", known):
            here = [entry for entry in entries if place.id in entry.datacenters]
            levels = [
                {
                    "id": entry.id, "name": entry.name, "availability": catalog.level(
                        machine(entry).names, place.id, account.rented(machine(entry).names, place.id)
                    ),
                }
                for entry in here
            ]  # fmt: skip
            told |= {f"{kind}Availability": levels} if levels else {}
    return told


def _listing(name: str, attribute: str, one: Callable[..., dict[str, Any]]) -> Callable[[Account, Call], Answer]:
    return lambda account, call: document(
        {name: [one(account, call, entry) for entry in getattr(account.catalog, attribute)]}
    )


def _entry(attribute: str, one: Callable[..., dict[str, Any]]) -> Callable[[Account, Call], Answer]:
    def answer(account: Account, call: Call) -> Answer:
        for entry in getattr(account.catalog, attribute):
            if entry.id == call.id:
                return document(one(account, call, entry))
        raise RefusedError(404, "resource not found")

    return answer


OPERATIONS: dict[str, Callable[[Account, Call], Answer | Stream]] = {
    "listPods": _list_pods, "createPod": _create_pod, "getPod": _get_pod, "deletePod": _delete_pod,
    "podAction": _pod_action, "getPodLogs": _logs, "listNetworkVolumes": _list_volumes,
    "createNetworkVolume": _create_volume, "getNetworkVolume": _get_volume, "updateNetworkVolume": _update_volume,
    "deleteNetworkVolume": _delete_volume, "listCpuTypes": _listing("cpus", "cpus", _cpu),
    "getCpuType": _entry("cpus", _cpu), "listGpuTypes": _listing("gpus", "gpus", _gpu),
    "getGpuType": _entry("gpus", _gpu), "listDataCenters": _listing("dataCenters", "datacenters", _place),
    "getDataCenter": _entry("datacenters", _place),
}  # fmt: skip
