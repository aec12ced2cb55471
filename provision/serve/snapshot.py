"""A repository at one moment: what it lists, what its commit is. No I/O."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

WEIGHT_SUFFIXES = frozenset(
    ".7z .bin .ckpt .gguf .h5 .joblib .model .msgpack .npy .npz .onnx .ot .parquet .pb .pickle .pkl .pt .pth .safetensors .tflite .zip".split()  # noqa: E501, SIM905 - a table reads best on one line
)
"""Suffixes that both hubs keep in LFS unless told otherwise (the `.gitattributes` of a new repository)."""

LARGE = 10 << 20
"""Bytes above which Hugging Face takes a file only through LFS."""

_LICENSE = re.compile(r"^license:[ \t]*[\"']?([\w.+-]+)[\"']?[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file as a listing tells it. `path` is what is claimed; `source` is where the bytes really are."""

    path: str
    size: int
    sha256: str
    oid: str
    """The git id a hub shows: of the bytes, or of the pointer that stands for LFS bytes in git."""
    lfs: bool
    modified: int
    """Seconds since 1970."""
    source: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A folder as a listing tells it."""

    path: str
    oid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything the hubs say about a repository, from one reading of its listing."""

    name: str
    """`org/name`."""
    entries: tuple[Entry, ...]
    """Sorted by path."""
    commit: str
    tags: tuple[str, ...] = ()
    license: str | None = None

    @property
    def modified(self) -> int:
        """When the youngest file changed, in seconds since 1970."""
        return max((entry.modified for entry in self.entries), default=0)

    def has(self, revision: str, *, branch: str) -> bool:
        """Whether `revision` names this content: the hub's default branch, a tag, or this very commit."""
        return revision in {branch, self.commit, *self.tags}

    def find(self, path: str) -> Entry | None:
        """The file at `path`."""
        return next((entry for entry in self.entries if entry.path == path), None)

    def with_sha256(self, sha256: str) -> Entry | None:
        """A file with this content."""
        return next((entry for entry in self.entries if entry.sha256 == sha256), None)

    def listing(self, root: str = "", *, recursive: bool) -> tuple[Entry | Directory, ...]:
        """Files and folders below `root`, sorted by path; only its direct children unless `recursive`."""
        below = [entry for entry in self.entries if not root or entry.path.startswith(f"{root}/")]
        found: list[Entry | Directory] = [*below, *_directories(below, root)]
        items = sorted(found, key=lambda item: item.path)
        return tuple(item for item in items if recursive or _parent(item.path) == root)


def lfs_pointer(sha256: str, size: int) -> bytes:
    """The text git keeps in place of an LFS file (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md)."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def commit_of(entries: Iterable[Entry]) -> str:
    """A commit id for a content: 40 hexadecimal digits; the same paths and bytes always give the same one."""
    lines = sorted(f"{entry.path}\0{entry.size}\0{entry.sha256}\n" for entry in entries)
    return hashlib.sha1("".join(lines).encode(), usedforsecurity=False).hexdigest()


def lfs_patterns(gitattributes: str) -> tuple[str, ...]:
    """The patterns that `.gitattributes` sends to LFS, in its order. Macros and negations are not looked at."""
    lines = [line.split() for line in gitattributes.splitlines() if not line.lstrip().startswith("#")]
    return tuple(words[0] for words in lines if "filter=lfs" in words[1:])


def is_lfs(path: str, size: int, patterns: Sequence[str] | None) -> bool:
    """Whether a hub keeps this file in LFS: as the `patterns` of `.gitattributes` say, else by suffix and size."""
    if patterns is None:
        return size > LARGE or PurePosixPath(path).suffix in WEIGHT_SUFFIXES
    return any(fnmatchcase(path if "/" in pattern else PurePosixPath(path).name, pattern) for pattern in patterns)


def license_of(readme: str) -> str | None:
    """The `license` in the front matter of a model card, where it is a plain word."""
    if not readme.startswith("---\n"):
        return None
    front_matter = readme[4:].partition("\n---")[0]
    found = _LICENSE.search(front_matter)
    return found[1] if found else None


def _directories(entries: Iterable[Entry], root: str) -> list[Directory]:
    members: dict[str, list[Entry]] = {}
    for entry in entries:
        for parent in PurePosixPath(entry.path).parents:
            if str(parent) not in {root, ".", "/"} and str(parent).startswith(root):
                members.setdefault(str(parent), []).append(entry)
    return [Directory(path=path, oid=commit_of(inside)) for path, inside in members.items()]


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
