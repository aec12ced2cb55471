"""What an order becomes on its way to RunPod: REST v2's body; what of it is secret; what people may see. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from provision.errors import InputError, without_secrets
from provision.pods import job
from provision.pods.cloud import Kind
from provision.pods.errand import PUBLIC
from provision.pods.runpod.mutation import start_command
from provision.pods.runpod.readings import instance
from provision.progress import size_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.pods.cloud import Order, Pod

_REFERENCE = re.compile(r"\{\{ ?RUNPOD_SECRET_\w+ ?\}\}")
"""The name of a secret that RunPod keeps (docs.runpod.io, pods/templates/secrets)."""

_LONG, _SHORT = 1024, 5


def check(order: Order) -> None:
    """Raise InputError where `order` holds what no interface can carry, or a CPU instance that is none."""
    if order.offer.kind is Kind.CPU and instance(order.offer.id) is None:
        raise InputError(f"`{order.offer.id}` is no CPU instance", hint="write it as cpu3c-2-4: flavor, vCPUs, GB")
    for name, text in _texts(order):
        if "\0" in text or not _is_unicode(text):
            raise InputError(f"{name} holds bytes that are no text", hint="encode them, as base64 for example")


def create_body(order: Order) -> dict[str, Any]:
    """The body of `POST /v2/pods` (CreatePodRequest). The data center is the volume's: elsewhere it has none."""
    return {
        "name": order.name,
        "image": order.image,
        "args": start_command(order.command),
        "env": dict(order.env),
        "ports": [f"{order.port}/http"],
        "disk": order.disk,
        "cloud": "SECURE",
        "dataCenterIds": [order.volume.datacenter],
        "mounts": {"network": [{"volumeId": order.volume.id, "path": order.mount}]},
        "startSsh": False,
        **_machine(order),
    }


def _machine(order: Order) -> dict[str, Any]:
    size = instance(order.offer.id) if order.offer.kind is Kind.CPU else None
    if size is None:
        return {"gpu": {"id": order.offer.id, "count": 1}}
    return {"cpu": {"id": size[0], "vcpuCount": size[1]}}


def as_ordered(pod: Pod, order: Order) -> Pod:
    """`pod`, with what the answer to its creation left out and the order tells."""
    return replace(
        pod,
        name=pod.name or order.name,
        price=order.offer.price if pod.price is None else pod.price,
        machine=pod.machine or order.offer.id,
        volume_id=pod.volume_id or order.volume.id,
        datacenter=pod.datacenter or order.volume.datacenter,
        env=order.env,
    )


def secrets_of(order: Order) -> list[str]:
    """Values of `order` that are for the pod only; what is very short is no secret, and a part of any sentence."""
    return [value for name, value in order.env.items() if len(value) > _SHORT and _shown(name, value) != value]


def masked(order: Order) -> Order:
    """`order` as people may see it."""
    return replace(order, env={name: _shown(name, value) for name, value in order.env.items()})


def _shown(name: str, value: str) -> str:
    if name == job.SCRIPT or name.startswith(job.PARCEL) or len(value) > _LONG:
        return f"<… {size_text(len(value.encode(errors='replace')))}>"
    if name in PUBLIC:
        return without_secrets(value)
    return value if _REFERENCE.fullmatch(value) else "***"


def _texts(order: Order) -> Iterator[tuple[str, str]]:
    yield from [("the pod's name", order.name), ("the image", order.image), ("the mount", order.mount)]
    yield from [("the machine", order.offer.id), ("the volume", order.volume.id)]
    yield from [("the data center", order.volume.datacenter)]
    yield from (("the command", word) for word in order.command)
    for name, value in order.env.items():
        yield from [("a variable's name", name), (f"the variable {name}", value)]


def _is_unicode(text: str) -> bool:
    try:
        return bool(text.encode()) or not text
    except UnicodeEncodeError:
        return False
