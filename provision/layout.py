"""Where a hub file goes on a volume: as a tree, flat, or as one of the two hub caches. No I/O.

The two cache layouts are what the hubs' own clients look for when they are offline. `folder` is then the cache folder
itself, and should hold nothing else:

- `hf-cache`, for HF_HUB_CACHE: `models--ORG--NAME/snapshots/COMMIT/PATH`, and `refs/REVISION` beside `snapshots`
  (huggingface_hub 2.4, file_download.py). Snapshots hold plain files instead of links into `blobs/`: the client takes
  both, and links on a volume could carry a write out of it.
- `modelscope-cache`, for MODELSCOPE_CACHE: `models/OWNER--NAME/snapshots/REVISION/PATH` (modelscope_hub 0.5,
  _download.py). It has no index: a snapshot that is not empty is taken as it is.

Neither client writes to such a folder while it is offline, so it may be read-only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from posixpath import basename
from typing import TYPE_CHECKING

from provision.digest import is_git_id
from provision.names import targets_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
    """The target, under the volume, of the repository path `path`. Nothing is tidied: a `..` stays to be refused."""
    below = _below(path, placement)
    return f"{placement.folder}/{below}" if placement.folder else below


def _below(path: str, placement: Placement) -> str:
    match placement.layout:
        case Layout.TREE:
            return path
        case Layout.FLAT:
            return basename(path)
        case Layout.HF_CACHE:
            return f"{_cache_name(placement.repository)}/snapshots/{placement.commit or placement.revision}/{path}"
        case Layout.MODELSCOPE_CACHE:
            return f"models/{placement.repository.replace('/', '--')}/snapshots/{placement.revision}/{path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """A small file that a layout needs beside the promised ones; `target` is under the volume.

    `after`: the targets that must be as promised before it is written, so that it never leads to a snapshot in parts.
    `is_asked`: a model names this revision; False where it is only what `main` leads to for want of another.
    """

    target: str
    text: str
    after: tuple[str, ...]
    is_asked: bool = True


def sidecars(models: Iterable[LockedModel]) -> tuple[Sidecar, ...]:
    """What the Hugging Face client looks for before it looks for files: `refs/REVISION`, which holds the commit.

    The client reads it without stripping, so there is no line feed (file_download.py, try_to_load_from_cache). Where
    nobody names a revision it asks for `main`. If no model is `main` and the cache has one commit of the repository,
    that is what `main` leads to, so that a model pinned by commit or tag is found without a revision; with several,
    callers must say which they mean. The ModelScope client has this rule itself (_resolve_cached_snapshot).

    `trees/COMMIT.json`, the client's list of a whole repository, is left out on purpose. It is believed for ever, also
    online (_snapshot_download.py): one that names only the promised files would hide the others from the client, and
    one that names them all would make it refuse, offline, a snapshot from which the manifest leaves some out.
    """
    caches: dict[str, list[LockedModel]] = {}
    for model in models:
        for cache in _caches(model):
            caches.setdefault(cache, []).append(model)
    return tuple(ref for cache in sorted(caches) for ref in _refs(cache, caches[cache]))


def layout_fault(models: Sequence[LockedModel]) -> str:
    """Why what the layouts of `models` need beside their files cannot stand there; "" when it can."""
    targets = {file.target for model in models for file in model.files}
    return targets_fault([*targets, *(sidecar.target for sidecar in sidecars(models))])


def _refs(cache: str, models: Sequence[LockedModel]) -> Iterator[Sidecar]:
    snapshots: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for model in models:
        commit = str(model.commit)
        snapshots.setdefault(commit, []).extend(file.target for file in model.files)
        if not is_git_id(model.revision):
            names[model.revision] = commit
    asked = set(names)
    if len(snapshots) == 1:
        names.setdefault("main", *snapshots)
    for name, commit in sorted(names.items()):
        after = tuple(snapshots[commit])
        yield Sidecar(target=f"{cache}/refs/{name}", text=commit, after=after, is_asked=name in asked)


def _caches(model: LockedModel) -> set[str]:
    """The folders of its repository in hub caches: one, or none where every file has a target of its own."""
    if model.layout != Layout.HF_CACHE or model.commit is None:
        return set()
    cache = _cache_name(model.repository)
    ends = ((file.target, f"/{cache}/snapshots/{model.commit}/{file.path}") for file in model.files)
    return {f"{f'/{target}'.removesuffix(end)}/{cache}"[1:] for target, end in ends if f"/{target}".endswith(end)}


def _cache_name(repository: str) -> str:
    return f"models--{repository.replace('/', '--')}"
