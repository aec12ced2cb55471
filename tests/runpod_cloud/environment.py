"""What a pod's process finds in its environment."""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from runpod_cloud.pods import Order
    from runpod_cloud.volumes import Volume

SECRET = re.compile(r"\{\{\s*RUNPOD_SECRET_(\w+)\s*\}\}")


def image_environment() -> dict[str, str]:
    """What the image sets: how to find programs, and what pip needs on this machine."""
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "NO_PROXY": "127.0.0.1,localhost", **pip}


def injected(pod_id: str, key: str, order: Order, datacenter: str) -> dict[str, str]:
    """What RunPod sets, whatever the user says."""
    count = {"RUNPOD_GPU_COUNT": str(order.machine.count)} if order.machine.kind == "gpu" else {}
    return {
        "RUNPOD_POD_ID": pod_id,
        "RUNPOD_API_KEY": key,
        "RUNPOD_DC_ID": datacenter,
        "RUNPOD_POD_HOSTNAME": f"{pod_id}-64411eb2",
        "RUNPOD_CPU_COUNT": str(order.machine.count if order.machine.kind == "cpu" else 8),
        "RUNPOD_PUBLIC_IP": "100.65.0.10",
        **({"RUNPOD_VOLUME_ID": order.volume_id} if order.volume_id else {}),
        **count,
    }


def with_secrets(env: dict[str, str], secrets: dict[str, str]) -> dict[str, str]:
    """`{{ RUNPOD_SECRET_name }}` replaced where there is such a secret."""
    return {name: SECRET.sub(lambda match: secrets.get(match[1], match[0]), value) for name, value in env.items()}


def moved(text: str, mount: str, folder: Path) -> str:
    """A path at or below the mount, as one of this machine; anything else as it is."""
    if mount and (text == mount or text.startswith(mount.rstrip("/") + "/")):
        return str(folder) + text[len(mount.rstrip("/")) :]
    return text


def translated(env: dict[str, str], order: Order, volume: Volume | None) -> dict[str, str]:
    """Values at or below the mount path, as they are on this machine."""
    if volume is None:
        return env
    return {name: moved(value, order.mount, volume.folder) for name, value in env.items()}


def free_port() -> int:
    """A port that nobody listens on now, and that no connection gets by itself: those begin at 32768."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as place, contextlib.suppress(OSError):
            place.bind(("127.0.0.1", port))
            return port


def places(order: Order) -> tuple[dict[int, int], dict[str, str]]:
    """Which port of this machine stands for which of the pod's, and the variable that says so.

    The port of `PROVISION_STATUS_PORT` (else the first that is served) gets a free one; others stand for themselves.
    """
    ports = [int(port.partition("/")[0]) for port in order.ports if port.endswith("/http")]
    told = order.env.get("PROVISION_STATUS_PORT", "")
    inner = int(told) if told.isdigit() and int(told) in ports else (ports[0] if ports else None)
    if inner is None:
        return {}, {}
    outer = free_port()
    return {**{port: port for port in ports}, inner: outer}, {"PROVISION_STATUS_PORT": str(outer)}
