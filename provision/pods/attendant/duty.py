"""What an attendant is given: a job in a folder, a volume, a time by which it has to be over. Values, read once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from provision.errors import PodError
from provision.lock import LOCK_SUFFIX
from provision.pods.job import JOB, MANIFESTS, SCHEMA, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Everything from outside. `work` is the folder of the unpacked parcel; `starts` counts how often the container was
    started, `began` when it was first, as far as the script knows.

    `deadline` is a time of day in seconds, `clock` tells that time and `ticks` one that never goes back. For `grace`
    seconds after the end the result is served. `emit` prints a line. `is_stopped` turns true when the platform wants
    the process to go. `environment` is what the commands get.
    """

    work: Path
    lease: str
    volume: str
    deadline: float
    starts: int
    began: float
    grace: float
    token: str = field(repr=False)
    host: str
    port: int
    price: float | None
    python: str
    environment: Mapping[str, str] = field(repr=False)
    clock: Callable[[], float]
    ticks: Callable[[], float]
    emit: Callable[[str], None]
    is_stopped: Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What `job.json` asks for: see `provision.pods.job.Job`. `digests`: the sha256 of each lock's text, by project."""

    task: Task
    projects: tuple[str, ...]
    fill: tuple[str, ...]
    verify: tuple[str, ...]
    reports: tuple[str, ...]
    digests: Mapping[str, str] = field(default_factory=dict)


def read_errand(work: Path) -> Errand:
    """The errand in the folder `work`.

    Raises:
        PodError: there is none, or it is not understood.
    """
    try:
        document: dict[str, Any] = json.loads((work / JOB).read_bytes())
        if document["schema"] != SCHEMA:
            raise ValueError("schema")  # noqa: TRY301 - told as all else below
        projects = _words(document["projects"])
        return Errand(
            task=Task(document["task"]),
            projects=projects,
            digests=_digests(work / MANIFESTS, projects),
            fill=_words(document["fill"]),
            verify=_words(document["verify"]),
            reports=_words(document["reports"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PodError(
            f"the job of this pod cannot be read ({type(error).__name__})",
            hint="the pod's release and the renter's must be the same: see PROVISION_PACKAGE",
        ) from error


def _digests(manifests: Path, projects: Sequence[str]) -> dict[str, str]:
    """Of the locks that are there; what is missing is for the commands to tell."""
    locks = {project: manifests / f"{project}{LOCK_SUFFIX}" for project in projects}
    return {project: sha256(lock.read_bytes()).hexdigest() for project, lock in locks.items() if lock.is_file()}


def _words(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise TypeError
    return tuple(value)
