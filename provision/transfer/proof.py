"""Proof of bytes that stand: read through once, hashed whole and by the piece, header compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.buffer import new_buffer
from provision.digest import PieceHasher
from provision.errors import HeaderMismatch, VolumeError
from provision.volume.header import header_sha256

if TYPE_CHECKING:
    import os

    from provision.lock import LockedFile
    from provision.transfer.watch import Watch
    from provision.volume.header import Source
    from provision.volume.mount import Volume

READ_SIZE = 1024 * 1024


def read_through(volume: Volume, file: LockedFile, watch: Watch) -> tuple[PieceHasher, os.stat_result] | None:
    """The digests of what stands at `file.target`, when it is as promised; None when it is not, or is gone.

    Raises:
        VolumeTrouble: it cannot be read.
        VolumeError: somebody else writes to it.
    """
    opened = volume.open_file(file.target)
    if opened is None:
        return None
    watch.task.restart()
    with opened:
        before = opened.stat()
        if before.st_size != file.size:
            return None
        hasher = PieceHasher(file.size)
        buffer = new_buffer(min(READ_SIZE, file.size))
        while not hasher.is_complete:
            watch.stop.check()
            count = opened.read_into(hasher.offset, buffer[: file.size - hasher.offset])
            if not count:
                break
            hasher.update(buffer[:count])
            watch.task.reuse(count)
        after = opened.stat()
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise VolumeError(
                f"{file.target} was written to while it was read",
                hint="find out what else writes to the volume, then run the same command again",
            )
        if hasher.sha256() != file.sha256:
            return None
        check_header(file, opened)
        opened.sync()  # whoever put it there may not have, and a receipt is going to vouch for it
        return hasher, before


def check_header(file: LockedFile, bytes_of: Source) -> None:
    """Compare the safetensors header with the locked one, where there is one.

    Raises:
        HeaderMismatch: it is another, or none.
    """
    if file.header is None:
        return
    if header_sha256(file, bytes_of) != file.header.sha256:
        raise HeaderMismatch(
            f"{file.target}: the bytes are as promised, but their safetensors header is not the one in the lock",
            hint="the lock contradicts itself: restore it from git, or make it anew with `provision lock`",
        )
