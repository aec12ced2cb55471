"""The status of a pod's job: one small JSON document, made in the pod and read by whoever watches.

It comes through a public proxy, through logs, or from the volume, so that a reader takes nothing in it for granted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from provision.errors import PodError

SCHEMA = 1
LIMIT = 1024 * 1024
"""Bytes of a status; more is none."""

LARGEST = 2**63 - 1
"""Nothing counts or measures more; what says so is none."""

LINE = "provision-status: "
"""What a line of the pod's log begins with that carries a status, in one line of JSON."""

RESULT_LINE = "provision-result: "
"""What a line of the pod's log begins with that carries a part of the result: `2/9 BASE64`, counted from 1; all parts
together are the gzipped JSON of the result.
"""

_NAMES = 64
_TEXT = 2000


class Phase(StrEnum):
    """Where a job is."""

    WAITING = "waiting"  # for the volume to be mounted
    INSTALLING = "installing"
    FILLING = "filling"
    VERIFYING = "verifying"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A file that is being worked on, in bytes."""

    name: str
    size: int
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What had become of a phase when it was over, in bytes."""

    phase: Phase
    total: int
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A job as it stands. Times are times of day in seconds, by the pod's clock; sizes are bytes.

    `total`, `done`, `rate`, `running` and `finished` (files) are about the phase, `past` about those before. `starts`:
    how often the container was started. `notes` are the last things that the commands said. `exit_code`, `error` and
    `hint` are there once the job has ended; `counts` once files were verified: how many are in which state.
    """

    lease: str
    phase: Phase
    began: float
    now: float
    deadline: float
    starts: int = 1
    total: int = 0
    done: int = 0
    rate: float = 0.0
    finished: int = 0
    running: tuple[Running, ...] = ()
    past: tuple[Past, ...] = ()
    notes: tuple[str, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()
    exit_code: int | None = None
    error: str = ""
    hint: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.phase is Phase.ENDED


def status_document(status: Status) -> dict[str, Any]:
    """The document of `status`."""
    return {
        "schema": SCHEMA,
        "lease": status.lease,
        "phase": status.phase.value,
        "began": status.began,
        "now": status.now,
        "deadline": status.deadline,
        "starts": status.starts,
        "total": status.total,
        "done": status.done,
        "rate": status.rate,
        "finished": status.finished,
        "running": [{"name": file.name, "size": file.size, "done": file.done} for file in status.running],
        "past": [{"phase": past.phase.value, "total": past.total, "done": past.done} for past in status.past],
        "notes": list(status.notes),
        "counts": dict(status.counts),
        "exit_code": status.exit_code,
        "error": status.error,
        "hint": status.hint,
    }


def read_status(text: bytes | str) -> Status:
    """The status that `text` tells.

    Raises:
        PodError: it is none, or of a release whose statuses are not understood here.
    """
    try:
        document = json.loads(text[: LIMIT + 1])
        return _status(document if document["schema"] == SCHEMA else {})
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, AttributeError):
        raise PodError("what the pod says of itself is not understood here") from None


def _status(document: dict[str, Any]) -> Status:
    code = document.get("exit_code")
    return Status(
        lease=_text(document["lease"]),
        phase=Phase(document["phase"]),
        began=_number(document["began"]),
        now=_number(document["now"]),
        deadline=_number(document["deadline"]),
        starts=_count(document.get("starts", 1)),
        total=_count(document.get("total", 0)),
        done=_count(document.get("done", 0)),
        rate=_number(document.get("rate", 0.0)),
        finished=_count(document.get("finished", 0)),
        running=tuple(_running(file) for file in document.get("running", [])[:_NAMES]),
        past=tuple(_past(past) for past in document.get("past", [])[:_NAMES]),
        notes=tuple(_text(note) for note in document.get("notes", [])[:_NAMES]),
        counts=tuple((_text(name), _count(count)) for name, count in list(document.get("counts", {}).items())[:_NAMES]),
        exit_code=None if code is None else min(_count(code), 255),
        error=_text(document.get("error", "")),
        hint=_text(document.get("hint", "")),
    )


def _running(file: dict[str, Any]) -> Running:
    return Running(name=_text(file["name"]), size=_count(file["size"]), done=_count(file["done"]))


def _past(past: dict[str, Any]) -> Past:
    return Past(phase=Phase(past["phase"]), total=_count(past["total"]), done=_count(past["done"]))


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        raise TypeError
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        raise TypeError
    return float(value)


def _text(value: object) -> str:
    """Text that can be printed on a terminal whatever a pod sends."""
    if not isinstance(value, str):
        raise TypeError
    return "".join(letter if letter.isprintable() else " " for letter in value[:_TEXT])
