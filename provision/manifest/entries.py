"""The values of a manifest. Their meaning has a digest, which no comment, quote or order of keys can change."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from provision.errors import Issue, without_secrets
from provision.layout import Layout

if TYPE_CHECKING:
    from provision.manifest.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where something was written. `line` and `column` count from 1; `where` is as in `models[2].files[0]`."""

    file: str
    line: int
    column: int
    where: str = ""

    def issue(self, message: str, *, meant: str = "") -> Issue:
        """A fault at this place, with everything that looks like a credential masked."""
        return Issue(
            file=self.file,
            line=self.line,
            column=self.column,
            message=without_secrets(message),
            where=self.where,
            meant=without_secrets(meant),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedFile:
    """An item of `files`: an exact repository path or a glob. `target`, below the root, and `sha256` are one file's."""

    pattern: str
    target: str | None = None
    sha256: str | None = None
    position: Position = field(compare=False)

    def meaning(self) -> dict[str, Any]:
        """The normal form."""
        return {"pattern": self.pattern, "target": self.target, "sha256": self.sha256}


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedMirror:
    """An item of `mirrors`: where else the same bytes are."""

    source: Source
    position: Position = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What is wanted of one repository. `target` is below the root, "" the root itself; `files` None: all of them."""

    name: str
    source: Source
    target: str = ""
    layout: Layout = Layout.TREE
    files: tuple[WantedFile, ...] | None = None
    exclude: tuple[str, ...] = ()
    allow_pickle: bool = False
    variant: str | None = None
    mirrors: tuple[WantedMirror, ...] = ()
    allow_incomplete: bool = False
    position: Position = field(compare=False)

    def meaning(self) -> dict[str, Any]:
        """The normal form: defaults filled in. The order of `exclude` means nothing, that of the other lists counts."""
        meaning = {
            "name": self.name,
            "source": str(self.source),
            "target": self.target,
            "layout": self.layout.value,
            "files": None if self.files is None else [file.meaning() for file in self.files],
            "exclude": sorted(set(self.exclude)),
            "allow_pickle": self.allow_pickle,
            "variant": self.variant,
            "mirrors": [str(mirror.source) for mirror in self.mirrors],
        }
        return meaning | {"allow_incomplete": True} if self.allow_incomplete else meaning

    @property
    def meaning_sha256(self) -> str:
        """64 hex digits; the same for two entries exactly when they want the same thing."""
        return _digest(self.meaning())


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What one project wants on a volume. `root` is below the volume, "" the volume itself; `path`: the file."""

    project: str
    root: str = ""
    models: tuple[Model, ...]
    path: str = field(compare=False)

    def meaning(self) -> dict[str, Any]:
        """The normal form: what was written, with defaults filled in."""
        return {"project": self.project, "root": self.root, "models": [model.meaning() for model in self.models]}

    @property
    def meaning_sha256(self) -> str:
        """64 hex digits; what a lock keeps as `manifest_sha256`."""
        return _digest(self.meaning())


def _digest(meaning: dict[str, Any]) -> str:
    """Old locks hold these digests: a key added later may enter `meaning` only where it is not at its default."""
    text = json.dumps(meaning, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
