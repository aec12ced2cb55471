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
