"""Placing: the one way in which bytes get their final name.

The partial is flushed and closed, its length looked at, and renamed in its own folder, which is flushed in turn. So,
after a crash at any moment, the final name does not exist or has all the bytes; what it had before stands until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.errors import UnsafePath
from provision.volume.faults import UNSAFE_HINT
from provision.volume.mount import is_regular
from provision.volume.paths import parent_and_name

if TYPE_CHECKING:
    import os

    from provision.volume.partial import Partial
    from provision.volume.paths import Folder


def place(partial: Partial) -> os.stat_result | None:
    """Give `partial`, whose bytes the caller has proven, its final name; what it was made of is cleared away.

    Returns what the file system says about the placed bytes, for their receipt; None when another writer has placed the
    file before and taken this partial away: look at the target again. The partial is closed in either case.

    Raises:
        UnsafePath: a folder, a link or a device stands at the target; it is left alone.
        VolumeFull: bytes were lost to a quota.
        VolumeReadOnly, VolumeTrouble, VolumeError: as `volume_fault` says; the partial is kept.
    """
    _, name = parent_and_name(partial.file.target)
    _refuse_occupied(partial.folder, name)
    if not (partial.seal() and partial.folder.rename(partial.name, name)):
        partial.discard()
        return None
    partial.folder.sync()
    # Asked of the open file, not of the name: should another version take the name just now, its time of change must
    # not get into a receipt for these bytes.
    placed = partial.stat()
    partial.settle()
    return placed


def _refuse_occupied(folder: Folder, name: str) -> None:
    standing = folder.stat(name)
    if standing is not None and not is_regular(standing):
        raise UnsafePath(f"{folder.path}/{name} is not a regular file", hint=UNSAFE_HINT)
