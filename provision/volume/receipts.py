"""Receipts: what a completed transfer or a full verification proved about a file, kept on the volume.

Each process appends JSON lines to a file of its own in `.provision/receipts`: no two ever write to one, and there are
few. The newest receipt of a target counts. One that is missing, cut or not fit to be believed only means that its file
is unproven and is read again; so whatever is doubtful is passed over.
"""

from __future__ import annotations

import json
import math
import os
import re
import threading
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from provision.digest import is_sha256, piece_count
from provision.errors import VolumeError, VolumeTrouble
from provision.lock import SIZE_LIMIT
from provision.names import target_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from provision.lock import LockedFile
    from provision.volume.files import File
    from provision.volume.mount import Volume
    from provision.volume.paths import Folder

RECEIPTS = "receipts"
"""The state folder that holds the receipts."""

NEVER = 1
"""A time of change that no file has: one nanosecond after the epoch."""

FILES_LIMIT = 1_000
"""How many files of receipts are read, the newest ones."""

FILE_LIMIT = 32 * 1024 * 1024
"""Bytes; a larger file of receipts is none of ours. A writer begins a new one at a quarter of it."""

MERGE_LIMIT = 64 * 1024 * 1024
"""Bytes of receipts that are merged at once; what is more waits for the next time."""

_LINE_LIMIT = 16 * 1024 * 1024  # bytes; the pieces of a file of 4 TB
_FLUSH_COUNT = 256
_FLUSH_BYTES = 2**30
_FUTURE = 10 * 365 * 86_400.0  # seconds; a later date is damage, not a clock that is ahead
_IDLE = 1_800.0  # seconds after its last line a file is not appended to any more
_SETTLED = 3_600.0  # seconds after its last change a file may be merged into another
_RACY = 2.0  # seconds
_MANY = 16
_AT_ONCE = 256  # lines

_NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}\.jsonl")
_HEX = re.compile(r"[0-9a-f]*")


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


def receipt_of(file: LockedFile, found: os.stat_result, pieces: Sequence[str], proven_at: float) -> Receipt:
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


def trusted(receipt: Receipt, found: os.stat_result) -> bool:
    """Whether the file system still says of the file what it said when the receipt was written.

    A copy that kept its times, on this volume or another, has an inode of its own: nobody has read its bytes. A mount
    that numbers its files anew costs one reading. An inode that was not recorded is not compared.
    """
    # A racy receipt is trusted too: where times are cut, every file that has just been filled has one, and a worker
    # that starts then would have to read them all.
    same = (receipt.size, receipt.mtime_ns) == (found.st_size, found.st_mtime_ns)
    return same and receipt.inode in {0, found.st_ino}


def is_racy(receipt: Receipt) -> bool:
    """Whether a later write could have left the time of change as it was, by the clock of whoever wrote the receipt.

    So where a file system cuts times to seconds (MooseFS) and the proof came less than two after the change.
    """
    return receipt.mtime_ns % 10**9 == 0 and receipt.proven_at - receipt.mtime_ns / 10**9 < _RACY


