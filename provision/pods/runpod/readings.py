"""What RunPod's answers tell, of both interfaces: GraphQL's (SDK 1.12) and REST v2's (SDK 2, and our own client). Pure.

Nothing in an answer is taken for granted. What must be there and is not makes the answer one that is not understood,
which is CloudUnavailable: a pod that is overlooked costs money. What may be missing is None, or "".
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from provision.pods.cloud import Datacenter, Kind, NetworkVolume, Offer, Pod, State, Stock
from provision.pods.job import DATACENTER, MACHINE, VOLUME_ID
from provision.pods.runpod.faults import unclear

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.errors import CloudUnavailable


_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_INSTANCE = re.compile(r"([a-z0-9]{1,32})-([1-9][0-9]{0,3})-([1-9][0-9]{0,4})")

CPU_SIZES = (2, 4)
"""vCPUs of the CPU pods that are offered: to fetch and hash files more are no faster than the volume."""

_GONE = "TERMINATED"
_STATES = {
    "CREATED": State.STARTING,
    "PROVISIONING": State.STARTING,
    "STARTING": State.STARTING,
    "RESTARTING": State.STARTING,
    "RUNNING": State.RUNNING,
    "EXITED": State.STOPPED,
    "PAUSED": State.STOPPED,
    "DEAD": State.FAILED,
    "ERROR": State.FAILED,
}
_STOCKS = {stock.value.upper(): stock for stock in Stock}


def is_id(text: object) -> bool:
    """Whether `text` can be the id of a pod or a volume: it goes into addresses, queries and commands as it is."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def instance(offer_id: str) -> tuple[str, int] | None:
    """Flavor and vCPUs of a CPU instance `cpu3c-2-4`; None where it is none."""
    match = _INSTANCE.fullmatch(offer_id)
    return (match[1], int(match[2])) if match else None


def pod_of(document: object) -> Pod | None:
    """A pod; None for no pod at all, or one that has been deleted.

    Raises:
        CloudUnavailable: it is not understood.
    """
    if document is None:
        return None
    told = _mapping(document, "tell of a pod")
    status = told.get("status", told.get("desiredStatus"))
    if status == _GONE:
        return None
    state = _STATES.get(status, State.STARTING) if isinstance(status, str) else State.STARTING
    env = _env(told.get("env"))
    running = isinstance(told.get("runtime"), dict)  # null, whatever the status says, until there is a container
    return Pod(
        id=_id(told, "tell of a pod"),
        name=_text(told.get("name")),
        state=state,
        is_up=running and state not in {State.STOPPED, State.FAILED},
        price=_number(told.get("cost", told.get("costPerHr"))),
        began=_time(told.get("createdAt")),
        # SDK 1.12 asks for none of these; a pod of ours was told
        machine=env.get(MACHINE) or _machine(told),
        volume_id=_volume_id(told) or env.get(VOLUME_ID, ""),
        datacenter=_text(told.get("dataCenterId")) or env.get(DATACENTER, ""),
        env=env,
    )


def pods_of(listing: object) -> list[Pod]:
    """The pods of a list. Raises CloudUnavailable where it, or one of them, is not understood."""
    return [pod for pod in map(pod_of, _items(listing, "list the pods")) if pod is not None]


def volume_of(document: object) -> NetworkVolume:
    """A volume. Raises CloudUnavailable where it is not understood."""
    told = _mapping(document, "tell of a volume")
    size = _number(told.get("size"))
    if size is None:
        raise _odd("tell of a volume")
    return NetworkVolume(
        id=_id(told, "tell of a volume"),
        name=_text(told.get("name")),
        size=int(size),
        datacenter=_text(told.get("dataCenter")),
    )


def volumes_of(listing: object) -> list[NetworkVolume]:
    """The volumes of a list. Raises CloudUnavailable where it, or one of them, is not understood."""
    return [volume_of(item) for item in _items(listing, "list the volumes")]


def datacenters_of(listing: object) -> list[Datacenter]:
    """Those of a catalog that have network volumes; what is not understood in it is left out."""
    return [
        Datacenter(id=_text(told["id"]), name=_text(told.get("name")))
        for told in _named(listing, "list the data centers")
        if told.get("networkVolumeTypes")
    ]


def cpu_offers(listing: object, datacenter: str) -> list[Offer]:
    """The CPU machines of a catalog, each in the sizes CPU_SIZES; flavors that are not understood are left out."""
    return [
        offer for told in _named(listing, "list the CPU machines") for offer in _sizes(told, _stock(told, datacenter))
    ]


