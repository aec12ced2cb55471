"""Claims: who does a piece of housekeeping just now. They save work; nothing rests on them.

`mkdir` is the one thing that was exclusive between two mounts on every network file system tried (SeaweedFS let two
mounts both win O_EXCL, link and flock). Even so a claim may be held twice: when it has gone stale, two may break it,
and the first to end removes the other's. Whatever is done under a claim must come out right when done twice at once.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.volume.mount import Volume
    from provision.volume.paths import Folder

STALE_AFTER = 600.0
"""Seconds after which a claim is taken to be left over from a process that is gone."""


@contextmanager
def claimed(volume: Volume, name: str, now: float) -> Iterator[bool]:
    """Within, whether the work called `name` is ours to do. `now` is in seconds since the epoch."""
    with volume.made_state("claims") as folder:
        ours = folder.make_folder(name) or (_break_stale(folder, name, now) and folder.make_folder(name))
        try:
            yield ours
        finally:
            if ours:
                folder.remove_folder(name)


def _break_stale(folder: Folder, name: str, now: float) -> bool:
    found = folder.stat(name)
    return found is None or (now - found.st_mtime > STALE_AFTER and folder.remove_folder(name))
