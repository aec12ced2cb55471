"""Guarded paths: every file on a volume is reached from its root one step at a time, and no step is a link.

A step opens one name below an open folder with O_NOFOLLOW and O_DIRECTORY, so whoever swaps a folder for a link, at any
moment, gets a refusal or the old folder, never a write elsewhere. `..` cannot be said: only plain names are taken.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Self

from provision.errors import UnsafePath, VolumeFull, VolumeTrouble
from provision.names import PARTIAL_PREFIX, path_fault, shown
from provision.volume.faults import FULL_HINT, UNSAFE_HINT, faults_at, volume_fault
from provision.volume.files import File

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a FIFO left at a file's place must not keep its opener waiting. Regular files do not feel it.
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Folder:
    """An open folder on a volume. Names are single segments. What is absent is answered with None or False.

    Raises (each method):
        UnsafePath: something other than a plain folder or file stands at the name.
        VolumeFull, VolumeReadOnly, VolumeTrouble, VolumeError: as `volume_fault` says.
    """

    def __init__(self, fd: int, path: str) -> None:
        self.path = path
        self._fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the descriptor back; more than once does nothing."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with suppress(OSError):  # nothing was written through a folder's descriptor
                os.close(fd)

    def copy(self) -> Folder:
        """The same folder under a descriptor of its own."""
        with faults_at(self.path, reading=True):
            return Folder(os.dup(self._fd), self.path)

    def names(self) -> list[str]:
        """Every name in the folder, in no order."""
        with faults_at(self.path, reading=True):
            return os.listdir(self._fd)  # noqa: PTH208 - a Path has no descriptor

    def entries(self) -> Iterator[os.DirEntry[str]]:
        """As `names`, one after the other and with what each is: for a folder that may hold any number."""
        with faults_at(self.path, reading=True), os.scandir(self._fd) as entries:
            yield from entries

    @property
    def device(self) -> int:
        """The file system that the folder is on."""
        with faults_at(self.path, reading=True):
            return os.fstat(self._fd).st_dev

    def stat(self, name: str) -> os.stat_result | None:
        """What stands at `name`, a link as the link itself."""
        path = self._at(name)
        try:
            return os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise volume_fault(error, path, reading=True) from error

    def folder(self, name: str) -> Folder | None:
        """The folder `name`, open."""
        path = self._at(name)
        try:
            return Folder(os.open(name, _FOLDER, dir_fd=self._fd), path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._refusal(error, name, reading=True) from error

    def made_folder(self, name: str) -> Folder:
        """The folder `name`, open, made when it was absent. Another process may make it at the same time."""
        found = self.folder(name)
        if found is None:
            self.make_folder(name)
            self.sync()
            found = self.folder(name)
        if found is None:
            raise VolumeTrouble(f"{self._at(name)} vanished as soon as it was made", hint="run the same command again")
        return found

    def make_folder(self, name: str) -> bool:
        """Make the folder `name`; False when something stands there already."""
        path = self._at(name)
        try:
            os.mkdir(name, 0o755, dir_fd=self._fd)
        except FileExistsError:
            return False
        except OSError as error:
            raise volume_fault(error, path) from error
        return True

    def remove_folder(self, name: str) -> bool:
        """Remove the empty folder `name`; False when it is gone, or not empty."""
        path = self._at(name)
        try:
            os.rmdir(name, dir_fd=self._fd)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST}:
                return False
            raise volume_fault(error, path) from error
        return True

    def open_file(self, name: str, *, writing: bool = False) -> File | None:
        """The regular file `name`, open for reading, or for both."""
        return self._open(name, os.O_RDWR if writing else os.O_RDONLY, reading=not writing)

    def made_file(self, name: str) -> File:
        """The regular file `name`, open for both, made (0644 less the umask) when it was absent."""
        file = self._open(name, os.O_RDWR | os.O_CREAT, reading=False)
        if file is None:
            raise VolumeTrouble(f"{self.path} was removed while it was written to", hint="run the same command again")
        return file

    def _open(self, name: str, flags: int, *, reading: bool) -> File | None:
        path = self._at(name)
        try:
            fd = os.open(name, flags | _FILE, 0o644, dir_fd=self._fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._refusal(error, name, reading=reading) from error
        return File.regular(fd, path)

    def write_file(self, name: str, data: bytes) -> None:
        """`name` holds `data` from one moment to the next: a new file, flushed, takes the name.

        The length is looked at after close: a quota may leave nothing of what was written.
        """
        fresh = f"{PARTIAL_PREFIX}{os.urandom(4).hex()}.new"
        try:
            with self.made_file(fresh) as file:
                file.write_at(0, data)
                file.sync()
            self.check_length(fresh, len(data))
            self.rename(fresh, name)
        except BaseException:
            self.unlink(fresh)
            raise
        self.sync()

    def check_length(self, name: str, size: int) -> None:
        """Raises VolumeFull when the closed file `name` does not have the `size` bytes that were written to it."""
        found = self.stat(name)
        if found is not None and found.st_size != size:
            message = f"{self._at(name)} was written with {size} bytes and has {found.st_size}; the volume has no room"
            raise VolumeFull(message, hint=FULL_HINT)

    def rename(self, old: str, new: str) -> bool:
        """Give `old` the name `new`, replacing what has it, in one moment; False when `old` is gone."""
        self._at(old)
        path = self._at(new)
        try:
            os.rename(old, new, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise volume_fault(error, path) from error
        return True

    def unlink(self, name: str) -> bool:
        """Remove the file `name`; False when it is gone."""
        path = self._at(name)
        try:
            os.unlink(name, dir_fd=self._fd)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise volume_fault(error, path) from error
        return True

    def sync(self) -> None:
        """The folder's names are on the volume when this returns."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            # Some file systems have nothing to flush a folder with, and say so.
            if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
                raise volume_fault(error, self.path) from error

    def _at(self, name: str) -> str:
        if name in {"", ".", ".."} or "/" in name:
            raise UnsafePath(f"`{shown(name)}` is not a plain name", hint=UNSAFE_HINT)
        return f"{self.path}/{name}"

    def _refusal(self, error: OSError, name: str, *, reading: bool) -> Exception:
        """As `volume_fault`, but says what stands at `name` when that is what was in the way."""
        path = self._at(name)
        if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.EMLINK, errno.EISDIR, errno.ENXIO}:
            kind = _kind(self.stat(name))
            if kind:
                return UnsafePath(f"{shown(path, 300)} {kind}", hint=UNSAFE_HINT)
        return volume_fault(error, path, reading=reading)


