"""Network volumes: folders with a quota that is recorded, and looked at when a test asks."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True, kw_only=True)
class Volume:
    """A network volume. `size` in GB."""

    id: str
    name: str
    size: int
    datacenter: str
    type: str
    folder: Path

    def document(self) -> dict[str, object]:
        """As v2 tells it."""
        return {
            "id": self.id, "name": self.name, "size": self.size, "dataCenter": self.datacenter, "type": self.type,
        }  # fmt: skip

    def graphql(self) -> dict[str, object]:
        """As GraphQL tells it."""
        return {"id": self.id, "name": self.name, "size": self.size, "dataCenterId": self.datacenter}

    def used(self) -> int:
        """Bytes of all files in it."""
        total = 0
        for place, _, names in os.walk(self.folder):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    total += (Path(place) / name).lstat().st_size
        return total

    @property
    def away(self) -> Path:
        """Where its folder is while it is not mounted."""
        return self.folder.with_name(f"{self.folder.name}.away")

    def unmount(self) -> None:
        """The folder is gone from where pods look for it."""
        if self.folder.exists():
            self.folder.rename(self.away)

    def mount(self) -> None:
        """It is back; what was written in its place meanwhile is lost, as it never was on the volume."""
        if self.away.exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.away.rename(self.folder)
