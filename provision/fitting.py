"""Fitting: whether what a manifest chooses of a repository fits together, before anything is paid for.

What resolution has read anyway, headers and small documents, is kept for it, so that nothing is asked for twice. What
does not fit may be so on the hub, or because the manifest leaves out what is needed: the listing tells.
"""

from __future__ import annotations

import threading
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from provision.composition import concerns, described, misfits
from provision.manifest import matches
from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from provision.composition import Misfit
    from provision.errors import Issue
    from provision.lock import LockedFile, LockedModel
    from provision.manifest import Model

KEPT: Final = 32 * 1024 * 1024
"""Bytes, packed, that are kept in all; what is beyond is read again."""

DOCUMENT: Final = 4 * 1024 * 1024
"""A document up to this length, in bytes, is kept when it is read whole."""


class Excerpts:
    """The beginnings of files, by any key. They pack well: headers to a tenth. Safe to share between threads."""

    def __init__(self) -> None:
        self._kept: dict[object, bytes] = {}
        self._left = KEPT
        self._guard = threading.Lock()

    def keep(self, key: object, start: bytes) -> None:
        """Remember how a file begins, while there is room."""
        packed = zlib.compress(start, 1)
        with self._guard:
            if len(packed) <= self._left and key not in self._kept:
                self._left -= len(packed)
                self._kept[key] = packed

    def of(self, key: object) -> bytes:
        """How the file begins, as far as it was kept."""
        return zlib.decompress(self._kept[key]) if key in self._kept else b""


class Repository:
    """A model's chosen files, as a check reads them: `Contents`. `start` tells how a file begins, as far as known."""

    def __init__(
        self, sizes: Mapping[str, int], start: Callable[[str], bytes], read: Callable[[str, int, int], bytes]
    ) -> None:
        self.sizes = sizes
        self._start, self._read = start, read
        self._path, self._known = "", b""  # of the file that was read last

    def read(self, path: str, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`, fewer only where the file ends. Raises what the hub raises."""
        if path != self._path:
            self._path, self._known = path, self._start(path)
        end = min(end, self.sizes[path])
        return self._known[start:end] if end <= len(self._known) else self._read(path, start, end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What makes a choice unfit, and what is only told."""

    issues: tuple[Issue, ...]
    told: tuple[Misfit, ...]


def is_known(files: Mapping[str, LockedFile | None], previous: LockedModel | None, model: Model) -> bool:
    """Whether these very files were checked when `previous` was locked; `files`: what is known of each chosen path.

    A lock of a release that did not check counts as checked: a fill and a verification look at what it chose.
    """
    if previous is None or previous.allow_incomplete != model.allow_incomplete:
        return False
    chosen = {path for path in files if concerns(path)}
    before = {file.path for file in previous.files if concerns(file.path)}
    return chosen == before and all(files[path] is not None for path in chosen)


def judged(model: Model, chosen: Repository, listing: Iterable[str]) -> Judgement:
    """Whether what `model` chooses of `listing` fits together; what is grave is an issue, unless it is allowed.

    Raises what `chosen` raises.
    """
    found = misfits(chosen)
    if model.allow_incomplete:
        found = tuple(replace(misfit, grave=False) for misfit in found)
    every = tuple(listing) if any(misfit.grave for misfit in found) else ()
    issues = (
        model.position.issue(described(misfit), meant=_way_out(misfit, every, chosen.sizes))
        for misfit in found
        if misfit.grave
    )
    return Judgement(issues=tuple(issues), told=tuple(misfit for misfit in found if not misfit.grave))


def _way_out(misfit: Misfit, listing: Sequence[str], chosen: Container[str]) -> str:
    left_out = list(
        dict.fromkeys(
            path for wanted in misfit.lacking for path in listing if path not in chosen and matches(wanted, path)
        )
    )
    if left_out:
        more = f" and {len(left_out) - 1} more" if len(left_out) > 1 else ""
        return (
            f"the repository has `{shown(left_out[0])}`{more}, which the entry leaves out: select it, "
            "or set `allow_incomplete: true`"
        )
    return "it is like this on its hub: choose another revision or repository, or set `allow_incomplete: true`"