class Root(Folder):
    """The root of a volume. Paths are relative, of plain segments; "" is the root itself."""

    @classmethod
    def open(cls, path: str) -> Root:
        """The folder at `path`. It may itself be reached through links; nothing below it is.

        Raises:
            OSError: as the system says it; `Volume.open` knows what it means.
        """
        real = os.path.realpath(path, strict=True)
        return cls(os.open(real, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), real.rstrip("/"))

    def below(self, path: str) -> Folder | None:
        """The folder at `path`, open; None when it, or one on the way, is absent."""
        first, *others = _steps(path) or (None,)
        here = self.copy() if first is None else self.folder(first)
        for step in others:
            if here is None:
                return None
            with here:
                found = here.folder(step)
            here = found
        return here

    def made_below(self, path: str) -> Folder:
        """The folder at `path`, open; it, and those on the way, are made where they are absent."""
        first, *others = _steps(path) or (None,)
        here = self.copy() if first is None else self.made_folder(first)
        for step in others:
            with here:
                found = here.made_folder(step)
            here = found
        return here

    def walk(self) -> Iterator[os.stat_result]:
        """What stands below the root on the same file system, in no order; links as themselves.

        Folders that may not be read are passed over.
        """
        device = self._stat_self().st_dev
        for _, folders, files, fd in os.fwalk(".", dir_fd=self._fd, onerror=self._not_walked):
            yield from filter(None, [_entry(name, fd) for name in files])
            folders[:] = [name for name in folders if (entry := _entry(name, fd)) and entry.st_dev == device]

    def is_same(self, found: os.stat_result) -> bool:
        """Whether `found` is what the system says of this root."""
        return os.path.samestat(found, self._stat_self())

    @property
    def identity(self) -> str:
        """Tells this root from another that was, or will be, mounted at the same place."""
        found = self._stat_self()
        return f"{self.path} {found.st_dev} {found.st_ino} {self.room().f_fsid}"

    def _stat_self(self) -> os.stat_result:
        with faults_at(self.path, reading=True):
            return os.fstat(self._fd)

    def room(self) -> os.statvfs_result:
        """What statvfs says."""
        with faults_at(self.path, reading=True):
            return os.statvfs(self._fd)

    def _not_walked(self, error: OSError) -> None:
        if error.errno not in {errno.EACCES, errno.EPERM, errno.ENOENT}:
            raise volume_fault(error, self.path, reading=True) from error


@lru_cache(maxsize=256)  # the files of one folder follow each other
def _steps(path: str) -> tuple[str, ...]:
    if not path:
        return ()
    fault = path_fault(path)
    if fault:
        raise UnsafePath(f"`{shown(path)}` {fault}", hint=UNSAFE_HINT)
    return tuple(path.split("/"))


def parent_and_name(target: str) -> tuple[str, str]:
    """The folder of `target` ("" for the root) and its last segment."""
    parent, _, name = target.rpartition("/")
    return parent, name


def _kind(found: os.stat_result | None) -> str:
    if found is None or stat.S_ISREG(found.st_mode):
        return "is a file where a folder is needed" if found else ""
    if stat.S_ISLNK(found.st_mode):
        return "is a symbolic link"
    return "is a folder where a file is needed" if stat.S_ISDIR(found.st_mode) else "is not a regular file"


def _entry(name: str, fd: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM, errno.ENOENT}:
            return None
        raise volume_fault(error, name, reading=True) from error
