"""What the operating system says about a volume, as the error tree says it. The one place that reads errno."""

from __future__ import annotations

import errno
import os

from provision.errors import (
    UnsafePath,
    VolumeError,
    VolumeFull,
    VolumeReadOnly,
    VolumeTrouble,
)
from provision.names import shown

FULL_HINT = "the partial is kept; free room or grow the volume, then run the same command again: it resumes"
TROUBLE_HINT = "the file system failed in a way that often passes; run the same command again"
DEAD_HINT = "the mount does not answer; attach it again, then run the same command again"
OTHER_HINT = "look at the volume with `ls` and `df`; if it is a network mount, attach it again"
UNSAFE_HINT = "provision goes through plain folders and files only; move it away, then run the same command again"

_Meaning = tuple[type[VolumeError], str]
_OTHER: _Meaning = (VolumeError, OTHER_HINT)
_TROUBLE: _Meaning = (VolumeTrouble, TROUBLE_HINT)

_WRITING: dict[int, _Meaning] = {
    # MooseFS says EDQUOT when a quota is spent, ENOSPC when no chunkserver has room, ENXIO when a chunk is lost
    # (mfsclient/mfs_fuse.c). To a writer all three mean that its bytes have no place; a reader meets only the last.
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.ENXIO), (VolumeFull, FULL_HINT)),
    **dict.fromkeys((errno.EIO, errno.ESTALE), _TROUBLE),
    # The server or FUSE process of a mount is gone (ECONNABORTED: to who was waiting for it), or does not answer.
    **dict.fromkeys((errno.ENOTCONN, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EHOSTDOWN), (VolumeTrouble, DEAD_HINT)),
    errno.EROFS: (VolumeReadOnly, "attach the volume for writing"),
    # Of one folder, perhaps: the volume can be written elsewhere.
    **dict.fromkeys((errno.EACCES, errno.EPERM), (VolumeError, "run as a user who may write there")),
    **dict.fromkeys((errno.ELOOP, errno.ENOTDIR, errno.EISDIR), (UnsafePath, UNSAFE_HINT)),
}
_READING: dict[int, _Meaning] = {
    **_WRITING,
    errno.ENXIO: _TROUBLE,
    errno.EROFS: _OTHER,
    **dict.fromkeys((errno.EACCES, errno.EPERM), (VolumeError, "run as a user who may read there")),
}


def volume_fault(error: OSError, path: str, *, reading: bool = False) -> VolumeError:
    """The error to raise for `error`, met at `path`; `reading` when nothing was to be changed."""
    number = error.errno or 0
    kind, hint = (_READING if reading else _WRITING).get(number, _OTHER)
    return kind(f"{shown(path, 300)}: {os.strerror(number)}", hint=hint)


class faults_at:  # noqa: N801 - used as a function; a generator costs three times as much
    """Within, every OSError becomes what `volume_fault` makes of it."""

    __slots__ = ("_path", "_reading")

    def __init__(self, path: str, *, reading: bool = False) -> None:
        self._path, self._reading = path, reading

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, OSError):
            raise volume_fault(error, self._path, reading=self._reading) from error
