"""The record of a pod: what any process of this user has to know to list it, look at it, and end it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from provision.pods.local.process import Process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

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
    """The record in `folder`; None where there is none, or it cannot be understood."""
    try:
        document = json.loads((folder / RECORD).read_bytes())
        process = document.pop("process")
        return Record(**document, process=None if process is None else Process(**process))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_private(path: Path, document: dict[str, Any]) -> None:
    """`path` holds `document`, whole or not at all, for this user alone."""
    partial = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(document, stream)
    partial.replace(path)
