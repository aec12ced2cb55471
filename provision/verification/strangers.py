"""Strangers: what stands below the roots of projects and was promised to nobody. Only a mount can be walked."""

from __future__ import annotations

import stat
from itertools import chain, islice
from typing import TYPE_CHECKING

from provision.errors import InputError, VolumeError
from provision.layout import sidecars
from provision.lock import LockedFile
from provision.names import PARTIAL_PREFIX, STATE_FOLDER, shown
from provision.verification.findings import Note, Promise, State
from provision.volume.mount import Volume

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from provision.lock import Lock
    from provision.verification.findings import Finding
    from provision.verification.reading import Reading
    from provision.volume.paths import Folder
    from provision.volume.view import View

LISTED = 10_000
"""Strangers that are findings; the others are counted."""

DEEPEST = 100
"""Folders within each other that are gone into: each level keeps one open."""


def strangers(view: View, locks: Sequence[Lock], reading: Reading) -> tuple[list[Finding], list[Note]]:
    """A finding for each file, link or special file below the roots of `locks` that neither they nor the other known
    locks promise, by target, LISTED of them at most; a note counts what is more. Links are not followed, and other
    file systems not gone into.

    Raises:
        InputError: the view cannot be walked.
        VolumeError: a root cannot be reached.
    """
    volume = walkable(view)
    owners, walk = _owners(locks), _Walk(volume, _promised([*locks, *reading.promised]), reading)
    met = chain.from_iterable(walk.below(root) for root in _outermost(owners))
    most = 1 if reading.fail_fast else LISTED
    found = [_finding(_owner(owners, path), path, size, detail) for path, size, detail in islice(met, most)]
    more = 0 if reading.fail_fast and found else sum(1 for _ in met)
    text = f"{more:,} more files were promised to nobody; {LISTED:,} are listed"
    return sorted(found, key=_by_target), [Note(kind="unexpected", text=text)] if more else []


def walkable(view: View) -> Volume:
    """The mounted volume that `view` is.

    Raises:
        InputError: it is none, and cannot be walked.
    """
    if isinstance(view, Volume):
        return view
    raise InputError(
        f"{view.path} cannot be searched for files that nobody promised",
        hint="leave out --strict, or run it where the volume is mounted",
    )


def _by_target(finding: Finding) -> str:
    return finding.target


def _promised(locks: Sequence[Lock]) -> set[str]:
    files = {file.target for lock in locks for _, file in lock.files()}
    return files | {sidecar.target for sidecar in sidecars([model for lock in locks for model in lock.models])}


def _owners(locks: Sequence[Lock]) -> dict[str, str]:
    """The project of each root; the first, where several share one."""
    return {lock.root: lock.project for lock in reversed(locks)}


def _outermost(roots: dict[str, str]) -> list[str]:
    """The roots that are not below another one."""
    return sorted(root for root in roots if not any(_is_below(root, other) for other in roots if other != root))


def _is_below(path: str, root: str) -> bool:
    return root in {"", path} or path.startswith(f"{root}/")


def _owner(owners: dict[str, str], path: str) -> str:
    return owners[max((root for root in owners if _is_below(path, root)), key=len)]


def _finding(project: str, path: str, size: int, detail: str) -> Finding:
    state = State.UNREADABLE if size < 0 else State.UNEXPECTED
    file = LockedFile(path=path, target=shown(path, 1024), size=max(size, 0), sha256="")
    return Promise(project=project, model="", file=file).found(state, None, size if size >= 0 else None, detail)


_Stranger = tuple[str, int, str]


class _Walk:
    """A walk through folders, which holds one open for each level and nothing of what it has seen."""

    def __init__(self, volume: Volume, promised: set[str], reading: Reading) -> None:
        self._volume, self._promised, self._reading = volume, promised, reading
        self._device = volume.root.device

    def below(self, root: str) -> Iterator[_Stranger]:
        """Each stranger below `root`: its path, its size (-1 of what could not be looked into), what it is."""
        try:
            folder = self._volume.root.below(root)
        except VolumeError as error:
            yield root, -1, error.message
            return
        if folder is not None:
            with folder:
                yield from self._in(folder, f"{root}/" if root else "", 1)

    def _in(self, folder: Folder, prefix: str, depth: int) -> Iterator[_Stranger]:
        try:
            for entry in folder.entries():
                self._reading.stop.check()
                if not (entry.name.startswith(PARTIAL_PREFIX) or (not prefix and entry.name == STATE_FOLDER)):
                    yield from self._met(folder, entry, prefix + entry.name, depth)
        except VolumeError as error:
            yield prefix.rstrip("/"), -1, error.message

    def _met(self, folder: Folder, entry: os.DirEntry[str], path: str, depth: int) -> Iterator[_Stranger]:
        if entry.is_dir(follow_symlinks=False):
            yield from self._within(folder, entry.name, path, depth)
        elif path not in self._promised:
            found = folder.stat(entry.name)
            if found is not None:
                yield path, found.st_size, _kind(found.st_mode)

    def _within(self, folder: Folder, name: str, path: str, depth: int) -> Iterator[_Stranger]:
        if depth == DEEPEST:
            yield path, -1, f"it lies {DEEPEST} folders deep, and was not looked into"
            return
        try:
            inner = folder.folder(name)
        except VolumeError as error:
            yield path, -1, error.message
            return
        if inner is not None:
            with inner:
                if inner.device == self._device:
                    yield from self._in(inner, f"{path}/", depth + 1)


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return ""
    return "a symbolic link" if stat.S_ISLNK(mode) else "not a regular file"
