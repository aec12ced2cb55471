"""A pod's log as RunPod streams it: server-sent events, of which the last may be cut. Pure.

Each event has an `id` to go on from and JSON with `source`, `ts` and `line` (docs.runpod.io, api-reference-v2, "Stream
pod logs"); the format is the HTML standard's (§9.2.6).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from provision.pods.cloud import LogLine

if TYPE_CHECKING:
    from collections.abc import Iterator

TAIL = 5000
"""Most lines that are given at once of what has been before."""

_ID = re.compile(r"[!-~]{1,200}")
_LINE_END = re.compile(r"\r\n|\n|\r")
_EVENT_END = re.compile(r"(?:\r\n|\n|\r){2}")


def lines_of(stream: bytes, after: str) -> list[LogLine]:
    """The lines of `stream`, without an event that is not complete, and without those up to the id `after`.

    A stream that goes on "from" an id may begin with it, or after it.
    """
    events = _EVENT_END.split(stream.decode(errors="replace"))[:-1]
    lines = [line for event in events for line in _lines(event)]
    known = [number for number, line in enumerate(lines) if after and line.id == after]
    return lines[known[-1] + 1 :] if known else lines


def _lines(event: str) -> Iterator[LogLine]:
    fields = [line.partition(":") for line in _LINE_END.split(event)]
    data = "\n".join(value.removeprefix(" ") for name, _, value in fields if name == "data")
    given = [value.strip() for name, _, value in fields if name == "id"]
    told = _told(data)
    if isinstance(told, dict) and isinstance(told.get("line"), str) and told.get("source", "container") == "container":
        name = given[-1] if given else told.get("ts")
        known = isinstance(name, str) and _ID.fullmatch(name)
        yield LogLine(id=str(name) if known else "", text=told["line"].rstrip("\r\n"))


def _told(data: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
