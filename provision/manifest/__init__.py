"""What is wanted: YAML written by people -> values, all faults at once, each with file, line and column.

`parse` and `load` read; `select` says which paths of a repository an entry means; `matches` is the rule of its globs.
PyYAML is imported when a manifest is read, since `provision verify` reads none, and what selects when something is
selected, since a manifest whose lock stands is only read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.layout import Layout
from provision.manifest.entries import Manifest, Model, Position, WantedFile, WantedMirror
from provision.manifest.globs import is_glob, matches
from provision.manifest.source import Source

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from provision.manifest.selection import Selection

__all__ = [
    "Layout",
    "Manifest",
    "Model",
    "Position",
    "Source",
    "WantedFile",
    "WantedMirror",
    "is_glob",
    "load",
    "matches",
    "parse",
    "select",
]


def parse(text: bytes | str, *, file: str) -> Manifest:
    """The manifest in `text`; `file` names it in messages.

    Raises:
        ManifestError: with every fault at once, in the order of the text.
    """
    from provision.manifest.reading import read

    return read(text, file=file)


def load(path: str | os.PathLike[str]) -> Manifest:
    """The manifest at `path`.

    Raises:
        InputError: it is missing, a folder, or cannot be read; the hint says what to do.
        ManifestError: as for `parse`.
    """
    from provision.manifest.reading import read_file

    return read_file(path)


def select(model: Model, paths: Iterable[str]) -> Selection:
    """What `model` selects of a repository with these `paths`. `files` are right only where there are no issues."""
    from provision.manifest.selection import selection

    return selection(model, paths)