def gpu_offers(listing: object, datacenter: str) -> list[Offer]:
    """The GPUs of a catalog that RunPod's own data centers have, one at a time."""
    return [
        Offer(
            kind=Kind.GPU,
            id=told["id"],
            name=_text(told.get("name")) or told["id"],
            price=_price(told, "secure"),
            stock=_stock(told, datacenter),
        )
        for told in _named(listing, "list the GPUs")
        if told.get("secure") is True
    ]


def _sizes(told: dict[str, Any], stock: Stock) -> Iterator[Offer]:
    flavor, span, per_cpu = told["id"].split("-")[0], told.get("vcpu"), _number(told.get("ramGbPerVcpu"))
    price = _price(told, "securePerVcpu")
    least, most = (_number(span.get(end)) for end in ("min", "max")) if isinstance(span, dict) else (None, None)
    for cpus in CPU_SIZES:
        memory = round((per_cpu or 0) * cpus)
        name = f"{flavor}-{cpus}-{memory}"
        if (least or 0) <= cpus <= (most or math.inf) and instance(name):
            yield Offer(
                kind=Kind.CPU,
                id=name,
                name=f"{_text(told.get('name')) or flavor}, {cpus} vCPUs, {memory} GB",
                price=None if price is None else round(price * cpus, 6),
                stock=stock,
            )


def _price(told: dict[str, Any], name: str) -> float | None:
    prices = told.get("price")
    price = _number(prices.get(name)) if isinstance(prices, dict) else None
    return price or None  # nothing is rented out for nothing: 0 is no price


def _stock(told: dict[str, Any], datacenter: str) -> Stock:
    """Of one data center. A catalog with stock leaves out data centers without any, and the list where all are so."""
    places = told.get("dataCenters", [] if "availability" in told else None)
    if not isinstance(places, list):
        return Stock.UNKNOWN
    for place in places:
        if isinstance(place, dict) and place.get("id") == datacenter:
            return _STOCKS.get(str(place.get("availability")).upper(), Stock.UNKNOWN)
    return Stock.NONE


def _machine(told: dict[str, Any]) -> str:
    cpu, gpu, machine = (told.get(name) for name in ("cpu", "gpu", "machine"))
    if isinstance(cpu, dict):
        return "-".join(
            str(cpu[name]) for name in ("id", "vcpuCount", "memory") if isinstance(cpu.get(name), str | int)
        )
    if isinstance(gpu, dict):
        return _text(gpu.get("id"))
    return _text(machine.get("gpuDisplayName")) if isinstance(machine, dict) else ""


def _volume_id(told: dict[str, Any]) -> str:
    mounts = told.get("mounts")
    networks = mounts.get("network") if isinstance(mounts, dict) else None
    first = networks[0] if isinstance(networks, list) and networks else None
    return _text(first.get("volumeId")) if isinstance(first, dict) else _text(told.get("networkVolumeId"))


def _env(value: object) -> dict[str, str]:
    """v2 gives a mapping, GraphQL a list of `NAME=value`."""
    if isinstance(value, dict):
        return {name: text for name, text in value.items() if isinstance(text, str)}
    if isinstance(value, list):
        pairs = (text.partition("=") for text in value if isinstance(text, str))
        return {name: text for name, _, text in pairs}
    return {}


def _items(listing: object, what: str) -> list[Any]:
    if not isinstance(listing, list):
        raise _odd(what)
    return listing


def _named(listing: object, what: str) -> Iterator[dict[str, Any]]:
    for item in _items(listing, what):
        if isinstance(item, dict) and isinstance(item.get("id"), str) and item["id"]:
            yield item


def _mapping(document: object, what: str) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise _odd(what)
    return document


def _id(told: dict[str, Any], what: str) -> str:
    if not is_id(told.get("id")):
        raise _odd(what)
    return str(told["id"])


def _odd(what: str) -> CloudUnavailable:
    return unclear(what, "its answer is not understood here")


def _text(value: object) -> str:
    """Text that can be encoded: JSON may hold halves of characters."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    """A number that something can cost or weigh; None for all else."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e12:
        return None
    return float(value)


def _time(value: object) -> float | None:
    """Time of day in seconds, from RFC 3339."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() if moment else None
    except (ValueError, OverflowError):
        return None
