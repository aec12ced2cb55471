"""Mirrors: where else the promised files are, decided from what a mirror's hub lists. Pure.

A file is the same by its sha256 and by nothing else. Where a listing tells none, as Hugging Face of small files, one of
the same path and size may be the same: its sha256 is taken when it is fetched, as that of every file is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.lock import Mirror
from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from provision.errors import Issue
    from provision.hubs import Pin, RemoteFile
    from provision.lock import LockedFile
    from provision.manifest import WantedMirror

_FEW = 5
"""Files that are named of many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedMirror:
    """A mirror that a manifest wants, at its pin, and what it has there; None where it does not list it (https)."""

    wanted: WantedMirror
    pin: Pin
    listing: Sequence[RemoteFile] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A mirror as it is locked, why it may not be one, and what a person should know of it ("" for nothing)."""

    mirror: Mirror
    issues: tuple[Issue, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What a mirror has: files under another path, none, and others under the same path."""

    moved: dict[str, str]
    lacking: tuple[str, ...]
    others: tuple[tuple[LockedFile, RemoteFile], ...]


def match(listed: ListedMirror, files: Sequence[LockedFile]) -> Match:
    """The mirror of the promised `files`.

    Its issues are that it has none of them, or other bytes under the path of one and these bytes nowhere. That it
    lacks some is worth a note: they come from elsewhere.
    """
    source, pin = listed.wanted.source, listed.pin
    mirror = Mirror(source=f"{source.hub}://{source.repository}", revision=pin.revision, commit=pin.commit)
    if listed.listing is None:
        return Match(mirror=mirror)
    promised = {file.path: file for file in files}
    found = _found(listed.listing, list(promised.values()))
    mirror = Mirror(
        source=mirror.source,
        revision=mirror.revision,
        commit=mirror.commit,
        paths=tuple(sorted(found.moved.items())),
    )
    if len(found.lacking) == len(promised):
        message = f"the mirror {source} has none of the {len(promised):,} files"
        meant = "drop it, or name the revision that has them (@REV)"
        return Match(mirror=mirror, issues=(listed.wanted.position.issue(message, meant=meant),))
    return Match(mirror=mirror, issues=tuple(_issues(listed, found)), note=_note(listed, found, len(promised)))


def _found(listing: Sequence[RemoteFile], files: Sequence[LockedFile]) -> _Found:
    by_path = {remote.path: remote for remote in listing}
    by_sha256 = {sha256: remote.path for remote in reversed(listing) if (sha256 := _sha256(remote))}
    moved: dict[str, str] = {}
    lacking, others = [], []
    for file in files:
        same = by_path.get(file.path)
        if same is not None and _sha256(same) == file.sha256:
            continue
        if file.sha256 in by_sha256:
            moved[file.path] = by_sha256[file.sha256]
        elif same is None:
            lacking.append(file.path)
        elif _sha256(same) or same.size != file.size:
            others.append((file, same))
    return _Found(moved=moved, lacking=tuple(lacking), others=tuple(others))


def _sha256(remote: RemoteFile) -> str:
    """What the listing tells; "" for nothing."""
    return remote.digest.value if remote.digest and remote.digest.algorithm == "sha256" else ""


def _issues(listed: ListedMirror, found: _Found) -> Iterator[Issue]:
    meant = "drop the mirror, name the revision that has the same (@REV), or exclude the file"
    for file, remote in found.others[:_FEW]:
        theirs, ours = f"sha256 {_sha256(remote)}", f"sha256 {file.sha256}"
        if not _sha256(remote):
            theirs, ours = f"{remote.size:,} bytes", f"{file.size:,}"
        message = f"the mirror {listed.wanted.source} has another {shown(file.path)}: {theirs}, the source has {ours}"
        yield listed.wanted.position.issue(message, meant=meant)
    if len(found.others) > _FEW:
        message = f"the mirror {listed.wanted.source} has {len(found.others) - _FEW:,} more files that are others"
        yield listed.wanted.position.issue(message)


def _note(listed: ListedMirror, found: _Found, total: int) -> str:
    if not found.lacking:
        return ""
    names = ", ".join(map(shown, found.lacking[:_FEW])) + (", …" if len(found.lacking) > _FEW else "")
    return f"the mirror {listed.wanted.source} lacks {len(found.lacking):,} of {total:,} files: {names}"
