"""Clouds to ask laws of: this machine, and the stand-in for RunPod by each way there is to its pods."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from hub_kinds import http_settings
from runpod_cloud import RunPodCloud

from provision.pods.cloud import Cloud, Kind, NetworkVolume, Offer, Order, Pod, Stock
from provision.pods.lease import new_lease
from provision.pods.local import Local
from provision.pods.runpod import RunPod, RunPodSettings
from provision.retry import Patience

T = TypeVar("T")

KEY = "rpa_KEYKEYKEYKEYKEY0"
SECRET = "s3cr3t-of-the-pod"
PORT = 8000
MOUNT = "/workspace"

WAYS = ("rest", *(["sdk"] if importlib.util.find_spec("runpod") else []))
"""How pods of RunPod are reached: this Python may have RunPod's SDK, of any release."""

SERVER = """
import http.server, os, pathlib, socketserver
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "5"); self.end_headers(); self.wfile.write(b"hello")
server = http.server.HTTPServer(("127.0.0.1", int(os.environ["PROVISION_STATUS_PORT"])), Handler)
place = pathlib.Path(os.environ["TMPDIR"]) / os.environ["PROVISION_LEASE"]
place.mkdir()
(place / "port").write_text(str(server.server_address[1]))
server.serve_forever()
"""


@dataclass(frozen=True, kw_only=True)
class Bed:
    """A cloud, and one of its data centers. `stand_in` is there for RunPod only."""

    cloud: Cloud
    datacenter: str
    stand_in: RunPodCloud | None = None
    naps: list[float] = field(default_factory=list)

    def volume(self) -> NetworkVolume:
        return self.cloud.create_volume("models", 10, self.datacenter)

    def order(self, *command: str, **env: str) -> Order:
        """An order for the first machine, with a new volume, that runs `command`."""
        return order(self.volume(), self.cloud.offers(self.datacenter)[0], *command, **env)


def order(volume: NetworkVolume, offer: Offer, *command: str, **env: str) -> Order:
    lease = new_lease("wan22", time.time(), 600, os.urandom(4).hex())
    told = {
        "PROVISION_LEASE": str(lease), "PROVISION_STATUS_TOKEN": SECRET, "PROVISION_STATUS_PORT": str(PORT),
        "PROVISION_VOLUME": MOUNT,
    }  # fmt: skip
    return Order(
        name=str(lease), image="python:3.12-slim", command=command or ("sleep", "600"), env=told | env, offer=offer,
        volume=volume, mount=MOUNT, port=PORT, disk=10, deadline=lease.deadline,
    )  # fmt: skip


CPU = Offer(kind=Kind.CPU, id="cpu3c-2-4", name="cpu3c", price=0.06, stock=Stock.HIGH)
GPU = Offer(kind=Kind.GPU, id="NVIDIA RTX A4000", name="RTX A4000", price=0.25)


@contextmanager
def runpod(way: str, **changes) -> Iterator[Bed]:
    """RunPod's stand-in, reached by `way`. Naps between attempts are noted, and not taken."""
    with RunPodCloud(keys=[KEY]) as stand_in:
        naps: list[float] = []
        yield Bed(
            cloud=RunPod(settings(stand_in.url, way, naps, pod_url=stand_in.pod_url, **changes)),
            datacenter="EU-RO-1", stand_in=stand_in, naps=naps,
        )  # fmt: skip


def settings(base_url: str, way: str = "rest", naps: list[float] | None = None, **changes) -> RunPodSettings:
    return RunPodSettings(
        **{
            "key": KEY, "base_url": base_url, "pod_url": "https://{pod}-{port}.proxy.runpod.net",
            "http": http_settings(), "sleep": ([] if naps is None else naps).append, "use_sdk": way == "sdk",
            "patience": Patience(attempts=4), "timeout": 10.0, "log_time": 1.0, "log_quiet": 0.2, **changes,
        }
    )  # fmt: skip


@contextmanager
def local(folder: Path) -> Iterator[Bed]:
    """This machine. What is left in it is ended."""
    cloud = Local(folder / "cloud", environment=os.environ, clock=time.time, sleep=pause)
    try:
        yield Bed(cloud=cloud, datacenter="local")
    finally:
        for pod in cloud.pods():
            cloud.delete_pod(pod.id)


def eventually(look: Callable[[], T], seconds: float = 20.0) -> T:
    """What `look` gives once it is not nothing."""
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until, "it never came"
        pause(0.02)
    return found


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def printed(cloud: Cloud, pod: Pod, word: str) -> list[str]:
    """What the pod has printed, once a line of it is `word`."""

    def look() -> list[str]:
        lines = [line.text for line in cloud.logs(pod.id, "")]
        return lines if word in lines else []

    return eventually(look)


PYTHON = sys.executable
