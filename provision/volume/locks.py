"""Copies of the locks of all projects that fill a volume, so that it can be verified by whoever mounts it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from provision.errors import LockUnreadable, UnsafePath
from provision.lock import LOCK_SUFFIX, dumps, loads
from provision.names import STATE_FOLDER, path_fault, shown

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from provision.lock import Lock
    from provision.volume.mount import Volume
    from provision.volume.paths import Folder
    from provision.volume.view import Readable, View

_FOLDER = "locks"
LIMIT = 64 * 1024 * 1024
"""Bytes of a lock on a volume; one of 100,000 files has a third of it."""


def write_lock(volume: Volume, lock: Lock) -> bool:
    """Leave a copy of `lock` on the volume, in one moment; False when exactly this copy was there.

    Raises:
        VolumeError: as Folder does.
    """
    text, name = dumps(lock).encode(), _name(lock.project)
    with volume.made_state(_FOLDER) as folder:
        if _text(folder, name) == text:
            return False
        folder.write_file(name, text)
        return True


def read_lock(view: View, project: str, limit: int = LIMIT) -> Lock | None:
    """The copy of `project`'s lock, of at most `limit` bytes; None when the volume has none.

    Raises:
        LockUnreadable: it is damaged, of a newer release, or not of this project.
        VolumeError: as the view does.
    """
    return _parsed(view, _name(project), limit)


def read_locks(view: View) -> list[Lock]:
    """Every lock on the volume, by project. One that cannot be read is not passed over.

    Raises:
        LockUnreadable, VolumeError: as `read_lock`.
    """
    names = sorted(name for name in view.state_names(_FOLDER) if name.endswith(LOCK_SUFFIX))
    return [lock for name in names if (lock := _parsed(view, name)) is not None]


def _name(project: str) -> str:
    fault = "has a `/`" if "/" in project else path_fault(project + LOCK_SUFFIX)
    if fault:
        raise UnsafePath(f"`{shown(project)}` cannot be a project's name: it {fault}", hint="name it otherwise")
    return project + LOCK_SUFFIX


def _parsed(view: View, name: str, limit: int = LIMIT) -> Lock | None:
    with _opened(view.open_file(f"{STATE_FOLDER}/{_FOLDER}/{name}")) as file:
        if file is None:
            return None
        text, path = file.read_at(0, limit + 1), shown(file.path, 300)
    hint = "run `provision fill` with the project's lock to replace the copy"
    if len(text) > limit:
        raise LockUnreadable(f"{path} is too large to be a lock", hint=hint)
    lock = loads(text, file=path)
    if lock.project + LOCK_SUFFIX != name:
        raise LockUnreadable(f"{path} is the lock of another project, `{shown(lock.project)}`", hint=hint)
    return lock


def _opened(file: Readable | None) -> AbstractContextManager[Readable | None]:
    return nullcontext() if file is None else file


def _text(folder: Folder, name: str) -> bytes | None:
    with _opened(folder.open_file(name)) as file:
        return None if file is None else file.read_at(0, LIMIT + 1)
