"""What differs between two locks, file by file: what a person reviews before it is committed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provision.lock import Lock, LockedFile, LockedModel, Mirror


class Change(StrEnum):
    """What happened to a promise. `moved`: the same bytes at another target."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """One file: its promise before and after, None where there is none."""

    change: Change
    model: str
    before: LockedFile | None
    after: LockedFile | None

    @property
    def target(self) -> str:
        """Where the file stands now, or stood last."""
        file = self.after or self.before
        assert file is not None  # noqa: S101 - a change has at least one side
        return file.target

    @property
    def growth(self) -> int:
        """Bytes by which the promise grows."""
        return (self.after.size if self.after else 0) - (self.before.size if self.before else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PinChange:
    """A model whose pin moved, appeared or went away."""

    model: str
    source: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorChange:
    """A model that has other mirrors, in another order, or at other pins; each side is the whole list."""

    model: str
    before: tuple[Mirror, ...]
    after: tuple[Mirror, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """All that differs; `is_empty` when the promises, and the places they may come from, are the same."""

    pins: tuple[PinChange, ...]
    files: tuple[FileChange, ...]
    mirrors: tuple[MirrorChange, ...]

    @property
    def is_empty(self) -> bool:
        """Whether a fill would do nothing else than before."""
        return not self.pins and not self.files and not self.mirrors

    @property
    def new_bytes(self) -> int:
        """Bytes that a fill would have to fetch for what was added or changed."""
        return sum(f.after.size for f in self.files if f.after and f.change in {Change.ADDED, Change.CHANGED})


def difference(before: Lock | None, after: Lock) -> Difference:
    """What `after` promises otherwise than `before`; everything, where there was no lock."""
    old = {model.name: model for model in before.models} if before else {}
    new = {model.name: model for model in after.models}
    names = [*new, *(name for name in old if name not in new)]
    files = [change for name in names for change in _file_changes(name, old.get(name), new.get(name))]
    return Difference(
        pins=tuple(pin for name in names if (pin := _pin_change(name, old.get(name), new.get(name)))),
        files=tuple(sorted(files, key=lambda change: (names.index(change.model), change.target))),
        mirrors=tuple(change for name in new if (change := _mirror_change(old.get(name), new[name]))),
    )


def _mirror_change(old: LockedModel | None, new: LockedModel) -> MirrorChange | None:
    before = old.mirrors if old else ()
    return None if before == new.mirrors else MirrorChange(model=new.name, before=before, after=new.mirrors)


def _pin_change(name: str, old: LockedModel | None, new: LockedModel | None) -> PinChange | None:
    before, after = _pin(old), _pin(new)
    model = new or old
    if before == after or model is None:
        return None
    return PinChange(model=name, source=model.source, before=before, after=after)


def _pin(model: LockedModel | None) -> str | None:
    return (model.commit or model.revision) if model else None


def _file_changes(name: str, old: LockedModel | None, new: LockedModel | None) -> list[FileChange]:
    before = {file.target: file for file in old.files} if old else {}
    after = {file.target: file for file in new.files} if new else {}
    gone: dict[str, list[LockedFile]] = {}
    for target, file in before.items():
        if target not in after:
            gone.setdefault(file.sha256, []).append(file)
    changes = []
    for target, file in after.items():
        if target in before:
            if before[target].sha256 != file.sha256:
                changes.append(FileChange(change=Change.CHANGED, model=name, before=before[target], after=file))
        elif gone.get(file.sha256):
            changes.append(FileChange(change=Change.MOVED, model=name, before=gone[file.sha256].pop(0), after=file))
        else:
            changes.append(FileChange(change=Change.ADDED, model=name, before=None, after=file))
    left = [file for files in gone.values() for file in files]
    return changes + [FileChange(change=Change.REMOVED, model=name, before=file, after=None) for file in left]
