"""A folder on disk as repositories: `DIR/hf/ORG/NAME/…` and `DIR/modelscope/ORG/NAME/…` hold plain files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from provision.serve.digests import DigestStore, blob_id
from provision.serve.snapshot import Entry, Snapshot, commit_of, is_lfs, lfs_patterns, lfs_pointer, license_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HUGGINGFACE = "hf"
MODELSCOPE = "modelscope"
HUBS = (HUGGINGFACE, MODELSCOPE)

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_NOT_CONTENT = frozenset({".git", ".cache", ".provision", ".locks"})
_TEXT_LIMIT = 1 << 16  # bytes of a README or .gitattributes that are looked at


class Folder:
    """The repositories below `root`. `tags` gives a repository (`org/name`) further names for its content.

    Nothing outside `root` is ever part of a repository: names are checked before they become paths,
    linked folders are not entered, and a linked file counts only if it ends inside `root`.
    """

    def __init__(self, root: Path, *, tags: Mapping[str, Sequence[str]] | None = None) -> None:
        self.root = root.resolve()
        self._tags = dict(tags or {})
        self._digests = DigestStore()
        self._repositories: dict[Path, Repository] = {}

    def repository(self, hub: str, name: str) -> Repository | None:
        """The repository `name` (`org/name`) of `hub` (`hf` or `modelscope`), or None where there is none."""
        parts = name.split("/")
        if hub not in HUBS or len(parts) != 2 or not all(map(_PART.fullmatch, parts)):
            return None
        place = self.root.joinpath(hub, *parts)
        if not place.is_dir() or place.resolve() != place:
            return None
        known = self._repositories.get(place)
        if known is None:
            known = self._repositories.setdefault(place, self.make(name, place))
        return known

    def make(self, name: str, place: Path) -> Repository:
        """The repository `name` at `place`, for the first who asks. A test of bad hubs gives another kind."""
        return Repository(name=name, root=place, within=self.root, digests=self._digests, tags=self._tags.get(name, ()))

    def repositories(self) -> Iterator[tuple[str, Repository]]:
        """Every hub and repository there is, sorted."""
        for hub in HUBS:
            for place in sorted(self.root.glob(f"{hub}/*/*")):
                if found := self.repository(hub, f"{place.parent.name}/{place.name}"):
                    yield hub, found


class Repository:
    """One repository on disk. A test of bad hubs overrides `entries` to tell lies."""

    def __init__(self, *, name: str, root: Path, within: Path, digests: DigestStore, tags: Sequence[str] = ()) -> None:
        self.name = name
        self.root = root
        self.tags = tuple(tags)
        self._within = within
        self._digests = digests
        self._known: dict[str, tuple[object, Entry]] = {}

    def entries(self) -> tuple[Entry, ...]:
        """The files as they are now, sorted by path. A file not yet known, or changed, is read to be hashed.

        Names that are not UTF-8 cannot be told in JSON and are left out.

        Raises:
            OSError: A file cannot be read.
        """
        patterns = self._lfs_patterns()
        found = [self._entry(path, source, patterns) for path, source in self._files(str(self.root), "")]
        return tuple(sorted(found, key=lambda entry: entry.path))

    def snapshot(self) -> Snapshot:
        """What the hubs say about the repository now.

        Raises:
            OSError: A file cannot be read.
        """
        entries = self.entries()
        readme = next((entry for entry in entries if entry.path == "README.md"), None)
        return Snapshot(
            name=self.name,
            entries=entries,
            commit=commit_of(entries),
            tags=self.tags,
            license=license_of(_text(readme.source)) if readme else None,
        )

    def _entry(self, path: str, source: str, patterns: tuple[str, ...] | None) -> Entry:
        status = os.lstat(source)
        # Every request lists anew, so a file that has not changed must cost next to nothing.
        identity = (source, status.st_ino, status.st_size, status.st_mtime_ns, patterns)
        known = self._known.get(path)
        if known is None or known[0] != identity:
            known = self._known[path] = (identity, self._read(path, Path(source), status, patterns))
        return known[1]

    def _read(self, path: str, source: Path, status: os.stat_result, patterns: Sequence[str] | None) -> Entry:
        lfs = is_lfs(path, status.st_size, patterns)
        digests = self._digests.of(source, status, with_blob_id=not lfs)
        return Entry(
            path=path,
            size=status.st_size,
            sha256=digests.sha256,
            oid=digests.blob_id or blob_id(lfs_pointer(digests.sha256, status.st_size)),
            lfs=lfs,
            modified=int(status.st_mtime),
            source=source,
        )

    def _files(self, directory: str, prefix: str) -> Iterator[tuple[str, str]]:
        """Each file's path in the repository, and where its bytes are."""
        with os.scandir(directory) as children:
            for child in children:
                if not _is_text(child.name):
                    continue
                if child.is_dir(follow_symlinks=False):
                    if child.name not in _NOT_CONTENT:
                        yield from self._files(child.path, f"{prefix}{child.name}/")
                elif child.is_file(follow_symlinks=False):
                    yield prefix + child.name, child.path
                elif child.is_symlink() and (source := self._linked(child.path)):
                    yield prefix + child.name, source

    def _linked(self, link: str) -> str | None:
        """Where a link ends; None unless that is a plain file inside the served folder."""
        source = Path(link).resolve()
        return str(source) if source.is_relative_to(self._within) and source.is_file() else None

    def _lfs_patterns(self) -> tuple[str, ...] | None:
        source = self._linked(str(self.root / ".gitattributes"))
        return lfs_patterns(_text(Path(source))) if source else None


def _is_text(name: str) -> bool:
    # os.scandir gives each byte that is not UTF-8 as a lone surrogate
    return name.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in name)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_TEXT_LIMIT).decode("utf-8", errors="replace")
