"""Sizes of volumes: what a cloud rents, and how large one has to be for what its projects put on it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.errors import InputError
from provision.progress import size_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provision.lock import Lock

GB = 10**9
SMALLEST, LARGEST = 10, 4096
"""GB of a volume at RunPod (REST v2, NetworkVolumeCreateInput)."""

HEADROOM = 5
"""One part in so many is added to what is promised: for upgrades, and for what else comes to lie there."""


def check_size(size: int) -> None:
    """Raise InputError when no volume has `size` GB."""
    if not SMALLEST <= size <= LARGEST:
        raise InputError(
            f"a volume has between {SMALLEST} and {LARGEST} GB, not {size}",
            hint="fill several volumes, each with some of the projects" if size > LARGEST else "",
        )


def promised_bytes(locks: Iterable[Lock]) -> int:
    """What `locks` together put on one volume: a target that several of them share counts once."""
    return sum({file.target: file.size for lock in locks for _, file in lock.files()}.values())


def size_for(promised: int) -> int:
    """GB of a volume for so many bytes, with headroom.

    Raises:
        InputError: no volume is that large.
    """
    size = max(SMALLEST, whole_gb(promised + -(-promised // HEADROOM)))
    if size > LARGEST:
        raise InputError(
            f"{size_text(promised)} and a fifth more are too much for one volume: it has {LARGEST} GB at most",
            hint="fill several volumes, each with some of the projects",
        )
    return size


def whole_gb(count: int) -> int:
    """`count` bytes in GB, rounded up."""
    return -(-count // GB)
