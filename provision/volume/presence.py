"""Presence: which fills are at work on a volume, as far as their claims tell. Seen from outside; nothing is changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.errors import UnsafePath
from provision.volume.claims import ANCIENT, CLAIMS, SWEEP_LIMIT, hearts_among, owner_of
from provision.volume.writer import is_dead, this_process

if TYPE_CHECKING:
    from collections.abc import Collection

    from provision.volume.mount import Volume
    from provision.volume.paths import Folder

_KEY = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """One fill: `claims` is how many pieces of work it holds, `is_here` whether it runs on this machine.

    `seen` is when its heart last beat, in seconds since the epoch by the volume's own times, which may not be ours.
    """

    writer: str
    claims: int
    is_here: bool
    seen: float


def presences(volume: Volume, now: float) -> tuple[Presence, ...]:
    """The fills whose heart is there, by writer; none that is certainly dead, or has been silent for a day.

    A heart is left behind by whoever is killed: how long it has been silent is for the reader to judge.

    Raises:
        UnsafePath, VolumeTrouble, VolumeError: the claims cannot be looked at.
    """
    folder = volume.state(CLAIMS)
    if folder is None:
        return ()
    with folder:
        names = folder.names()
        found = [_presence(folder, writer, heart) for writer, heart in sorted(hearts_among(names).items())]
        alive = [one for one in found if one is not None and now - one.seen < ANCIENT]
        return _counted(folder, names, alive) if alive else ()


def _presence(folder: Folder, writer: str, heart: str) -> Presence | None:
    owner, here = owner_of(heart), this_process()
    beaten = folder.stat(heart)
    if beaten is None or is_dead(owner, here):
        return None
    return Presence(writer=writer, claims=0, is_here=bool(owner.boot) and owner.boot == here.boot, seen=beaten.st_mtime)


def _counted(folder: Folder, names: Collection[str], alive: list[Presence]) -> tuple[Presence, ...]:
    """`alive` with the claims that each holds; of very many claims only the first are looked at."""
    held: list[str] = []
    for key in sorted(filter(_KEY.fullmatch, names))[:SWEEP_LIMIT]:
        try:
            claim = folder.folder(key)
        except UnsafePath:
            continue
        if claim is not None:
            with claim:
                held += claim.names()
    return tuple(
        Presence(writer=one.writer, claims=held.count(one.writer), is_here=one.is_here, seen=one.seen) for one in alive
    )
