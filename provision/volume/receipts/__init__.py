"""Receipts: what a completed transfer or a full verification proved about a file, kept on the volume.

Each process appends JSON lines to a file of its own in `.provision/receipts`: no two ever write to one, and there are
few. The newest receipt of a target counts. One that is missing, cut or not fit to be believed only means that its file
is unproven and is read again; so whatever is doubtful is passed over.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from provision.digest import is_sha256, piece_count
from provision.errors import UnsafePath, VolumeError, VolumeTrouble
from provision.lock import SIZE_LIMIT
from provision.names import STATE_FOLDER, target_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

    from provision.lock import LockedFile
    from provision.volume.view import Facts, Readable, View

RECEIPTS = "receipts"
"""The state folder that holds the receipts."""

NEVER = 1
"""A time of change that no file has: one nanosecond after the epoch."""

FILES_LIMIT = 1_000
"""How many files of receipts are read, the newest ones."""

FILE_LIMIT = 32 * 1024 * 1024
"""Bytes; a larger file of receipts is none of ours. A writer begins a new one at a quarter of it."""

TOTAL_LIMIT = 256 * 1024 * 1024
"""Bytes of receipts that are read in all, the newest ones."""

LINE_LIMIT = 16 * 1024 * 1024
"""Bytes of digests that a receipt holds at most: those of the pieces of a file of 4 TB."""

_REST_LIMIT = 64 * 1024  # bytes of a line without its digests: a target of 4 KiB, every byte of it escaped
_SHORT = 4 * 1024  # bytes of a line that is parsed together with others

INDEX = "index.txt"
"""The file of the folder that names its files of receipts, one on a line, for those who cannot list it."""

_FUTURE = 10 * 365 * 86_400.0  # seconds; a later date is damage, not a clock that is ahead
_RACY = 2.0  # seconds
_AT_ONCE = 256  # lines

_NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}\.jsonl")
_HEX = re.compile(r"[0-9a-f]*")
_DIGESTS = re.compile(rb',"xxh3":"([0-9a-f]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """At `proven_at` (seconds since the epoch) the file at `target` had this sha256, and the file system gave it
    this size, time of change and inode (0: not recorded).

    `piece_digests` are those of its pieces, one after another in one text; "" when it has only one, or they were
    not taken. `header_sha256` is of the safetensors header, where there is one.
    """

    target: str
    sha256: str
    size: int
    mtime_ns: int
    proven_at: float
    piece_digests: str = ""
    header_sha256: str | None = None
    inode: int = 0

    @property
    def pieces(self) -> tuple[str, ...]:
        """The digest of each piece; none when there is only one, or they were not taken."""
        return tuple(self.piece_digests[at : at + 32] for at in range(0, len(self.piece_digests), 32))


def receipt_of(file: LockedFile, found: Facts, pieces: Sequence[str], proven_at: float) -> Receipt:
    """The receipt for bytes that were all read and are what `file` promises.

    `found` is what the file system said of these very bytes, `pieces` are the digests of all pieces, `proven_at` is in
    seconds since the epoch.
    """
    return Receipt(
        target=file.target,
        sha256=file.sha256,
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
        inode=found.st_ino,
        proven_at=proven_at,
        piece_digests=joined(pieces),
        header_sha256=file.header.sha256 if file.header else None,
    )


def joined(pieces: Sequence[str]) -> str:
    """`pieces` as a receipt keeps them: nothing when there is only one, which needs no finding."""
    return "".join(pieces) if len(pieces) > 1 else ""


def revoked(receipt: Receipt, now: float) -> Receipt:
    """A newer receipt that no file can satisfy: what was proven is not so any more. Its pieces still help to repair."""
    return replace(receipt, mtime_ns=NEVER, proven_at=now)


def is_revoked(receipt: Receipt) -> bool:
    """Whether a verification has found this file damaged since it was proven."""
    return receipt.mtime_ns == NEVER


def trusted(receipt: Receipt, found: Facts) -> bool:
    """Whether the file system still says of the file what it said when the receipt was written.

    A copy that kept its times, on this volume or another, has an inode of its own: nobody has read its bytes. A mount
    that numbers its files anew costs one reading. An inode that was not recorded, or that a view cannot tell, is not
    compared; a view without inodes has times in whole seconds.
    """
    # A racy receipt is trusted too: where times are cut, every file that has just been filled has one, and a worker
    # that starts then would have to read them all.
    if receipt.size != found.st_size:
        return False
    if not found.st_ino:
        return receipt.mtime_ns != NEVER and receipt.mtime_ns // 10**9 == found.st_mtime_ns // 10**9
    return receipt.mtime_ns == found.st_mtime_ns and receipt.inode in {0, found.st_ino}


def is_racy(receipt: Receipt) -> bool:
    """Whether a later write could have left the time of change as it was, by the clock of whoever wrote the receipt.

    So where a file system cuts times to seconds (MooseFS) and the proof came less than two after the change.
    """
    return receipt.mtime_ns % 10**9 == 0 and receipt.proven_at - receipt.mtime_ns / 10**9 < _RACY


def read_receipts(
    view: View, now: float, folder: str = RECEIPTS, only: Container[str] | None = None
) -> dict[str, Receipt]:
    """The newest receipt of each target, or of those in `only`. Whatever is damaged, hostile or dated ten years ahead
    is passed over.

    Raises:
        UnsafePath: the folder of receipts is reached through something other than plain folders.
        VolumeTrouble, VolumeError: something of it cannot be read: what it says against a file is not to be overlooked.
    """
    newest: dict[str, Receipt] = {}
    room = TOTAL_LIMIT
    for name in sorted(filter(is_file_of_receipts, view.state_names(folder)), reverse=True)[:FILES_LIMIT]:
        lines = lines_of(partial(view.open_file, f"{STATE_FOLDER}/{folder}/{name}")) or ()
        room -= sum(map(len, lines))
        if room < 0:
            break
        older: dict[str, Receipt] = {}
        merge(older, lines, now, only)
        for target, one in older.items():
            if target not in newest or newest[target].proven_at < one.proven_at:
                newest[target] = one
    return newest


def believed_receipts(view: View, now: float) -> dict[str, Receipt]:
    """As `read_receipts`, but none at all where some are not to be read: then nothing is known to be proven.

    Raises:
        UnsafePath, VolumeTrouble: as `read_receipts`.
    """
    try:
        return read_receipts(view, now)
    except (UnsafePath, VolumeTrouble):
        raise
    except VolumeError:
        return {}


def is_file_of_receipts(name: str) -> bool:
    """Whether a file of that name holds receipts."""
    return _NAME.fullmatch(name) is not None


def lines_of(open_file: Callable[[], Readable | None]) -> list[bytes] | None:
    """The whole lines of a file of receipts; None when there is none, or something that is none of ours.

    Raises:
        VolumeTrouble, VolumeError: it is there, and cannot be read.
    """
    try:
        file = open_file()
    except UnsafePath:
        return None
    if file is None:
        return None
    with file:
        size = file.stat().st_size
        return None if size > FILE_LIMIT else file.read_at(0, size).split(b"\n")[:-1]


def merge(newest: dict[str, Receipt], lines: Sequence[bytes], now: float, only: Container[str] | None = None) -> None:
    """Add the receipts in `lines` to `newest`, each where it is the newest of its target and that is in `only`."""
    for document in _documents(lines):
        receipt = _receipt(document)
        if receipt is None or receipt.proven_at > now + _FUTURE or (only is not None and receipt.target not in only):
            continue
        known = newest.get(receipt.target)
        if known is None or known.proven_at <= receipt.proven_at:
            newest[receipt.target] = receipt


def _documents(lines: Sequence[bytes]) -> Iterator[object]:
    """What the lines hold. Many at once take half the time; a garbled line has its neighbours parsed one by one."""
    for at in range(0, len(lines), _AT_ONCE):
        some = lines[at : at + _AT_ONCE]
        short = [line for line in some if len(line) <= _SHORT]
        try:
            yield from json.loads(b"[%b]" % b",".join(short))
        except (ValueError, RecursionError):
            yield from map(_parsed, short)
        yield from (_parsed_long(line) for line in some if len(line) > _SHORT)


def _parsed_long(line: bytes) -> object:
    """A long line is long by its digests, which are taken out before the rest is parsed: a parser's memory is many
    times that of what is hostile.
    """
    found = _DIGESTS.search(line)
    rest = line if found is None else line[: found.start()] + line[found.end() :]
    document = _parsed(rest) if len(rest) <= _REST_LIMIT else None
    if isinstance(document, dict) and found is not None:
        document["xxh3"] = found[1].decode()
    return document


def _parsed(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _receipt(document: object) -> Receipt | None:
    if not isinstance(document, dict) or not _is_sound(document):
        return None
    return Receipt(
        target=document["target"],
        sha256=document["sha256"],
        size=document["size"],
        mtime_ns=document["mtime_ns"],
        proven_at=document["proven_at"],
        piece_digests=document.get("xxh3", ""),
        header_sha256=document.get("header_sha256"),
        inode=document.get("inode", 0),
    )


def _is_sound(document: dict[str, Any]) -> bool:
    """Whether every field has its type, and no value is one that we could not have written."""
    get = document.get
    target, size, proven, pieces = get("target"), get("size"), get("proven_at"), get("xxh3", "")
    return (
        type(size) is int
        and 0 <= size <= SIZE_LIMIT
        and type(get("mtime_ns")) is int
        and type(get("inode", 0)) is int
        and isinstance(proven, int | float)
        and proven >= 0  # which NaN is not
        and is_sha256(get("sha256"))
        and ("header_sha256" not in document or is_sha256(get("header_sha256")))
        and (not pieces or _are_pieces(pieces, size))
        and isinstance(target, str)
        and not target_fault(target)
    )


def _are_pieces(pieces: object, size: int) -> bool:
    return isinstance(pieces, str) and len(pieces) == 32 * piece_count(size) and _HEX.fullmatch(pieces) is not None