class ReceiptWriter:
    """Appends receipts to a file of its own, made at the first. A context: leaving it flushes.

    A receipt is added after its file was placed and flushed, never before. `add` buffers: a receipt that a crash takes
    costs reading a file again, so they are flushed every few hundred, or when they vouch for a gigabyte. Threads may
    share it.

    `known` are the receipts that were read before. What is added is dated after them, whatever the clocks say: the last
    word about a file must be the newest one, or a pod whose clock was ahead would outvote all who find damage later.

    Raises (add, flush):
        VolumeFull, VolumeReadOnly, VolumeTrouble, VolumeError: as `volume_fault` says.
    """

    def __init__(
        self, volume: Volume, clock: Callable[[], float], known: Mapping[str, Receipt] = MappingProxyType({})
    ) -> None:
        self._volume, self._clock, self._known = volume, clock, known
        self._added: dict[str, float] = {}
        self._guard = threading.Lock()
        self._lines: list[bytes] = []
        self._vouched = 0
        self._file: File | None = None
        self._end = 0
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # With an error under way one more tells less; what is lost is read again.
        with suppress(VolumeError) if error else nullcontext():
            try:
                self.flush()
            finally:
                self._leave()

    def add(self, receipt: Receipt) -> None:
        """Take `receipt`; it is on the volume after the next flush."""
        with self._guard:
            receipt = self._dated(receipt)
            self._added[receipt.target] = receipt.proven_at
            self._lines.append(_line(receipt))
            self._vouched += receipt.size
            if len(self._lines) >= _FLUSH_COUNT or self._vouched >= _FLUSH_BYTES:
                self._flush()

    def flush(self) -> None:
        """Everything taken is on the volume when this returns."""
        with self._guard:
            self._flush()

    def _dated(self, receipt: Receipt) -> Receipt:
        known, added = self._known.get(receipt.target), self._added.get(receipt.target, -math.inf)
        newest = added if known is None else max(added, known.proven_at)
        if receipt.proven_at > newest:
            return receipt
        return replace(receipt, proven_at=math.nextafter(newest, math.inf))

    def _flush(self) -> None:
        if not self._lines:
            return
        now = self._clock()
        file, data = self._current(now), b"".join(self._lines)
        # At a place of our own counting: what a failed write has left there is written over.
        file.write_at(self._end, data)
        file.sync()
        self._end, self._last = self._end + len(data), now
        self._lines, self._vouched = [], 0

    def _current(self, now: float) -> File:
        if self._file is not None and now - self._last <= _IDLE and self._end <= FILE_LIMIT // 4:
            return self._file
        self._leave()
        with self._volume.made_state(RECEIPTS) as folder:
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
            self._file, self._end = folder.made_file(f"{stamp}-{os.urandom(4).hex()}.jsonl"), 0
            folder.sync()
        return self._file

    def _leave(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()


def read_receipts(volume: Volume, now: float) -> dict[str, Receipt]:
    """The newest receipt of each target. Whatever is damaged, hostile or dated ten years ahead is passed over.

    Raises:
        UnsafePath: the folder of receipts is reached through something other than plain folders.
        VolumeTrouble, VolumeError: it cannot be read.
    """
    folder = volume.state(RECEIPTS)
    if folder is None:
        return {}
    with folder:
        newest: dict[str, Receipt] = {}
        for name in _files(folder)[-FILES_LIMIT:]:
            _merge(newest, _lines_of(folder, name) or (), now)
        return newest


def compact(volume: Volume, clock: Callable[[], float]) -> int:
    """When many files of receipts stand, merge the old ones into one, MERGE_LIMIT bytes of them at most; returns how
    many were merged.

    Files that changed within the last hour are left alone: their writer may be at work, and none appends to a file
    after half an hour of silence. The rest cannot change, so what is merged is all they say; it is flushed before they
    are unlinked. Two processes that do this at once each write all that they unlink; a claim on RECEIPTS spares that.
    Should clocks be so wrong that a line is lost all the same, its file is unproven and is read again: never believed
    wrongly.

    Raises:
        VolumeFull, VolumeReadOnly, VolumeTrouble, VolumeError: as `volume_fault` says; nothing is lost.
    """
    folder = volume.state(RECEIPTS)
    if folder is None:
        return 0
    with folder:
        return _compact(volume, folder, clock) if len(_files(folder)) > _MANY else 0


def _compact(volume: Volume, folder: Folder, clock: Callable[[], float]) -> int:
    now = clock()
    newest: dict[str, Receipt] = {}
    merged: list[str] = []
    for name in _settled(folder, now):
        lines = _lines_of(folder, name)
        if lines is not None:
            _merge(newest, lines, now)
            merged.append(name)
    if len(merged) < 2:
        return 0
    with ReceiptWriter(volume, clock) as writer:
        for receipt in newest.values():
            writer.add(receipt)
    for name in merged:
        folder.unlink(name)
    return len(merged)


def _settled(folder: Folder, now: float) -> Iterator[str]:
    """The oldest files of receipts that change no more, as many as are merged at once."""
    room = MERGE_LIMIT
    for name in _files(folder):
        found = folder.stat(name)
        if found is None or found.st_size > FILE_LIMIT or now - found.st_mtime <= _SETTLED:
            continue
        room -= found.st_size
        if room < 0:
            return
        yield name


def _files(folder: Folder) -> list[str]:
    return sorted(filter(_NAME.fullmatch, folder.names()))


def _lines_of(folder: Folder, name: str) -> list[bytes] | None:
    """The whole lines of a file of receipts; None when it cannot be had, or is too large to be one."""
    try:
        file = folder.open_file(name)
        if file is None:
            return None
        with file:
            size = file.stat().st_size
            return None if size > FILE_LIMIT else file.read_at(0, size).split(b"\n")[:-1]
    except VolumeTrouble:
        raise
    except VolumeError:
        return None


def _merge(newest: dict[str, Receipt], lines: Sequence[bytes], now: float) -> None:
    for document in _documents(lines):
        receipt = _receipt(document)
        if receipt is None or receipt.proven_at > now + _FUTURE:
            continue
        known = newest.get(receipt.target)
        if known is None or known.proven_at <= receipt.proven_at:
            newest[receipt.target] = receipt


def _line(receipt: Receipt) -> bytes:
    document: dict[str, Any] = {
        "target": receipt.target,
        "sha256": receipt.sha256,
        "size": receipt.size,
        "mtime_ns": receipt.mtime_ns,
        "proven_at": receipt.proven_at,
    }
    if receipt.inode:
        document["inode"] = receipt.inode
    if receipt.piece_digests and len(receipt.piece_digests) <= _LINE_LIMIT:
        document["xxh3"] = receipt.piece_digests
    if receipt.header_sha256 is not None:
        document["header_sha256"] = receipt.header_sha256
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _documents(lines: Sequence[bytes]) -> Iterator[object]:
    """What the lines hold. Many at once take half the time; a garbled line has its neighbours parsed one by one."""
    for at in range(0, len(lines), _AT_ONCE):
        some = lines[at : at + _AT_ONCE]
        try:
            yield from json.loads(b"[%b]" % b",".join(some))
        except (ValueError, RecursionError):
            yield from (_parsed(line) for line in some)


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
