"""One open file on a volume. Every fault is one of the error tree and names the file."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from provision.errors import UnsafePath, VolumeTrouble
from provision.volume.faults import TROUBLE_HINT, UNSAFE_HINT, faults_at, volume_fault

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Buffer

_datasync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class File:
    """A regular file, open for reading or for both. Offsets are given with each call, so threads may share it.

    Raises (each method):
        VolumeFull, VolumeReadOnly, VolumeTrouble, VolumeError: as `volume_fault` says.
    """

    def __init__(self, fd: int, path: str) -> None:
        self.path = path
        self._fd = fd
        self._closed = False

    @classmethod
    def regular(cls, fd: int, path: str) -> File:
        """Take over `fd`. Raises UnsafePath, and closes it, when it is not a regular file."""
        with cls(fd, path) as file:
            if not stat.S_ISREG(file.stat().st_mode):
                raise UnsafePath(f"{path} is not a regular file", hint=UNSAFE_HINT)
            return cls(file.released(), path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        elif not self._closed:
            with suppress(OSError):  # what went wrong first tells more
                os.close(self.released())

    def released(self) -> int:
        """The descriptor, which is the caller's to close from now on; its number may soon be another file's."""
        fd, self._fd, self._closed = self._fd, -1, True
        return fd

    def stat(self) -> os.stat_result:
        """What the file system says about the open file, whatever its name is by now."""
        with faults_at(self.path, reading=True):
            return os.fstat(self._fd)

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; fewer only where the file ends."""
        parts: list[bytes] = []
        with faults_at(self.path, reading=True):
            while length:
                part = os.pread(self._fd, length, offset)
                if not part:
                    break
                parts.append(part)
                offset, length = offset + len(part), length - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill `buffer` from `offset`; how many bytes that was, fewer only where the file ends.

        For reading much: a buffer that is used again spares most of the time that `read_at` takes to get a new one.
        """
        done = 0
        with faults_at(self.path, reading=True):
            while done < len(buffer):
                count = os.preadv(self._fd, [buffer[done:]], offset + done)
                if not count:
                    break
                done += count
        return done

    def write_at(self, offset: int, data: Buffer) -> None:
        """All of `data` at `offset`. A system call that takes less is asked again for the rest."""
        rest = memoryview(data).cast("B")
        with faults_at(self.path):
            while rest:
                count = os.pwrite(self._fd, rest, offset)
                if not count:
                    raise VolumeTrouble(
                        f"{self.path}: the file system takes no bytes and gives no reason", hint=TROUBLE_HINT
                    )
                offset, rest = offset + count, rest[count:]

    def truncate(self, size: int) -> None:
        """Cut to, or lengthen with zeros to, `size` bytes."""
        with faults_at(self.path):
            os.ftruncate(self._fd, size)

    def set_mode(self, mode: int) -> None:
        """Ask for permission bits `mode`. A file system, or an owner, that refuses is left alone."""
        try:
            os.fchmod(self._fd, mode)
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.ENOSYS}:
                raise volume_fault(error, self.path) from error

    def sync_data(self) -> None:
        """Bytes and length are on the volume when this returns."""
        with faults_at(self.path):
            _datasync(self._fd)

    def sync(self) -> None:
        """Everything about the file is on the volume when this returns."""
        with faults_at(self.path):
            os.fsync(self._fd)

    def close(self) -> None:
        """Close. A quota may be reported only here, so a fault counts; the descriptor is gone in any case."""
        if not self._closed:
            with faults_at(self.path):
                os.close(self.released())
