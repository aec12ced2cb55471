"""Leftovers: what writers have of unfinished files, as anyone can tell who looks at a volume. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.errors import UnsafePath, VolumeError, VolumeTrouble
from provision.volume.journal import (
    JOURNAL_LIMIT,
    NO_JOURNAL,
    Journal,
    bytes_of,
    journal_name,
    journals_among,
    keeps_journal,
    key_of,
    parse,
    partial_name,
    partials_among,
    within,
)
from provision.volume.mount import is_regular
from provision.volume.paths import parent_and_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provision.lock import LockedFile
    from provision.volume.files import File
    from provision.volume.mount import Volume
    from provision.volume.paths import Folder
    from provision.volume.writer import Owner

JOURNALS = "partials"
"""The state folder that holds the journals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """What one writer has of an unfinished file: `held` proven bytes as its journal claims, `size` bytes of room.

    `touched` is when one of the two was last written, in seconds since the epoch.
    """

    writer: str
    owner: Owner
    held: int
    size: int
    touched: float


def leftovers(volume: Volume, files: Iterable[LockedFile]) -> dict[str, list[Leftover]]:
    """By target, what every writer that keeps a journal has of `files`; targets of which nobody has any are left out.

    Raises:
        UnsafePath: the journals are reached through something other than plain folders.
        VolumeTrouble, VolumeError: something cannot be looked at.
    """
    state = volume.state(JOURNALS)
    if state is None:
        return {}
    with state:
        writers = journals_among(state.names())
        keyed = ((file, key_of(file)) for file in files if writers and keeps_journal(file))
        return {
            file.target: [_noted(volume, state, file, writer) for writer in writers[key]]
            for file, key in keyed
            if key in writers
        }


def without_journal(volume: Volume, files: Iterable[LockedFile]) -> dict[str, list[Leftover]]:
    """By target, the partials of `files` that no journal tells of, so that nobody can go on with them: of a file of a
    single piece, or of a writer whose journal is gone. Each folder is listed for them.

    Raises:
        UnsafePath: the journals are reached through something other than plain folders.
        VolumeTrouble, VolumeError: something cannot be looked at.
    """
    noted = keys_of_journals(volume)
    found: dict[str, list[Leftover]] = {}
    for parent, siblings in by_parent(files).items():
        lying = _partials_in(volume, parent)
        for file in siblings:
            key = key_of(file)
            silent = set(lying.get(key, ())).difference(noted.get(key, ()) if keeps_journal(file) else ())
            if silent:
                found[file.target] = [_leftover(volume, file, writer, NO_JOURNAL, 0.0) for writer in sorted(silent)]
    return found


def keys_of_journals(volume: Volume) -> dict[str, list[str]]:
    """The writers of all journals, by key."""
    state = volume.state(JOURNALS)
    if state is None:
        return {}
    with state:
        return journals_among(state.names())


def by_parent(files: Iterable[LockedFile]) -> dict[str, list[LockedFile]]:
    """The files by the folder of their target."""
    groups: dict[str, list[LockedFile]] = {}
    for file in files:
        groups.setdefault(parent_and_name(file.target)[0], []).append(file)
    return groups


def read_journal(state: Folder, name: str, file: LockedFile) -> Journal | None:
    """What the journal `name` says about `file`; None when it is gone or not fit to be read."""
    journal = fit(state, name)
    if journal is None:
        return None
    with journal:
        return parse(journal.read_at(0, JOURNAL_LIMIT), file)


def fit(folder: Folder, name: str, *, writing: bool = False) -> File | None:
    """The file `name`, if it can be had: what others left in a bad state is only not used."""
    try:
        return folder.open_file(name, writing=writing)
    except VolumeTrouble:
        raise
    except VolumeError:
        return None


def _partials_in(volume: Volume, parent: str) -> dict[str, list[str]]:
    try:
        folder = volume.root.below(parent)
    except UnsafePath:
        folder = None
    if folder is None:
        return {}
    with folder:
        return partials_among(folder.names())


def _noted(volume: Volume, state: Folder, file: LockedFile, writer: str) -> Leftover:
    name = journal_name(key_of(file), writer)
    journal, noted = read_journal(state, name, file), state.stat(name)
    return _leftover(volume, file, writer, journal or NO_JOURNAL, noted.st_mtime if noted else 0.0)


def _leftover(volume: Volume, file: LockedFile, writer: str, journal: Journal, noted_at: float) -> Leftover:
    parent, _ = parent_and_name(file.target)
    try:
        found = volume.stat(f"{parent}/{partial_name(key_of(file), writer)}".lstrip("/"))
    except UnsafePath:
        found = None
    size = found.st_size if found is not None and is_regular(found) else 0
    return Leftover(
        writer=writer,
        owner=journal.owner,
        held=bytes_of(within(journal.pieces, file.size, size), file.size),
        size=size,
        touched=max(noted_at, found.st_mtime if found is not None else 0.0),
    )
