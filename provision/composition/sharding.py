"""Sharded weights: an index and its shards, and shards that are numbered in their names.

The index is read by `get_checkpoint_shard_files` of transformers 5 (utils/hub.py) and its twin in diffusers 0.42
(utils/hub_utils.py): both load every file that `weight_map` names, need `metadata`, and take all tensors that a shard
holds, whatever `weight_map` says of it. So a tensor in another shard than the index says is found all the same; one in
none is left as it was made, with a warning only; it may be tied to another, since converters copy the index and leave
tied tensors out of the shards (the Hub's own convert.py), so it is told. Neither looks at `total_size`. Others
(accelerate's disk offload) do look a tensor up in the shard that the index names.

Both take `NAME.safetensors` before `NAME.safetensors.index.json`, that before `NAME.bin`, and that before its index
(`_get_resolved_checkpoint_files` of transformers' modeling_utils.py); what they do not come to is not grave. Pickles
are not opened.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from provision.composition.document import Unfit, document
from provision.composition.misfit import Misfit, Rule, listed
from provision.composition.tensors import tensors
from provision.composition.weights import by_folder, glob, holds_weights, joined, weights_of
from provision.names import path_fault, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from provision.composition.misfit import Contents

_INDEX = re.compile(r"(?P<base>.+)\.(?P<format>safetensors|bin)\.(?:(?P<old>[^.]+)\.)?index(?:\.(?P<tag>[^.]+))?\.json")
_NUMBERED = re.compile(
    r"(?P<base>.+?)-(?P<number>\d{5})-of-(?P<count>\d{5})(?:\.(?P<tag>[^.]+))?\.(?P<format>safetensors|bin)"
)
_LACKING = 100  # names of missing files that a misfit carries


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folder:
    """What else is in the folder of some shards: safetensors and pickles are such as transformers and diffusers look
    for, `has_pickles` by default.
    """

    path: str
    has_safetensors: bool
    has_pickles: bool
    has_weights: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Set:
    """Sharded weights. `single`: the file that readers take instead; `is_used`: whether they come to these at all."""

    path: str
    folder: _Folder
    format: str
    tag: str | None
    single: str
    is_used: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    """What an index says: the shard of each tensor, as paths; `total` where it gives one."""

    homes: Mapping[str, str]
    total: int | None
    has_metadata: bool
    repeated: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """What the readable indexes of a folder name: shards, and the files that readers would take instead of them."""

    shards: set[str] = field(default_factory=set)
    singles: set[str] = field(default_factory=set)


def misfits(contents: Contents) -> Iterator[Misfit]:
    """What does not fit between indexes, shards and their numbers."""
    for path, names in by_folder(contents.sizes).items():
        folder = _folder(path, names)
        named = _Named()
        for name in names:
            if match := _INDEX.fullmatch(name):
                sharded = _set_of(contents, folder, match, match["tag"] or match["old"])
                yield from _of_index(contents, sharded, named)
        yield from _of_numbers(contents, folder, names, named)


def _folder(path: str, names: Sequence[str]) -> _Folder:
    known = [weights for weights in map(weights_of, names) if weights and not weights.is_index]
    return _Folder(
        path=path,
        has_safetensors=any(weights.format == "safetensors" for weights in known),
        has_pickles=any(weights.format == "bin" and weights.tag is None for weights in known),
        has_weights=any(map(holds_weights, names)),
    )


def _set_of(contents: Contents, folder: _Folder, match: re.Match[str], tag: str | None) -> _Set:
    single = joined(folder.path, ".".join(part for part in (match["base"], tag, match["format"]) if part))
    comes_first = match["format"] == "safetensors" or not folder.has_safetensors
    return _Set(
        path=joined(folder.path, match[0]),
        folder=folder,
        format=match["format"],
        tag=tag,
        single=single,
        is_used=comes_first and single not in contents.sizes,
    )


def _of_index(contents: Contents, sharded: _Set, named: _Named) -> Iterator[Misfit]:
    """Adds to `named` what it names."""
    try:
        index = _read(contents, sharded)
    except Unfit as unfit:
        yield _graded(unfit.misfit(Rule.UNREADABLE_INDEX, sharded.path), sharded)
        return
    shards = sorted(set(index.homes.values()))
    named.shards.update(shards)
    named.singles.add(sharded.single)
    present = [shard for shard in shards if shard in contents.sizes]
    if present:
        yield from _form(index, sharded)
    if len(present) < len(shards):
        yield from _shards_missing(sharded, shards, present)
    if sharded.format == "safetensors" and present:
        for misfit in _tensors(contents, sharded, index, present):
            yield _graded(misfit, sharded)


def _graded(misfit: Misfit, sharded: _Set) -> Misfit:
    return misfit if sharded.is_used else replace(misfit, grave=False)


def _read(contents: Contents, sharded: _Set) -> _Index:
    found = document(contents, sharded.path)
    weight_map, metadata = found.values.get("weight_map"), found.values.get("metadata")
    if not isinstance(weight_map, dict):
        raise Unfit("it has no `weight_map`")
    paths = {name: _shard_path(sharded.folder.path, name) for name in _names(weight_map)}
    total = metadata.get("total_size") if isinstance(metadata, dict) else None
    return _Index(
        homes={tensor: paths[name] for tensor, name in weight_map.items()},
        total=total if isinstance(total, int) and not isinstance(total, bool) else None,
        has_metadata=metadata is not None,
        repeated=found.repeated,
    )


def _names(weight_map: Mapping[str, Any]) -> set[str]:
    names = set[str]()
    for tensor, name in weight_map.items():
        if not isinstance(name, str):
            raise Unfit(f"`weight_map` gives {listed([tensor])} something other than the name of a file")
        names.add(name)
    return names


def _shard_path(folder: str, name: str) -> str:
    name = name.removeprefix("./")
    fault = path_fault(name)
    if fault:
        raise Unfit(f"it names a shard `{shown(name)}`, which {fault}")
    return joined(folder, name)


def _form(index: _Index, sharded: _Set) -> Iterator[Misfit]:
    """What some readers stumble over in the index itself."""
    detail = ""
    if index.repeated is not None:
        detail = f"it gives {listed([index.repeated])} twice; the last one counts"
    elif not index.has_metadata:
        detail = "it has no `metadata`, which transformers and diffusers ask for"
    if detail:
        yield Misfit(rule=Rule.UNREADABLE_INDEX, path=sharded.path, detail=detail, grave=False)


def _shards_missing(sharded: _Set, shards: Sequence[str], present: Sequence[str]) -> Iterator[Misfit]:
    """With some shards and not others, weights are missing. With none nobody asked for these: grave only where a
    reader comes to this index before it comes to the pickles that are there; no matter where it is a variant's, of
    pickles, or where others come first.
    """
    if not present and sharded.folder.has_weights and (sharded.tag or sharded.format == "bin" or not sharded.is_used):
        return
    held = set(present)
    missing = [shard for shard in shards if shard not in held]
    which = f"of {len(shards):,} shards" if present else "and so is every shard"
    yield Misfit(
        rule=Rule.SHARD_MISSING,
        path=sharded.path,
        detail=f"{listed(missing)} {'is' if len(missing) == 1 else 'are'} missing, {which}",
        grave=sharded.is_used and (bool(present) or sharded.folder.has_pickles),
        lacking=tuple(missing[:_LACKING]),
    )


def _tensors(contents: Contents, sharded: _Set, index: _Index, present: Sequence[str]) -> Iterator[Misfit]:
    """Whether the tensors are where the index says, from the headers of the shards, one at a time."""
    here = set(present)
    left = {tensor for tensor, home in index.homes.items() if home in here}
    elsewhere = dict[str, str]()
    total, is_whole = 0, len(here) == len(set(index.homes.values()))
    for shard in present:
        header = tensors(contents, shard)
        if isinstance(header, Misfit):
            yield header
            return
        for tensor, size in header:
            total += size
            if index.homes.get(tensor) == shard:
                left.discard(tensor)
            elif tensor in index.homes:
                elsewhere[tensor] = shard
    yield from _displaced(sharded, left, elsewhere)
    if is_whole and index.total is not None and index.total != total:
        detail = f"its `total_size` is {index.total:,}, the tensors of its shards have {total:,} bytes"
        yield Misfit(rule=Rule.TOTAL_SIZE, path=sharded.path, detail=detail, grave=False)


def _displaced(sharded: _Set, left: set[str], elsewhere: Mapping[str, str]) -> Iterator[Misfit]:
    """`left`: tensors that are not where the index says; `elsewhere`: where else there are any."""
    lost = sorted(left - elsewhere.keys())
    moved = sorted(left & elsewhere.keys())
    twice = sorted(elsewhere.keys() - left)
    if lost:
        detail = f"the shards do not hold {listed(lost)}, which it lists"
        yield Misfit(rule=Rule.TENSOR_MISSING, path=sharded.path, detail=detail, grave=False)
    if moved:
        detail = f"{listed(moved)} {'is' if len(moved) == 1 else 'are'} in another shard than it says"
        yield Misfit(rule=Rule.TENSOR_MISPLACED, path=sharded.path, detail=detail, grave=False)
    if twice:
        detail = f"two shards hold {listed(twice)}"
        yield Misfit(rule=Rule.TENSOR_TWICE, path=sharded.path, detail=detail, grave=False)


def _of_numbers(contents: Contents, folder: _Folder, names: Sequence[str], named: _Named) -> Iterator[Misfit]:
    """Numbered shards that no index names."""
    groups = dict[tuple[str, ...], dict[int, re.Match[str]]]()
    for name in names:
        match = _NUMBERED.fullmatch(name)
        if match and joined(folder.path, name) not in named.shards:
            key = (match["base"], match["count"], match["tag"] or "", match["format"])
            groups.setdefault(key, {})[int(match["number"])] = match
    for found in groups.values():
        first = next(iter(found.values()))
        sharded = _set_of(contents, folder, first, first["tag"])
        is_left_over = sharded.single in named.singles
        yield from _of_group(replace(sharded, is_used=sharded.is_used and not is_left_over), first, found)


def _of_group(sharded: _Set, first: re.Match[str], found: Mapping[int, object]) -> Iterator[Misfit]:
    """Only under names that transformers and diffusers look for is it known that all are needed, and only where these
    find no index of others.
    """
    count, folder = int(first["count"]), sharded.folder.path
    numbers = range(count) if 0 in found else range(1, count + 1)  # some writers count from 0
    missing = len(numbers) - sum(number in numbers for number in found)
    used = sharded.is_used and weights_of(first[0]) is not None
    if missing:
        some = islice((number for number in numbers if number not in found), _LACKING)
        names = tuple(joined(folder, _numbered(first, number)) for number in some)
        detail = f"{missing:,} of {count:,} shards are missing: {listed(names, missing)}"
        yield Misfit(rule=Rule.SHARD_MISSING, path=sharded.path, detail=detail, grave=used, lacking=names)
    elif used:
        detail = "there is no index beside it, by which transformers and diffusers find shards"
        index = glob(folder, f"*.{sharded.format}*.index*.json")
        yield Misfit(rule=Rule.INDEX_MISSING, path=sharded.path, detail=detail, grave=False, lacking=(index,))


def _numbered(match: re.Match[str], number: int) -> str:
    start, end = match.span("number")
    return f"{match.string[:start]}{number:05}{match.string[end:]}"
