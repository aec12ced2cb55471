"""Projects: a name or a path on the command line, a manifest and a lock on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provision.errors import InputError, LockMissing, LockStale
from provision.lock import LOCK_SUFFIX, dumps, loads
from provision.names import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.lock import Lock
    from provision.manifest import Manifest

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Where one project's manifest and lock are; either may be absent."""

    name: str
    manifest: Path
    lock: Path


def find(named: Sequence[str], folder: Path) -> list[Project]:
    """The projects that were named; without names, every manifest in `folder`.

    Raises:
        InputError: there is no such project, or none at all.
    """
    if named:
        return [_one(name, folder) for name in dict.fromkeys(named)]
    found = [_project(path) for path in sorted(folder.glob("*")) if path.suffix in SUFFIXES]
    if not found:
        raise InputError(
            f"there are no manifests in {folder}/",
            hint="write one (docs/manifest.md shows how), name another folder with --manifests DIR, or give a path",
        )
    return found


def _project(manifest: Path) -> Project:
    return Project(name=manifest.stem, manifest=manifest, lock=manifest.with_name(manifest.stem + LOCK_SUFFIX))


def _one(name: str, folder: Path) -> Project:
    if name.endswith(LOCK_SUFFIX):
        lock = Path(name)
        return _project(lock.with_name(lock.name.removesuffix(LOCK_SUFFIX) + SUFFIXES[0]))
    if "/" in name or name.endswith(SUFFIXES):
        return _project(Path(name))
    candidates = [_project(folder / f"{name}{suffix}") for suffix in SUFFIXES]
    for project in candidates:
        if project.manifest.exists() or project.lock.exists():
            return project
    known = {path.name.partition(".")[0] for path in folder.glob("*") if path.suffix in {*SUFFIXES, ".json"}}
    close = nearest(name, sorted(known), count=1)
    raise InputError(
        f"there is no project `{name}`: neither {candidates[0].manifest} nor its lock exists",
        hint=f"did you mean `{close[0]}`?" if close else "name another folder with --manifests DIR, or give a path",
    )


def read_manifest(project: Project) -> Manifest:
    """The project's manifest. Raises InputError or ManifestError."""
    from provision.manifest import load

    manifest = load(project.manifest)
    if manifest.project != project.name:
        raise InputError(
            f"{project.manifest} says it is project `{manifest.project}`, its name says `{project.name}`",
            hint=f"rename the file to {manifest.project}{project.manifest.suffix}, or change `project:`",
        )
    return manifest


def read_lock(project: Project) -> Lock | None:
    """The project's lock, None where there is none. Raises LockUnreadable, InputError."""
    try:
        text = project.lock.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{project.lock} cannot be read: {error.strerror}") from error
    lock = loads(text, file=str(project.lock))
    if lock.project != project.name:
        raise InputError(
            f"{project.lock} is the lock of project `{lock.project}`", hint=f"rename it to {lock.project}{LOCK_SUFFIX}"
        )
    return lock


def required_lock(project: Project) -> Lock:
    """As `read_lock`, where the lock must exist. Raises LockMissing."""
    lock = read_lock(project)
    if lock is None:
        raise LockMissing(f"{project.lock} does not exist", hint=f"make it: provision lock {project.name}")
    return lock


def check_fresh(project: Project, lock: Lock) -> None:
    """Raise LockStale when `lock` does not answer the manifest that stands now, model by model."""
    from provision.freshness import answers

    if not answers(read_manifest(project), lock):
        raise LockStale(
            f"{project.lock} does not belong to {project.manifest}: one of them has changed since",
            hint=f"bring it up to date: provision lock {project.name}",
        )


def write_lock(project: Project, lock: Lock) -> None:
    """Replace the lock file at once and whole. Raises InputError when the folder cannot be written."""
    partial = project.lock.with_name(f".{project.lock.name}.{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(dumps(lock))
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(project.lock)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"{project.lock} cannot be written: {error.strerror}") from error
