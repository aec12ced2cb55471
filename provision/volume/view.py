"""A view: a volume as a verification sees it, whether it is mounted or reached through S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType


class Facts(Protocol):
    """What is known of a file without reading it, under the names of `os.stat_result`.

    `st_ino` is 0 where the view cannot tell inodes; such a view knows times of change to the second only.
    """

    @property
    def st_size(self) -> int:
        """Bytes."""

    @property
    def st_mtime_ns(self) -> int:
        """When it was last changed, in nanoseconds since the epoch."""

    @property
    def st_ino(self) -> int:
        """The inode, or 0."""


class Readable(Protocol):
    """An open file. Offsets are given with each call, so threads may share it. A context: leaving it closes.

    Raises (each method):
        VolumeError, and its children: the file cannot be read.
    """

    path: str

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def stat(self) -> Facts:
        """What is known of it now."""

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; fewer only where the file ends."""

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill `buffer` from `offset`; how many bytes that was, fewer only where the file ends."""

    def close(self) -> None:
        """Give it back; more than once does nothing."""


class View(Protocol):
    """A volume to be read. `path` names it for people: a folder, or `s3://VOLUME_ID`.

    Raises (each method):
        UnsafePath: something other than plain folders and files is in the way.
        VolumeTrouble: trouble that often passes.
        VolumeError, and its children: it cannot be looked at.
    """

    @property
    def path(self) -> str:
        """What people call it."""

    @property
    def identity(self) -> str:
        """Tells this volume from another of the same name: one mounted there later, one on another server."""

    def open_file(self, target: str) -> Readable | None:
        """The file at `target`, under the volume's root; None when it is absent."""

    def state_names(self, folder: str) -> list[str]:
        """The names in a folder that provision keeps for itself, `.provision/FOLDER`; none when it is absent."""
