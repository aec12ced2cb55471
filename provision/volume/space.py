"""Space: whether what is missing fits, told before the first byte.

Two bounds, neither of which proves anything when it says plenty. statvfs shows the whole cluster on MooseFS, and a
shared host elsewhere; but where it says too little, there is too little. The volume's own size is known to its owner
(or the cloud's API) only; less what is counted on it, that is what is left. The write that fails has the last word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.errors import VolumeFull
from provision.progress import size_text
from provision.volume.mount import is_regular

if TYPE_CHECKING:
    from provision.volume.mount import Volume


def counted_use(volume: Volume) -> int:
    """Bytes that stand on the volume: the sum of lengths, each file once whatever its names, no link followed.

    Raises:
        VolumeTrouble, VolumeError: it cannot be walked.
    """
    seen: set[int] = set()
    total = 0
    for found in filter(is_regular, volume.root.walk()):
        if found.st_nlink > 1:
            if found.st_ino in seen:
                continue
            seen.add(found.st_ino)
        total += found.st_size
    return total


def free_by_statvfs(volume: Volume) -> int | None:
    """Bytes that the file system says it has room for; None where it says nothing."""
    room = volume.root.room()
    return room.f_bavail * room.f_frsize if room.f_blocks else None


def shortage(needed: int, free_by_count: int | None, free_by_statvfs: int | None) -> str | None:
    """Why `needed` bytes do not fit, in people's units; None when nothing says so. Unknown bounds are None."""
    bounds = [bound for bound in (free_by_count, free_by_statvfs) if bound is not None]
    if needed <= 0 or not bounds or needed <= min(bounds):
        return None
    return f"{size_text(needed)} are needed and {size_text(max(0, min(bounds)))} are free"


def check_room(volume: Volume, needed: int, volume_size: int | None, sunk: int = 0) -> None:
    """Refuse when `needed` more bytes do not fit. `volume_size` in bytes, where it is known; only then is use counted,
    and `sunk` of the needed bytes are counted already: partials are as long as they reach, whatever has come of them.

    Raises:
        VolumeFull: they do not.
        VolumeTrouble, VolumeError: the volume cannot be looked at.
    """
    if needed <= 0:
        return
    counted, told = None if volume_size is None else volume_size - counted_use(volume) + sunk, free_by_statvfs(volume)
    short = shortage(needed, counted, told)
    if short is not None:
        larger = "" if shortage(needed, None, told) else "; if it is larger than that, say so with --volume-size"
        raise VolumeFull(f"no room on {volume.path}: {short}", hint=f"free room or grow the volume{larger}")
