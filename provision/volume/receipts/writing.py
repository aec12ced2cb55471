"""Writing receipts: each process appends to a file of its own; old files are merged into one."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from provision.errors import VolumeError, VolumeTrouble
from provision.volume.receipts import FILE_LIMIT, INDEX, LINE_LIMIT, RECEIPTS, is_file_of_receipts, lines_of, merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType

    from provision.volume.files import File
    from provision.volume.mount import Volume
    from provision.volume.paths import Folder
    from provision.volume.receipts import Receipt

MERGE_LIMIT = 64 * 1024 * 1024
"""Bytes of receipts that are merged at once; what is more waits for the next time."""

_FLUSH_COUNT = 256
_FLUSH_BYTES = 2**30
_IDLE = 1_800.0  # seconds after its last line a file is not appended to any more
_SETTLED = 3_600.0  # seconds after its last change a file may be merged into another
_MANY = 16

_encode = json.JSONEncoder(separators=(",", ":")).encode  # `json.dumps` would make one for each receipt


class ReceiptWriter:
    """Appends receipts to a file of its own, made at the first. A context: leaving it flushes.

    A receipt is added after its file was placed and flushed, never before. `add` buffers: a receipt that a crash takes
    costs reading a file again, so they are flushed every few hundred, or when they vouch for a gigabyte. Threads may
    share it.

    `folder` is the state folder, RECEIPTS but for who keeps a record of its own. The folder's INDEX names its files for
    those who cannot list it; two who write it at once may leave out a file, whose receipts such a reader then misses.

    `known` are the receipts that were read before. What is added is dated after them, whatever the clocks say: the last
    word about a file must be the newest one, or a pod whose clock was ahead would outvote all who find damage later.

    `names` are those of the files that it has made.

    Raises (add, flush):
        VolumeFull, VolumeReadOnly, VolumeTrouble, VolumeError: as `volume_fault` says.
    """

    def __init__(
        self,
        volume: Volume,
        clock: Callable[[], float],
        known: Mapping[str, Receipt] = MappingProxyType({}),
        folder: str = RECEIPTS,
    ) -> None:
        self._volume, self._clock, self._known, self._folder = volume, clock, known, folder
        self.names: list[str] = []
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
        with self._volume.made_state(self._folder) as folder:
            name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}-{os.urandom(4).hex()}.jsonl"
            self._file, self._end = folder.made_file(name), 0
            self.names.append(name)
            _write_index(folder)
            folder.sync()
        return self._file

    def _leave(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()


def drop(volume: Volume, name: str, files: Iterable[str]) -> None:
    """Unlink those of the `files` of receipts in the state folder `name` that stand, and name the others in its index.

    Raises:
        VolumeFull, VolumeReadOnly, VolumeTrouble, VolumeError: as `volume_fault` says.
    """
    folder = volume.state(name)
    if folder is None:
        return
    with folder:
        gone = [folder.unlink(file) for file in files]
        if any(gone):
            _write_index(folder)


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
            merge(newest, lines, now)
            merged.append(name)
    if len(merged) < 2:
        return 0
    with ReceiptWriter(volume, clock) as writer:
        for receipt in newest.values():
            writer.add(receipt)
    for name in merged:
        folder.unlink(name)
    _write_index(folder)
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
    return sorted(filter(is_file_of_receipts, folder.names()))


def _write_index(folder: Folder) -> None:
    folder.write_file(INDEX, "".join(f"{name}\n" for name in _files(folder)).encode())


def _lines_of(folder: Folder, name: str) -> list[bytes] | None:
    try:
        return lines_of(lambda: folder.open_file(name))
    except VolumeTrouble:
        raise
    except VolumeError:  # it stays where it is
        return None


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
    if receipt.piece_digests and len(receipt.piece_digests) <= LINE_LIMIT:
        document["xxh3"] = receipt.piece_digests
    if receipt.header_sha256 is not None:
        document["header_sha256"] = receipt.header_sha256
    return _encode(document).encode() + b"\n"
