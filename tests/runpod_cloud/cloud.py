"""RunPodCloud: the stand-in as one thing, started and ended."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from runpod_cloud.account import Account, Charge, Dials
from runpod_cloud.answers import RefusedError
from runpod_cloud.faults import Faults
from runpod_cloud.machines import Catalog
from runpod_cloud.pods import Pod
from runpod_cloud.server import Request, Server
from runpod_cloud.volumes import Volume

TICK_SECONDS = 0.05
GIGABYTE = 10**9


class RunPodCloud:
    """A RunPod of one's own on 127.0.0.1, as a context manager; nothing of it is left behind.

    `keys` are the account's API keys; `clock` tells the time of day that bills and deadlines go by; `volume_gigabyte`
    is how many bytes of a volume's folder count as one GB of its size.
    """

    def __init__(
        self, keys: Sequence[str] = ("rpa_KEY",), clock: Callable[[], float] = time.time,
        volume_gigabyte: int = GIGABYTE,
    ) -> None:  # fmt: skip
        self.folder = Path(tempfile.mkdtemp(prefix="runpod-cloud-"))
        self.keys = list(keys)
        self.account = Account(self.folder, clock)
        self.faults = Faults()
        self.requests: list[Request] = []
        self.mistakes: list[BaseException] = []
        self.closed = threading.Event()
        self.volume_gigabyte = volume_gigabyte
        self._due: list[tuple[float, Callable[[], object]]] = []
        self._server = Server(self)
        self.account.base_url = self.url
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True),
            threading.Thread(target=self._look_after, daemon=True),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where both APIs are."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def pod_url(self) -> str:
        """Where a port of a pod is served, as a template of `{pod}` and `{port}`."""
        return f"{self.url}/proxy/{{pod}}/{{port}}"

    @property
    def environment(self) -> dict[str, str]:
        """What the process of somebody who rents here needs."""
        return {
            "RUNPOD_API_KEY": self.keys[0], "RUNPOD_API_BASE_URL": self.url, "PROVISION_POD_URL": self.pod_url,
            "NO_PROXY": "127.0.0.1,localhost",
        }  # fmt: skip

    @property
    def dials(self) -> Dials:
        """What can be turned."""
        return self.account.dials

    @property
    def catalog(self) -> Catalog:
        """What there is to rent."""
        return self.account.catalog

    @property
    def capacity(self) -> dict[tuple[str, str], int]:
        """(machine, data center) -> how many there are; see `Catalog.capacity`."""
        return self.account.catalog.capacity

    @property
    def image(self) -> dict[str, str]:
        """What the image of every pod sets in its environment."""
        return self.account.image

    @property
    def pods(self) -> list[Pod]:
        """The pods that are rented now."""
        self.account.listed()  # those that are over go
        with self.account.lock:
            return [pod for pod in self.account.pods.values() if pod.gone is None]

    @property
    def all_pods(self) -> list[Pod]:
        """Those that are gone too, oldest first."""
        with self.account.lock:
            return sorted([*self.account.former, *self.account.pods.values()], key=lambda pod: pod.rented)

    def asked(self, *operations: str) -> list[Request]:
        """The requests for these operations (ids of v2, fields of GraphQL), in their order."""
        return [request for request in list(self.requests) if request.operation in operations]

    def bill(self) -> list[Charge]:
        """What each pod has cost so far."""
        return self.account.charges()

    def over_quota(self) -> list[Volume]:
        """The volumes that hold more than their size."""
        volumes = list(self.account.volumes.values())
        return [volume for volume in volumes if volume.used() > volume.size * self.volume_gigabyte]

    def create_volume(self, name: str = "models", size: int = 50, datacenter: str = "EU-RO-1") -> Volume:
        """A volume, without asking for it by HTTP."""
        return self.account.create_volume(name, size, datacenter)

    def vanish(self, pod_id: str) -> None:
        """The pod is lost with its machine: all at once, and nothing tells of it any more."""
        pod = self.account.pod(pod_id)
        if pod is not None and pod.gone is None:
            pod.container.kill()
            self.account.terminate(pod_id)

    def later(self, seconds: float, doing: Callable[[], object]) -> None:
        """Do that in a while."""
        self._due.append((time.monotonic() + seconds, doing))

    def alive(self) -> dict[str, list[int]]:
        """Pod -> ids of its processes, of all pods there ever were that have any."""
        found = {pod.id: pod.container.processes() for pod in self.all_pods}
        return {pod: processes for pod, processes in found.items() if processes}

    def assert_clean(self, seconds: float = 5.0) -> None:
        """No pod is rented, and no process of one is alive; those that were told to end have `seconds` for it."""
        assert not self.pods, f"still rented: {[(pod.id, pod.order.name, pod.status) for pod in self.pods]}"
        until = time.monotonic() + seconds
        while self.alive() and time.monotonic() < until:
            time.sleep(0.02)
        assert not self.alive(), f"still running: {self.alive()}"

    def close(self) -> None:
        """End it: every process that it started is killed, and its folders are gone. Shows mistakes of its own."""
        if self.closed.is_set():
            return
        self.closed.set()
        if self._threads[0].is_alive():
            self._server.shutdown()
            self._threads[1].join(10)
        self._server.server_close()
        with self.account.lock:
            self.account.is_closed = True
        for pod in self.all_pods:
            pod.container.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.mistakes:
            raise self.mistakes[0]

    def _look_after(self) -> None:
        while not self.closed.wait(TICK_SECONDS):
            try:
                self.account.look_after()
                now = time.monotonic()
                for entry in [entry for entry in self._due if entry[0] <= now]:
                    self._due.remove(entry)
                    entry[1]()
            except RefusedError:  # the pod was given back just now
                continue
            except Exception as error:  # noqa: BLE001 - shown when it closes
                self.mistakes.append(error)
