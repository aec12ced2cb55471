"""What an attendant is given: a job in a folder, a volume, a time by which it has to be over. Values, read once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from provision.errors import PodError
from provision.pods.job import JOB, SCHEMA, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
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
    """What `job.json` asks for: see `provision.pods.job.Job`."""

    task: Task
    projects: tuple[str, ...]
    fill: tuple[str, ...]
    verify: tuple[str, ...]
    reports: tuple[str, ...]


def read_errand(work: Path) -> Errand:
    """The errand in the folder `work`.

    Raises:
        PodError: there is none, or it is not understood.
    """
    try:
        document: dict[str, Any] = json.loads((work / JOB).read_bytes())
        if document["schema"] != SCHEMA:
            raise ValueError("schema")  # noqa: TRY301 - told as all else below
        return Errand(
            task=Task(document["task"]),
            projects=_words(document["projects"]),
            fill=_words(document["fill"]),
            verify=_words(document["verify"]),
            reports=_words(document["reports"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PodError(
            f"the job of this pod cannot be read ({type(error).__name__})",
            hint="the pod's release and the renter's must be the same: see PROVISION_PACKAGE",
        ) from error


def _words(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise TypeError
    return tuple(value)
