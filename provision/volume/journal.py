"""The journal of a partial: which pieces its writer has seen go by, and with which digests. No I/O.

JSON lines. The first says which promise the partial is for and who writes it; the others name a piece, or say that all
pieces that the first so many bytes of the journal name are flushed:

    {"version":2,"target":…,"sha256":…,"size":…,"piece_size":…,"owner":{"boot":…,"pidns":…,"pid":…,"started":…}}
    {"i":0,"xxh3":…}
    {"flushed":251}

A line is taken back by writing TAKEN_BACK over its first byte.

A journal is never proof. Whoever resumes reads each piece again and believes only bytes that have the digest, so one
that lies, by damage, by malice or by a power cut, costs bytes from a hub and nothing else. So a line that is garbled
costs its piece; and whose journal it is, its name says: a first line that is garbled costs the knowledge of who writes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from provision.digest import PIECE_SIZE, piece_count, piece_span
from provision.names import PARTIAL_PREFIX
from provision.volume.writer import Owner, owner_from

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from provision.lock import LockedFile

JOURNAL_VERSION = 2
JOURNAL_LIMIT = 32 * 1024 * 1024
"""Bytes of a journal that are read: enough for the pieces of a file of 5 TB."""

TAKEN_BACK = b"#"
"""Over the first byte of a line: it is none any more. One byte, so that no power cut leaves half of it."""

_HEAD_LIMIT = 64 * 1024  # bytes: a target of 4 KiB, every byte of it escaped
_LINE = re.compile(rb'\{"i":([0-9]{1,9}),"xxh3":"([0-9a-f]{32})"\}\n|\{"flushed":([0-9]{1,9})\}\n')
_JOURNAL = re.compile(r"([0-9a-f]{16})\.([0-9a-f]{8})\.journal")
_PARTIAL = re.compile(re.escape(PARTIAL_PREFIX) + r"([0-9a-f]{16})\.([0-9a-f]{8})\.partial")


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """What could be read of a journal.

    `pieces` are the digests it names, by index; `places` says where in it the line of each begins. `flushed`: so many
    of its bytes name only what a flush has vouched for. `length`: so many are whole lines; what follows was cut.
    """

    owner: Owner
    pieces: Mapping[int, str]
    places: Mapping[int, int]
    flushed: int
    length: int

    @property
    def flushed_pieces(self) -> dict[int, str]:
        """Those of the pieces that a flush has vouched for."""
        return {index: digest for index, digest in self.pieces.items() if self.places[index] < self.flushed}

    def cut(self) -> Journal:
        """What is left of it when everything is cut off that no flush has vouched for."""
        pieces = self.flushed_pieces
        places = {index: self.places[index] for index in pieces}
        return replace(self, pieces=pieces, places=places, length=self.flushed)


NO_JOURNAL = Journal(owner=Owner(), pieces={}, places={}, flushed=0, length=0)
"""What is known where there is none."""


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


def flushed_line(length: int) -> bytes:
    """The line that says that all pieces that the first `length` bytes name are flushed."""
    return _line({"flushed": length})


def text_of(file: LockedFile, owner: Owner, pieces: Mapping[int, str], flushed: Mapping[int, str]) -> bytes:
    """A whole journal that names `pieces`; those that are in `flushed` too are said to be that."""
    lines = {index: piece_line(index, digest) for index, digest in pieces.items()}
    first = b"".join([head_line(file, owner), *(line for index, line in lines.items() if index in flushed)])
    rest = [line for index, line in lines.items() if index not in flushed]
    return b"".join([first, flushed_line(len(first)), *rest])


def parse(data: bytes, file: LockedFile) -> Journal:
    """What `data`, the journal that has the name of `file`, says: every line that could be one of ours counts.

    Lines that repeat an index (the later counts), name a piece that the file does not have, or say of lines to come
    that they are flushed, do no harm. The owner is believed when the first line is as `head_line` makes it.
    """
    head, owner = _head(data, file)
    count, pieces, places, flushed = piece_count(file.size), {}, {}, head
    for line in _LINE.finditer(data, 0, JOURNAL_LIMIT):
        number = int(line[1] or line[3])
        if line[3] and number <= line.start():
            flushed = max(flushed, number)
        elif line[1] and number < count:
            pieces[number], places[number] = line[2].decode(), line.start()
    length = data.rfind(b"\n", 0, JOURNAL_LIMIT) + 1
    return Journal(owner=owner, pieces=pieces, places=places, flushed=flushed, length=length)


def _head(data: bytes, file: LockedFile) -> tuple[int, Owner]:
    """How many bytes the first line has, and whom it names; none and nobody when it is not for `file`."""
    length = data.find(b"\n", 0, _HEAD_LIMIT) + 1
    try:
        document = json.loads(data[:length])
    except (ValueError, RecursionError):
        return 0, Owner()
    if not isinstance(document, dict) or any(document.get(key) != value for key, value in _promise(file).items()):
        return 0, Owner()
    return length, owner_from(document.get("owner"))


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
