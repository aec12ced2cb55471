"""This machine as a cloud: a process for a pod, a folder for a volume, and nothing to pay."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from provision.crew import Stop
from provision.errors import CloudRefused, CloudUnavailable, InputError, without_secrets
from provision.names import shown
from provision.pods import job
from provision.pods.cloud import ByHand, Datacenter, Kind, LogLine, Offer, Pod, Request, State, Stock
from provision.pods.errand import PUBLIC
from provision.pods.local.process import MARK, process_of
from provision.pods.local.record import Record, read_record, write_record
from provision.pods.local.volumes import DATACENTER, Volumes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from provision.pods.cloud import NetworkVolume, Order
    from provision.pods.local.process import Process

OFFER = Offer(kind=Kind.CPU, id="local", name="this machine", price=0.0, stock=Stock.HIGH)

KEPT = (
    "PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip
"""What a pod is told of its renter's environment: how to find programs and the network. No token is among it."""

OVERDUE = 60.0
"""Seconds after its deadline that a pod, which should have ended by itself, is let run."""

_GATE = ("/bin/sh", "-c", 'read -r open && exec "$@" </dev/null', "pod")
"""What a pod's process is first: it waits for a line, and ends without one. Whoever dies between starting a process and
writing down which one it is leaves none behind.
"""

_TRY = 0.1
"""Seconds between two looks at whether a process has ended, or a pod is free to be ended."""
_POLITE, _FORCED = 60, 30
"""Looks after SIGTERM, and after SIGKILL."""
_LOG, _LOCK = "log", "lock"
_LOG_LIMIT = 4 * 1024 * 1024


