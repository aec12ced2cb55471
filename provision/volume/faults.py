"""What the operating system says about a volume, as the error tree says it. The one place that reads errno."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from provision.errors import (
    UnsafePath,
    VolumeError,
    VolumeFull,
    VolumeReadOnly,
    VolumeTrouble,
)
from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

FULL_HINT = "the partial is kept; free room or grow the volume, then run the same command again: it resumes"
UNSAFE_HINT = "provision goes through plain folders and files only; move it away, then run the same command again"

# MooseFS says EDQUOT when a quota is spent, ENOSPC when no chunkserver has room, ENXIO when a chunk is lost
# (mfsclient/mfs_fuse.c). To a writer all three mean that its bytes have no place; a reader meets only the last.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ENXIO})
_TROUBLE = frozenset({errno.EIO, errno.ESTALE})
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_UNSAFE = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EISDIR})


def volume_fault(error: OSError, path: str, *, reading: bool = False) -> VolumeError:
    """The error to raise for `error`, met at `path`; `reading` when nothing was to be changed."""
    number = error.errno or 0
    said = f"{shown(path, 300)}: {os.strerror(number)}"
    if number in _UNSAFE:
        return UnsafePath(said, hint=UNSAFE_HINT)
    if number in _TROUBLE or (reading and number == errno.ENXIO):
        return VolumeTrouble(said, hint="the file system failed in a way that often passes; run the same command again")
    if number in _FULL:
        return VolumeFull(said, hint=FULL_HINT)
    if number in _READ_ONLY and not reading:
        return VolumeReadOnly(said, hint="attach the volume for writing, or run as a user who may write there")
    if number in _READ_ONLY:
        return VolumeError(said, hint="run as a user who may read there")
    return VolumeError(said)


@contextmanager
def faults_at(path: str, *, reading: bool = False) -> Iterator[None]:
    """Within, every OSError becomes what `volume_fault` makes of it."""
    try:
        yield
    except OSError as error:
        raise volume_fault(error, path, reading=reading) from error
