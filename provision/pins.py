"""Pins: what a revision stands at, and which files it has there. Each is asked for once in a resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from provision.hubs import Pin
from provision.lock import LockedModel, Mirror

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from provision.hubs import RemoteFile
    from provision.hubs.supply import Supply
    from provision.manifest import Source

DEFAULT_BRANCHES = frozenset({"main", "master"})
"""What Hugging Face and ModelScope take where no revision is asked for."""

Locked = TypeVar("Locked", LockedModel, Mirror)


def answering(source: Source, locked: Iterable[Locked]) -> list[Locked]:
    """Those of `locked` whose pin `source` keeps: the same repository, asked for at the same revision."""
    asked = {source.revision} if source.revision is not None else DEFAULT_BRANCHES
    name = f"{source.hub}://{source.repository}"
    return [one for one in locked if one.revision in asked and one.source == name]


class Pins:
    """Asks hubs, and remembers what they said: two entries of one repository are pinned to one commit."""

    def __init__(self, supply: Supply) -> None:
        self._supply = supply
        self._pins: dict[Source, Pin] = {}
        self._files: dict[tuple[str, Pin], Sequence[RemoteFile]] = {}

    def of(self, source: Source, known: LockedModel | Mirror | None) -> Pin:
        """The pin that is `known`, else what the hub says of `source` now. Raises HubRefused, HubUnavailable."""
        if known is not None:
            license_ = known.license if isinstance(known, LockedModel) else None
            return Pin(repository=known.repository, revision=known.revision, commit=known.commit, license=license_)
        if source not in self._pins:
            self._pins[source] = self._supply.resolve(source.hub, source.repository, source.revision)
        return self._pins[source]

    def files(self, source: Source, pin: Pin) -> Sequence[RemoteFile]:
        """What the hub of `source` lists at `pin`. Raises HubRefused, HubUnavailable."""
        key = (source.hub, pin)
        if key not in self._files:
            self._files[key] = self._supply.files(source.hub, pin)
        return self._files[key]