class Local:
    """Cloud on this machine. Everything is below `folder`; `environment` is the renter's, of which pods get KEPT.

    A volume's id is that of one made here, or the path of any folder: with a `/`, or `.`. A pod's processes are a
    session of their own and outlive the renter. Nobody watches over them, so that whoever looks ends what is overdue:
    a machine may have slept past a deadline. A pod that has ended is STOPPED, and is there, with its log, until it is
    deleted. The order's image, disk and port mean nothing here.
    """

    name = "local"

    def __init__(
        self,
        folder: Path,
        *,
        environment: Mapping[str, str],
        clock: Callable[[], float],
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._pods = folder.absolute() / "pods"
        self._volumes = Volumes(folder.absolute() / "volumes")
        self._environment, self._clock = environment, clock
        self._sleep = sleep or Stop().sleep

    def volumes(self) -> list[NetworkVolume]:
        """Those that were made here; not the folders of the user's."""
        with _faults():
            return self._volumes.all()

    def volume(self, volume_id: str) -> NetworkVolume | None:
        """As Cloud."""
        with _faults():
            return self._volumes.get(volume_id)

    def folder(self, volume: NetworkVolume) -> Path:
        """Where the volume's root is."""
        return self._volumes.place(volume)

    def create_volume(self, name: str, size: int, datacenter: str) -> NetworkVolume:
        """As Cloud. `size` is written down, not enforced."""
        if datacenter != DATACENTER:
            raise InputError(f"there is no data center `{shown(datacenter)}` here: there is `{DATACENTER}`")
        with _faults():
            return self._volumes.create(name, size)

    def resize_volume(self, volume_id: str, size: int) -> NetworkVolume:
        """As Cloud. Raises InputError for a folder of the user's, too."""
        with _faults():
            return self._volumes.resize(volume_id, size)

    def delete_volume(self, volume_id: str) -> None:
        """As Cloud. Raises InputError for a folder of the user's."""
        with _faults():
            self._volumes.delete(volume_id)

    def datacenters(self) -> list[Datacenter]:
        """The one."""
        return [Datacenter(id=DATACENTER, name="this machine")]

    def volume_price(self, size: int) -> float:  # noqa: ARG002 - the protocol's shape
        """Nothing."""
        return 0.0

    def offers(self, datacenter: str) -> list[Offer]:
        """The one."""
        return [OFFER] if datacenter == DATACENTER else []

    def create_pod(self, order: Order) -> Pod:
        """Start it. Raises CloudRefused where there is no such volume, or what is ordered cannot be started."""
        pod_id = secrets.token_hex(5)
        folder = self._pods / pod_id
        volume = self.volume(order.volume.id)
        if volume is None:
            raise CloudRefused(f"there is no volume `{shown(order.volume.id)}` on this machine")
        record = Record(
            name=order.name, volume=volume.id, began=self._clock(), deadline=order.deadline, env=dict(order.env)
        )
        with _faults(), ExitStack() as undo:
            for part in ("home", "tmp"):
                (folder / part).mkdir(mode=0o700, parents=True)
            folder.chmod(0o700)
            undo.callback(self._remove, folder)
            with self._alone(folder):
                write_record(folder, record)
                self._start(folder, order, record)
            undo.pop_all()
        return self._seen(pod_id, record, State.RUNNING)

    def pod(self, pod_id: str) -> Pod | None:
        """As Cloud."""
        folder = self._place(pod_id)
        with _faults():
            record = read_record(folder)
            return None if record is None else self._seen(pod_id, record, self._state(record))

    def pods(self) -> list[Pod]:
        """As Cloud."""
        with _faults():
            names = sorted(os.listdir(self._pods)) if self._pods.exists() else []  # noqa: PTH208 - names are wanted
        return [pod for name in names if (pod := self.pod(name)) is not None]

    def delete_pod(self, pod_id: str) -> None:
        """End its processes, SIGTERM first, and remove its folder. It is kept while a process of it is there."""
        folder = self._place(pod_id)
        with _faults(), suppress(FileNotFoundError), self._alone(folder):
            self._remove(folder)

    def logs(self, pod_id: str, after: str) -> Sequence[LogLine]:
        """As Cloud. An id is the byte at which the next line begins. What has no end yet waits for it."""
        begin = int(after) if after.isdecimal() else 0
        pod = self.pod(pod_id)
        if pod is None:
            return []
        with _faults(), (self._place(pod_id) / _LOG).open("rb") as stream:
            stream.seek(begin)
            data = stream.read(_LOG_LIMIT)
        return _lines(data, begin, has_ended=pod.state is State.STOPPED)

    def address(self, pod_id: str, port: int) -> str:  # noqa: ARG002 - the pod takes any port that is free
        """As Cloud. A pod that has ended has none: whoever listens there by now is somebody else."""
        pod = self.pod(pod_id)
        if pod is None or pod.state is not State.RUNNING:
            return ""
        try:
            number = int((self._place(pod_id) / "tmp" / pod.name / "port").read_text())
        except (OSError, ValueError):
            return ""
        return f"http://127.0.0.1:{number}"

    def by_hand(self, pod_id: str) -> ByHand:
        """As Cloud."""
        return ByHand(command=f"provision pod rm {pod_id} --cloud {self.name}" if pod_id else "", page="")

    def requests(self, order: Order) -> list[Request]:
        """As Cloud: what would be run, with all but plain settings of ours masked."""
        env = {name: without_secrets(value) if name in PUBLIC else "***" for name, value in sorted(order.env.items())}
        body = {"name": order.name, "command": list(order.command), "env": env, "volume": order.volume.id}
        return [Request(method="START", url=f"file://{self._pods}/", body=json.dumps(body, indent=2))]

    def _place(self, pod_id: str) -> Path:
        """Where the pod is; nowhere for what can be no pod's id."""
        return self._pods / (pod_id if pod_id.isalnum() else "-")

    @contextmanager
    def _alone(self, folder: Path) -> Iterator[None]:
        """Within, no other process makes or ends the pod in `folder`. Raises FileNotFoundError where there is none."""
        with (folder / _LOCK).open("w") as lock:
            for _ in range(_POLITE + _FORCED):
                if _is_locked(lock):
                    break
                self._sleep(_TRY)
            else:
                raise CloudUnavailable(f"pod {folder.name} is being started or ended by another process")
            yield

    def _start(self, folder: Path, order: Order, record: Record) -> None:
        waits, opens = os.pipe()
        with os.fdopen(opens, "wb") as gate:
            with os.fdopen(waits, "rb") as stdin, (folder / _LOG).open("ab") as log:
                process = subprocess.Popen(  # noqa: S603 - the order's own command
                    [*_GATE, *order.command],
                    cwd=folder / "tmp",
                    env=self._env(folder, order),
                    stdin=stdin,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            threading.Thread(target=process.wait, daemon=True).start()  # else its remains stay while we live
            known = process_of(process.pid, f"{MARK}={folder.name}")
            write_record(folder, replace(record, process=known))
            gate.write(b"open\n")

    def _env(self, folder: Path, order: Order) -> dict[str, str]:
        kept = {name: self._environment[name] for name in KEPT if name in self._environment}
        return {
            **kept,
            **order.env,
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            MARK: folder.name,
            job.VOLUME: str(self._volumes.place(order.volume)),
            job.PORT: "0",
            "PROVISION_MOUNT": "folder",
            "PROVISION_PYTHON": sys.executable,
        }

    def _state(self, record: Record) -> State:
        process = record.process
        if process is None or not process.is_alive:
            return State.STOPPED
        if self._clock() > record.deadline + OVERDUE:
            process.send(signal.SIGKILL)
        return State.RUNNING

    def _seen(self, pod_id: str, record: Record, state: State) -> Pod:
        return Pod(
            id=pod_id,
            name=record.name,
            state=state,
            is_up=state is State.RUNNING,
            price=OFFER.price,
            began=record.began,
            machine=OFFER.name,
            volume_id=record.volume,
            datacenter=DATACENTER,
            env=record.env,
        )

    def _remove(self, folder: Path) -> None:
        """The pod, once none of its processes is there: as long as one is, so is what is known of it."""
        record = read_record(folder)
        if record is None or record.process is None or self._ended(record.process):
            shutil.rmtree(folder, ignore_errors=True)  # another may be at it, too

    def _ended(self, process: Process) -> bool:
        for number, looks in ((signal.SIGTERM, _POLITE), (signal.SIGKILL, _FORCED)):
            process.send(number)
            for _ in range(looks):
                if not process.is_alive:
                    return True
                self._sleep(_TRY)
        return False


def _is_locked(lock: TextIO) -> bool:
    """Whether it could be taken: it is given back when `lock` is closed, by whatever."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lines(data: bytes, begin: int, *, has_ended: bool) -> list[LogLine]:
    """The lines in `data`, which begins at byte `begin`; a last one without an end where there will be none."""
    *lines, rest = data.splitlines(keepends=True) or [b""]
    is_cut = len(data) == _LOG_LIMIT
    if rest.endswith(b"\n") or (not lines if is_cut else has_ended and rest):
        lines.append(rest)
    found = []
    for line in lines:
        begin += len(line)
        found.append(LogLine(id=str(begin), text=line.decode(errors="replace").rstrip("\r\n")))
    return found


@contextmanager
def _faults() -> Iterator[None]:
    """Within, what the system refuses is refused by the cloud."""
    try:
        yield
    except (OSError, ValueError) as error:
        detail = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        raise CloudRefused(f"this machine refuses: {shown(detail, 300)}") from error
