"""Where a hub file goes on a volume: as a tree, flat, or as one of the two hub caches. No I/O.

The two cache layouts are what the hubs' own clients look for when they are offline:

- `hf-cache`: `models--ORG--NAME/snapshots/COMMIT/PATH`, with `refs/REVISION` holding the commit (huggingface_hub,
  file_download.py). Snapshots hold plain files instead of links into `blobs/`: the client accepts both, and links on a
  volume could carry a write out of it.
- `modelscope-cache`: `models/OWNER--NAME/snapshots/REVISION/PATH` (modelscope_hub, _download.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from posixpath import basename, join, normpath
from typing import TYPE_CHECKING

from provision.digest import is_git_id

if TYPE_CHECKING:
    from provision.lock import LockedModel


class Layout(StrEnum):
    """How repository paths become targets."""

    TREE = "tree"
    FLAT = "flat"
    HF_CACHE = "hf-cache"
    MODELSCOPE_CACHE = "modelscope-cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What a layout needs to know of a model, beyond a file's path. `folder` is root and target joined."""

    layout: Layout
    folder: str
    repository: str
    revision: str
    commit: str | None


def target_of(path: str, placement: Placement) -> str:
    """The target, under the volume, of the repository path `path`."""
    return normpath(join(placement.folder, _below(path, placement)))


def _below(path: str, placement: Placement) -> str:
    dashed = placement.repository.replace("/", "--")
    match placement.layout:
        case Layout.TREE:
            return path
        case Layout.FLAT:
            return basename(path)
        case Layout.HF_CACHE:
            return f"models--{dashed}/snapshots/{placement.commit or placement.revision}/{path}"
        case Layout.MODELSCOPE_CACHE:
            return f"models/{dashed}/snapshots/{placement.revision}/{path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """A small file that a layout needs beside the promised ones; `target` is under the volume."""

    target: str
    text: str


def sidecars(model: LockedModel) -> tuple[Sidecar, ...]:
    """What a hub's client looks for before it looks for files.

    The Hugging Face client follows `refs/REVISION` to a commit, reads it without stripping (so no line feed), and asks
    for `refs/main` where its caller names no revision; a model pinned by commit is found under that name.
    """
    if model.layout != Layout.HF_CACHE or model.commit is None:
        return ()
    name = "main" if is_git_id(model.revision) else model.revision
    cache = f"models--{model.repository.replace('/', '--')}"
    folders = {
        file.target.removesuffix(f"{cache}/snapshots/{model.commit}/{file.path}")
        for file in model.files
        if file.target.endswith(f"{cache}/snapshots/{model.commit}/{file.path}")
    }
    return tuple(Sidecar(target=f"{folder}{cache}/refs/{name}", text=model.commit) for folder in sorted(folders))
