"""The marker: what the volume keeps of a job, so that a container that is started again does no work twice, and so that
a job can be looked at without its pod. A volume that cannot keep it is told of, and harms no job.
"""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from provision.errors import PodError, ProvisionError
from provision.pods.lease import lease_of
from provision.pods.status import LIMIT, Phase, Status, read_status, status_document
from provision.volume.mount import Volume

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from provision.volume.paths import Folder

JOBS = "jobs"
"""The folder, below `.provision`."""

STATUS, RESULT = ".json", ".result.json"
KEPT = 20
"""Of so many last jobs something is kept."""

RESULT_LIMIT = 256 * 1024 * 1024
PATIENCE = 20.0
"""Seconds that a volume is waited for at the end."""


class Marker:
    """The marker of `lease` on the volume at `path`."""

    def __init__(self, path: str, lease: str) -> None:
        self._path, self._lease = path, lease
        self._volume: Volume | None = None

    def read(self) -> tuple[Status, bytes | None] | None:
        """The status that was kept, and the result where there is one; None when there is no marker to be read."""
        try:
            with self._jobs() as jobs:
                status, result = _content(jobs, self._lease + STATUS, LIMIT), None
                if status is not None:
                    result = _content(jobs, self._lease + RESULT, RESULT_LIMIT)
            return None if status is None else (read_status(status), result)
        except ProvisionError:
            return None  # as if there were none: the work is done again, which does no harm

    def write(self, status: bytes, result: bytes | None) -> None:
        """Keep both. Raises VolumeError."""
        with self._jobs() as jobs:
            if result is not None:
                jobs.write_file(self._lease + RESULT, result)
            jobs.write_file(self._lease + STATUS, status)
            if result is not None:
                _prune(jobs)

    def _jobs(self) -> Folder:
        if self._volume is None:
            self._volume = Volume.open(self._path)
        self._volume.check_attached()
        return self._volume.made_state(JOBS)


def _content(jobs: Folder, name: str, limit: int) -> bytes | None:
    file = jobs.open_file(name)
    if file is None:
        return None
    with file:
        return file.read_at(0, limit)


def _prune(jobs: Folder) -> None:
    """Take away what is left of all but the last jobs. Names that are no lease's are left alone."""
    began: dict[str, int] = {}
    names = jobs.names()
    for name in names:
        lease = lease_of(_stem(name))
        if lease is not None:
            began[_stem(name)] = lease.began
    old = set(sorted(began, key=lambda stem: began[stem])[:-KEPT])
    for name in names:
        if _stem(name) in old:
            jobs.unlink(name)


def _stem(name: str) -> str:
    return name.removesuffix(RESULT) if name.endswith(RESULT) else name.removesuffix(STATUS)


class Keeper:
    """Writes the marker from a thread of its own: a volume may take minutes for it. Of statuses that come faster than
    they can be written, the last counts. `tell` gets what went wrong, once.
    """

    def __init__(self, marker: Marker, tell: Callable[[str], None]) -> None:
        self._marker, self._tell = marker, tell
        self._change = threading.Condition()
        self._pending: tuple[Status, bytes | None] | None = None
        self._is_busy = False
        self._told = ""
        threading.Thread(target=self._serve, daemon=True).start()

    def keep(self, status: Status, result: bytes | None = None) -> None:
        """Write these as soon as may be."""
        with self._change:
            self._pending = (status, result)
            self._change.notify_all()

    def flush(self, seconds: float = PATIENCE) -> bool:
        """Wait, no longer than `seconds`, until nothing is left to be written; whether that is so."""
        with self._change:
            return self._change.wait_for(lambda: self._pending is None and not self._is_busy, seconds)

    def _serve(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._pending is not None)
                pending, self._pending = self._pending, None
                self._is_busy = True
            if pending is not None:
                self._write(*pending)
            with self._change:
                self._is_busy = False
                self._change.notify_all()

    def _write(self, status: Status, result: bytes | None) -> None:
        try:
            self._marker.write(status_bytes(status), result)
            self._told = ""
        except ProvisionError as error:
            if error.message != self._told:
                self._told = error.message
                self._tell(f"the status of this job cannot be kept on the volume: {error.message}")


def status_bytes(status: Status) -> bytes:
    """The document of `status`."""
    return json.dumps(status_document(status)).encode()


def keep_here(work: Path, status: Status, result: bytes, tell: Callable[[str], None]) -> None:
    """The same beside the job, on the container's own disk: what a full volume cannot keep. Where that disk is full,
    `tell` gets to know, and that the job has ended stands there all the same: a name without a content.
    """
    try:
        (work / "result.json").write_bytes(result)
        (work / "ended.tmp").write_bytes(status_bytes(status))
        (work / "ended.tmp").replace(work / "ended")
    except OSError as error:
        tell(f"the result cannot be kept in the pod: {error.strerror}")
        with suppress(OSError):
            (work / "ended").touch()


def ended_before(work: Path, marker: Marker) -> tuple[Status, bytes] | None:
    """The status and the result of a job that had ended before this container was started; else None."""
    try:
        here = read_status((work / "ended").read_bytes())
        return here, (work / "result.json").read_bytes()
    except (OSError, PodError):
        kept = marker.read()
    if kept is None or kept[0].phase is not Phase.ENDED or kept[1] is None:
        return None
    return kept[0], kept[1]
