"""Digests of files on disk: each file is read once, whoever asks and however often."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.buffer import new_buffer

if TYPE_CHECKING:
    import os
    from pathlib import Path

READ_SIZE = 1 << 20
"""Bytes held in memory while a file is hashed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDigests:
    """What the bytes of one file hash to, in lower-case hexadecimal."""

    sha256: str
    blob_id: str | None
    """The id git gives these bytes: sha1 over `blob <size>\\0` and the bytes. None where nobody asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    identity: tuple[int, ...]
    digests: Future[FileDigests]


class DigestStore:
    """Digests by path, good for as long as inode, size and modification time stay. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reads: dict[Path, _Read] = {}

    def of(self, path: Path, stat: os.stat_result, *, with_blob_id: bool) -> FileDigests:
        """The digests of `path`, which has the status `stat`. The first to ask reads the file, the others wait.

        Raises:
            OSError: The file cannot be read.
        """
        identity = (stat.st_ino, stat.st_size, stat.st_mtime_ns, with_blob_id)
        wanted = _Read(identity=identity, digests=Future())
        read = self._claim(path, wanted)
        if read is wanted:
            try:
                read.digests.set_result(read_digests(path, stat.st_size, with_blob_id=with_blob_id))
            except OSError as error:
                read.digests.set_exception(error)
                self._forget(path)
        return read.digests.result()

    def _claim(self, path: Path, wanted: _Read) -> _Read:
        with self._lock:
            known = self._reads.get(path)
            if known is not None and known.identity == wanted.identity:
                return known
            self._reads[path] = wanted
            return wanted

    def _forget(self, path: Path) -> None:
        with self._lock:
            self._reads.pop(path, None)


def read_digests(path: Path, size: int, *, with_blob_id: bool) -> FileDigests:
    """The digests of the file at `path`, which is `size` bytes long, from one pass with bounded memory.

    Raises:
        OSError: The file cannot be read.
    """
    sha256 = hashlib.sha256()
    blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False) if with_blob_id else None
    buffer = new_buffer(READ_SIZE)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            sha256.update(buffer[:count])
            if blob:
                blob.update(buffer[:count])
    return FileDigests(sha256=sha256.hexdigest(), blob_id=blob.hexdigest() if blob else None)


def blob_id(data: bytes) -> str:
    """The id git gives `data`."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
