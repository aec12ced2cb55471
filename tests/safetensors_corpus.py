"""Named edge cases of the safetensors format, and the `safetensors` library as their judge."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import safetensors

if TYPE_CHECKING:
    from pathlib import Path

    from provision.tensorfile import FaultKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The start of a file, its whole size (what is missing is zeros) and the verdict: a kind of fault, or None."""

    name: str
    head: bytes
    file_size: int
    kind: FaultKind | None = None
    rule: str = ""  # where the library accepts and we do not: what the format says

    def __str__(self) -> str:
        return self.name


def file(name: str, json: str | bytes, data: int = 0, kind: FaultKind | None = None, rule: str = "") -> Case:
    """A file with this JSON and `data` bytes after it."""
    text = json.encode() if isinstance(json, str) else json
    head = struct.pack("<Q", len(text)) + text
    return Case(name=name, head=head, file_size=len(head) + data, kind=kind, rule=rule)


def raw(name: str, head: bytes, kind: FaultKind, file_size: int | None = None) -> Case:
    """A file with these first bytes."""
    return Case(name=name, head=head, file_size=len(head) if file_size is None else file_size, kind=kind)


def entry(dtype: str = "U8", shape: str = "[1]", offsets: str = "[0,1]", more: str = "") -> str:
    """The description of one tensor; by default it is legal and takes the first byte of the data."""
    return f'{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}{more}}}'


def one(name: str, described: str, data: int = 1, kind: FaultKind | None = None, rule: str = "") -> Case:
    """A file whose only tensor, `a`, is described like this."""
    return file(name, f'{{"a":{described}}}', data, kind, rule)


def library_refuses(case: Case, folder: Path) -> str:
    """Why the library refuses the file, or "" if it opens it. The file is sparse: a size of gigabytes costs nothing."""
    path = folder / "judged.safetensors"
    with path.open("wb") as stream:
        stream.write(case.head[: case.file_size])
        stream.truncate(case.file_size)
    try:
        with safetensors.safe_open(path, framework="np"):
            return ""
    except safetensors.SafetensorError as fault:
        return str(fault)
    except ModuleNotFoundError:  # the header is checked before numpy is imported, and numpy need not be here
        return ""
