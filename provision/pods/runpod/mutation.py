"""The GraphQL mutation that rents a pod, whatever its strings hold. Pure.

The SDK's own (`runpod.create_pod` of 1.12) pastes every string between quotes as it is, so that a quote in a variable
ends the query; it cannot set `terminateAfter`; and it starts every CPU pod from the template `runpod-ubuntu`. No
`templateId` is sent here: RunPod's own code rents CPU pods without one (`runpod/apps/tasks.py` of 2.0.0rc1), and a
template would bring an image, ports and variables that nobody asked for.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from provision.pods.cloud import Kind

if TYPE_CHECKING:
    from provision.pods.cloud import Order

SPARE = 300
"""Seconds after its deadline at which RunPod is asked to end a pod by itself: later than whoever should have."""


def literal(text: str) -> str:
    r"""`text` as a string of GraphQL, in quotes, in ASCII.

    JSON's strings are strings of GraphQL (GraphQL October 2021, §2.9.4: the same escapes, `\u` for the rest).
    """
    return json.dumps(text)


def start_command(command: tuple[str, ...]) -> str:
    """What RunPod's `dockerArgs` and `args` are to hold so that `command` runs, and nothing of the image's own.

    A JSON object is taken as it is; any other text is split into arguments of the image's entry point, without a shell
    (github.com/runpod/runpodctl, pull request 314).
    """
    return json.dumps({"entrypoint": list(command[:1]), "cmd": list(command[1:])})


def create_mutation(order: Order) -> str:
    """The mutation that rents `order`; it asks for nothing back that could hold a secret."""
    name = "deployCpuPod" if order.offer.kind is Kind.CPU else "podFindAndDeployOnDemand"
    fields = ", ".join(f"{key}: {value}" for key, value in _fields(order).items())
    return f"mutation {{ {name}(input: {{ {fields} }}) {{ id desiredStatus costPerHr }} }}"


def _fields(order: Order) -> dict[str, str]:
    env = (f"{{ key: {literal(key)}, value: {literal(value)} }}" for key, value in order.env.items())
    return {
        "name": literal(order.name),
        "imageName": literal(order.image),
        "cloudType": "SECURE",  # network volumes are nowhere else
        **_machine(order),
        "dataCenterId": literal(order.volume.datacenter),
        "networkVolumeId": literal(order.volume.id),
        "volumeMountPath": literal(order.mount),
        "containerDiskInGb": str(order.disk),
        "dockerArgs": literal(start_command(order.command)),
        "ports": literal(f"{order.port}/http"),
        "env": f"[{', '.join(env)}]",
        "startSsh": "false",
        "supportPublicIp": "false",
        "terminateAfter": literal(_moment(order.deadline + SPARE)),
    }


def _machine(order: Order) -> dict[str, str]:
    if order.offer.kind is Kind.CPU:
        return {"instanceId": literal(order.offer.id)}
    return {"gpuTypeId": literal(order.offer.id), "gpuCount": "1", "volumeInGb": "0"}


def _moment(time: float) -> str:
    """RFC 3339, as the service's DateTime wants it."""
    return datetime.fromtimestamp(int(time), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
