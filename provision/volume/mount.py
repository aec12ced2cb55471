"""A mounted volume: found or refused at once, and tried for writing before anything is fetched."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Self

from provision.errors import VolumeAbsent
from provision.names import STATE_FOLDER, shown
from provision.volume.faults import faults_at, volume_fault
from provision.volume.paths import Folder, Root, parent_and_name

if TYPE_CHECKING:
    from types import TracebackType

    from provision.volume.files import File

_README = b"""This folder belongs to `provision`, which fills this volume with model weights.

locks/      what each project was promised
receipts/   what was proven about the files that stand
partials/   journals of unfinished files; each lies beside its target as .provision-*.partial
claims/     who fetches what just now
jobs/       what rented pods did here

Nothing here is needed to use the models. Without it the next `provision fill` reads every file again.
"""
_PROBE = b"provision was here\n" * 8


class Volume:
    """An open volume. `path` is where it really is; `root` the guarded way to everything below.

    Close it, or use it as a context; what was opened through it stays open until closed itself.
    """

    def __init__(self, root: Root) -> None:
        self.root = root
        self.path = root.path or "/"

    @classmethod
    def open(cls, path: str, *, create: bool = False) -> Volume:
        """The volume at `path`; with `create` the folder is made when it is absent.

        Raises:
            VolumeAbsent: nothing, or no folder, is there.
            VolumeError: it cannot be read.
        """
        if create:
            with faults_at(path):
                os.makedirs(path, exist_ok=True)  # noqa: PTH103 - pathlib costs a worker's start 3 ms
        try:
            return cls(Root.open(path))
        except (FileNotFoundError, NotADirectoryError) as error:
            what = "is not there" if isinstance(error, FileNotFoundError) else "is not a folder"
            raise VolumeAbsent(
                f"the volume {shown(path, 300)} {what}", hint="attach the network volume or pass --volume DIR"
            ) from error
        except OSError as error:
            raise volume_fault(error, path, reading=True) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the descriptor back."""
        self.root.close()

    @property
    def identity(self) -> str:
        """As View."""
        return self.root.identity

    def stat(self, target: str) -> os.stat_result | None:
        """What stands at `target`; None when it, or a folder on the way, is absent. Raises as Folder does."""
        parent, _, name = target.rpartition("/")
        folder = self.root.below(parent)
        if folder is None:
            return None
        with folder:
            return folder.stat(name)

    def open_file(self, target: str) -> File | None:
        """The regular file at `target`, open for reading; None when it, or a folder on the way, is absent."""
        parent, name = parent_and_name(target)
        folder = self.root.below(parent)
        if folder is None:
            return None
        with folder:
            return folder.open_file(name)

    def write_file(self, target: str, data: bytes) -> None:
        """`target` holds `data`, which is small, from one moment to the next; nothing is done where it does already."""
        parent, name = parent_and_name(target)
        with self.root.made_below(parent) as folder:
            standing = folder.open_file(name)
            if standing is not None:
                with standing:
                    if standing.read_at(0, len(data) + 1) == data:
                        return
            folder.write_file(name, data)

    def state(self, name: str) -> Folder | None:
        """The folder `name` that provision keeps for itself on the volume; None when it is absent."""
        return self.root.below(f"{STATE_FOLDER}/{name}")

    def state_names(self, name: str) -> list[str]:
        """The names in `state(name)`; none when it is absent."""
        folder = self.state(name)
        if folder is None:
            return []
        with folder:
            return folder.names()

    def made_state(self, name: str) -> Folder:
        """As `state`, made when it is absent."""
        return self.root.made_below(f"{STATE_FOLDER}/{name}")

    def check_attached(self) -> None:
        """Look that this volume is still what is at `path`: one that was unmounted lazily goes on taking bytes from
        those who have it open, and where they went nobody else may ever see.

        Raises:
            VolumeAbsent: nothing is there, or something else.
            VolumeError: it cannot be looked at.
        """
        try:
            found = os.stat(self.path)  # noqa: PTH116 - pathlib costs a worker's start 3 ms
        except (FileNotFoundError, NotADirectoryError):
            found = None
        except OSError as error:
            raise volume_fault(error, self.path, reading=True) from error
        if found is None or not self.root.is_same(found):
            raise VolumeAbsent(
                f"the volume {shown(self.path, 300)} was taken away while it was in use",
                hint="attach it again, then run the same command again: it resumes with what the volume has kept",
            )

    def check_writable(self) -> None:
        """Write a small file and take it away again, so that a volume that cannot be filled is known at once.

        Its length is looked at after close: a spent quota may leave nothing of what was written.

        Raises:
            VolumeReadOnly, VolumeFull, UnsafePath, VolumeTrouble: as Folder does.
        """
        with self.root.made_below(STATE_FOLDER) as folder:
            probe = f"probe-{os.urandom(4).hex()}"
            try:
                with folder.made_file(probe) as file:
                    file.write_at(0, _PROBE)
                    file.sync()
                folder.check_length(probe, len(_PROBE))
            finally:
                folder.unlink(probe)
            if folder.stat("README.txt") is None:
                folder.write_file("README.txt", _README)


def is_regular(found: os.stat_result) -> bool:
    """Whether a plain file stands there."""
    return stat.S_ISREG(found.st_mode)
