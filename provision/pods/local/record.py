"""The record of a pod: what any process of this user has to know to list it, look at it, and end it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from provision.pods.local.process import MARK, Process, process_marked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RECORD = "pod.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A pod as it was ordered, and its process once that was started. Times are times of day in seconds."""

    name: str
    volume: str
    began: float
    deadline: float
    env: Mapping[str, str] = field(repr=False)
    process: Process | None = None


def write_record(folder: Path, record: Record) -> None:
    """`folder` holds `record`, from one moment to the next, for this user alone: it has secrets."""
    write_private(folder / RECORD, asdict(record))


def read_record(folder: Path) -> Record | None:
    """The record in `folder`; None where there is none. One that cannot be understood is of a pod all the same: it has
    no name, and its processes are those that bear its mark.
    """
    try:
        document = json.loads((folder / RECORD).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        document = None
    try:
        return _record(document)
    except (TypeError, KeyError):
        process = process_marked(f"{MARK}={folder.name}")
        return Record(name="", volume="", began=0.0, deadline=float("inf"), env={}, process=process)


def _record(document: Any) -> Record:
    """What a later release may have added is passed over."""
    known = {one.name: document[one.name] for one in fields(Record)}
    process = known["process"]
    if process is not None:
        known["process"] = Process(**{one.name: process[one.name] for one in fields(Process)})
    return Record(**known)


def write_private(path: Path, document: dict[str, Any]) -> None:
    """`path` holds `document`, whole or not at all, for this user alone."""
    partial = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(document, stream)
    partial.replace(path)
