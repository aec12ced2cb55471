"""Inventory: every file that lies on a volume, whoever put it there. Names and lengths; nothing is read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.errors import VolumeError, VolumeTrouble
from provision.volume.faults import faults_at
from provision.volume.mount import is_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from provision.volume.mount import Volume
    from provision.volume.paths import Folder

DEPTH_LIMIT = 64
"""Folders below each other that are looked into: each is held open while those below it are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lying:
    """A regular file at `path` under the root. `again`: another name of a file that was met before (hard links)."""

    path: str
    size: int
    touched: float
    again: bool = False


def inventory(volume: Volume, closed: Callable[[str], None]) -> Iterator[Lying]:
    """Every regular file below the root on the same file system, in no order. No link is followed.

    `touched` is the time of change in seconds since the epoch. A folder that may not be looked into, or lies too deep,
    is handed to `closed` by its path.

    Raises:
        VolumeTrouble: trouble that often passes.
        VolumeError: the root cannot be looked at.
    """
    with faults_at(volume.path, reading=True):
        device = os.stat(volume.path).st_dev  # noqa: PTH116 - as everywhere on a volume
    with volume.root.copy() as root:
        yield from _Walk(device, closed).below(root, "", DEPTH_LIMIT)


class _Walk:
    def __init__(self, device: int, closed: Callable[[str], None]) -> None:
        self._device, self._closed = device, closed
        self._linked: set[int] = set()

    def below(self, folder: Folder, path: str, depth: int) -> Iterator[Lying]:
        for name in sorted(folder.names()):
            found = folder.stat(name)
            if found is None:
                continue
            if is_regular(found):
                yield Lying(path=path + name, size=found.st_size, touched=found.st_mtime, again=self._was_met(found))
            elif stat.S_ISDIR(found.st_mode) and found.st_dev == self._device:
                yield from self._inside(folder, name, f"{path}{name}/", depth - 1)

    def _inside(self, parent: Folder, name: str, path: str, depth: int) -> Iterator[Lying]:
        try:
            folder = parent.folder(name) if depth else None
        except VolumeTrouble:
            raise
        except VolumeError:
            folder = None
        if folder is None:
            self._closed(path)
            return
        with folder:
            yield from self.below(folder, path, depth)

    def _was_met(self, found: os.stat_result) -> bool:
        if found.st_nlink <= 1:
            return False
        met = found.st_ino in self._linked
        self._linked.add(found.st_ino)
        return met
