"""Volumes that are folders: made below a folder of ours, or any folder of the user's, named by its path."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from provision.errors import InputError
from provision.names import shown
from provision.pods.cloud import NetworkVolume
from provision.pods.local.record import write_private
from provision.pods.sizing import SMALLEST, check_size

DATACENTER = "local"
_GB = 10**9


def is_path(volume_id: str) -> bool:
    """Whether a volume is named as a folder of the user's."""
    return "/" in volume_id or volume_id in {".", ".."}


class Volumes:
    """The volumes below `folder`: `ID/` has what is on one, `ID.json` what is known of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[NetworkVolume]:
        """Those that were made here."""
        found = (self.get(path.stem) for path in sorted(self._folder.glob("*.json")))
        return [volume for volume in found if volume is not None]

    def get(self, volume_id: str) -> NetworkVolume | None:
        """One of them, or a folder of the user's; None where there is none."""
        if is_path(volume_id):
            return _folder_volume(volume_id)
        if not volume_id.isalnum():
            return None
        try:
            return NetworkVolume(**json.loads(self._note(volume_id).read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def place(self, volume: NetworkVolume) -> Path:
        """Where the volume's root is."""
        return Path(volume.id) if is_path(volume.id) else self._folder / volume.id

    def create(self, name: str, size: int) -> NetworkVolume:
        """A new one."""
        check_size(size)
        if not name:
            raise InputError("a volume needs a name")
        volume = NetworkVolume(id=secrets.token_hex(5), name=name, size=size, datacenter=DATACENTER)
        self.place(volume).mkdir(parents=True)
        self._keep(volume)
        return volume

    def resize(self, volume_id: str, size: int) -> NetworkVolume:
        """Grown to `size` GB. Raises InputError as Cloud does."""
        check_size(size)
        volume = self._made(volume_id)
        if volume is None:
            raise InputError(f"there is no volume `{shown(volume_id)}`")
        if size < volume.size:
            raise InputError(f"volumes only grow, and {volume.id} has {volume.size} GB already")
        grown = replace(volume, size=size)
        self._keep(grown)
        return grown

    def delete(self, volume_id: str) -> None:
        """Delete one that was made here. What is on it goes first, so that one that was cut short can be repeated."""
        volume = self._made(volume_id)
        if volume is not None:
            if self.place(volume).exists():
                shutil.rmtree(self.place(volume))
            self._note(volume_id).unlink(missing_ok=True)

    def _made(self, volume_id: str) -> NetworkVolume | None:
        if is_path(volume_id):
            raise InputError(
                f"{shown(volume_id)} is a folder of yours, not a volume that was made here",
                hint="what it holds, and how large it may be, is yours to change",
            )
        return self.get(volume_id)

    def _note(self, volume_id: str) -> Path:
        return self._folder / f"{volume_id}.json"

    def _keep(self, volume: NetworkVolume) -> None:
        write_private(self._note(volume.id), asdict(volume))


def _folder_volume(path: str) -> NetworkVolume | None:
    """A folder as a volume. Its size is what the whole file system has: how much of that it may take nobody says."""
    try:
        place = Path(path).resolve(strict=True)
        found = os.statvfs(place)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    if not place.is_dir():
        return None
    size = max(SMALLEST, found.f_frsize * found.f_blocks // _GB)
    return NetworkVolume(id=str(place), name=place.name, size=size, datacenter=DATACENTER)
