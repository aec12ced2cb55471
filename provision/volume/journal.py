"""The journal of a partial: which pieces its writer has seen go by, and with which digests. No I/O.

JSON lines. The first says which promise the partial is for and who writes it, each other one names a piece:

    {"version":2,"target":…,"sha256":…,"size":…,"piece_size":…,"owner":{"boot":…,"pidns":…,"pid":…,"started":…}}
    {"i":0,"xxh3":…}

A journal is never proof. Whoever resumes reads each piece again and believes only bytes that have the digest, so one
that lies, by damage, by malice or by a power cut, costs bytes from a hub and nothing else.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from provision.digest import PIECE_SIZE, is_piece_digest, piece_count, piece_span
from provision.names import PARTIAL_PREFIX
from provision.volume.writer import Owner, owner_from

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from provision.lock import LockedFile

JOURNAL_VERSION = 2
JOURNAL_LIMIT = 32 * 1024 * 1024
"""Bytes of a journal that are read: enough for the pieces of a file of 5 TB."""

_JOURNAL = re.compile(r"([0-9a-f]{16})\.([0-9a-f]{8})\.journal")
_PARTIAL = re.compile(re.escape(PARTIAL_PREFIX) + r"([0-9a-f]{16})\.([0-9a-f]{8})\.partial")


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """What could be read of a journal. `length` is how many of its bytes that was: what follows is garbled."""

    owner: Owner
    pieces: Mapping[int, str]
    length: int


def key_of(file: LockedFile) -> str:
    """What the names of a file's partials share: one promise (target and bytes), one key."""
    return _key(file.target, file.sha256)


@lru_cache(maxsize=64)  # asked for several times while a file is fetched
def _key(target: str, digest: str) -> str:
    return sha256(f"{target}\0{digest}".encode()).hexdigest()[:16]


def journal_name(key: str, writer: str) -> str:
    """The name of `writer`'s journal for `key`, in `.provision/partials`."""
    return f"{key}.{writer}.journal"


def partial_name(key: str, writer: str) -> str:
    """The name of `writer`'s partial for `key`, in the folder of the target."""
    return f"{PARTIAL_PREFIX}{key}.{writer}.partial"


def journals_among(names: Iterable[str]) -> dict[str, list[str]]:
    """The writers of the journals among `names`, by key; other names are passed over."""
    return _writers_by_key(_JOURNAL, names)


def partials_among(names: Iterable[str]) -> dict[str, list[str]]:
    """The writers of the partials among `names`, by key; other names are passed over."""
    return _writers_by_key(_PARTIAL, names)


def _writers_by_key(pattern: re.Pattern[str], names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for match in filter(None, map(pattern.fullmatch, sorted(names))):
        found.setdefault(match[1], []).append(match[2])
    return found


def head_line(file: LockedFile, owner: Owner) -> bytes:
    """The first line of a journal for `file`."""
    return _line({**_promise(file), "owner": owner.document()})


def piece_line(index: int, digest: str) -> bytes:
    """The line that says that piece `index` has `digest`."""
    return _line({"i": index, "xxh3": digest})


def parse(data: bytes, file: LockedFile) -> Journal:
    """What `data` says about `file`: the longest valid prefix, and nothing when it is about another promise.

    Lines that end too early, repeat an index (the later counts) or name a piece that the file does not have do no harm.
    """
    head, pieces, length = None, {}, 0
    for line in data[:JOURNAL_LIMIT].splitlines(keepends=True):
        document = _object(line)
        if document is None:
            break
        if head is None:
            if any(document.get(key) != value for key, value in _promise(file).items()):
                break
            head = document
        elif (piece := _piece(document, file.size)) is not None:
            pieces[piece[0]] = piece[1]
        else:
            break
        length += len(line)
    return Journal(owner=owner_from(head and head.get("owner")), pieces=pieces, length=length)


def within(pieces: Mapping[int, str], size: int, length: int) -> dict[int, str]:
    """Those of the `pieces` of a file of `size` bytes that end within its first `length` bytes."""
    return {index: digest for index, digest in pieces.items() if piece_span(index, size)[1] <= length}


def bytes_of(pieces: Iterable[int], size: int) -> int:
    """How many bytes `pieces` of a file of `size` bytes are."""
    return sum(end - begin for begin, end in (piece_span(index, size) for index in pieces))


def keeps_journal(file: LockedFile) -> bool:
    """Whether a partial of `file` has a journal: not with a single piece, which is whole or proves nothing."""
    return piece_count(file.size) > 1


def _promise(file: LockedFile) -> dict[str, Any]:
    return {
        "version": JOURNAL_VERSION,
        "target": file.target,
        "sha256": file.sha256,
        "size": file.size,
        "piece_size": PIECE_SIZE,
    }


def _line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any] | None:
    """The object on a whole line. One without its line feed was cut, whatever it looks like."""
    if not line.endswith(b"\n"):
        return None
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _piece(document: Mapping[str, Any], size: int) -> tuple[int, str] | None:
    index, digest = document.get("i"), document.get("xxh3")
    if type(index) is int and 0 <= index < piece_count(size) and is_piece_digest(digest):
        return index, str(digest)
    return None
