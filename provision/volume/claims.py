"""Claims: several fills of one volume share its work. They save bytes; nothing rests on them (design §3, law 4).

    .provision/claims/<key>/                            the work called `name` is claimed: key = sha256(name), 16 digits
    .provision/claims/<key>/<writer>/                   by whom
    .provision/claims/<writer>.<beats>.<boot>.<pidns>.<pid>.<started>/      a heart, one for each writer

There are only folders, and they are empty. `mkdir` is the one thing that was exclusive between two mounts of every
network file system tried (SeaweedFS let both win O_EXCL, link and flock). And names need neither room nor an answer
from where bytes are kept: on MooseFS a spent quota empties small files, and lost chunks stall their readers for
minutes, while folders go on.

A heart that beats gets another name, so neither cached attributes nor times cut to seconds can hide it. Whether it
still beats is measured by the clock of whoever looks: no two clocks are compared. A claim may be held twice all the
same: who was suspended wakes up, or two break a stale claim at the worst moment. Whatever is done under one must come
out right when done twice at once. What stands in the way of a claim, and could be none, is passed over and left alone.
"""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Self

from provision.errors import UnsafePath, VolumeError
from provision.volume.writer import Owner, is_dead, owner_from

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from types import TracebackType

    from provision.volume.mount import Volume
    from provision.volume.paths import Folder
    from provision.volume.writer import Writer

CLAIMS = "claims"
"""The state folder that holds the claims."""

BEAT = 15.0
"""Seconds between two beats of a heart."""

STALE = 60.0
"""Seconds without a beat, as seen by us, after which a claim is left over: three beats may be lost or seen late."""

ANCIENT = 86_400.0
"""Seconds by the volume's times after which a claim is left over, seen or not: clocks err by hours, not by days."""

SWEEP_LIMIT = 200
"""How many claims of others are looked at when leftovers are swept."""

HEARTS_LIMIT = 1_000
"""How many hearts are looked at."""

HOLDERS_LIMIT = 16
"""What more than so many seem to hold is no claim."""

_KEY = re.compile(r"[0-9a-f]{16}")
_WRITER = re.compile(r"[0-9a-f]{8}")
_HEART = re.compile(r"([0-9a-f]{8})\.([0-9]{1,12})\.([0-9a-f-]{0,36})\.([0-9]{1,20})\.([0-9]{1,7})\.([0-9]{1,20})")


class Claims:
    """The claims of one volume, as one writer meets them. A context: leaving it gives back what is held, and sweeps.

    `clock` gives seconds that only go forward (time.monotonic), `now` seconds since the epoch. Each writer has one
    Claims. Threads may share it; each name is taken by one of them. The heart begins to beat with the first claim, and
    from then on somebody has to call `beat` every BEAT seconds.

    Nothing is raised: where claims cannot be kept (full, read-only, EIO), everybody does all the work.
    """

    def __init__(self, volume: Volume, writer: Writer, clock: Callable[[], float], now: Callable[[], float]) -> None:
        self._volume, self._writer, self._now = volume, writer, now
        self._sightings = Sightings(clock)
        self._held: set[str] = set()
        self._owed: set[str] = set()
        self._guard = threading.Lock()
        self._heart, self._beats = "", 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owed |= self._held
        self._held.clear()
        self._attempt(self._settle, self._sweep, self._stop_heart)

    def take(self, name: str) -> bool:
        """Whether the work called `name` is ours to do: True when it is claimed by us, or cannot be claimed at all."""
        key = _key_of(name)
        if key in self._held:
            return True
        try:
            with self._volume.made_state(CLAIMS) as folder:
                self._start_heart(folder)  # first: who meets the claim must find the heart
                return self._take(folder, key)
        except VolumeError:
            return True

    def release(self, name: str) -> None:
        """Give `name` back, done or not. Nothing happens when it is not held."""
        key = _key_of(name)
        if key not in self._held:
            return
        self._held.discard(key)
        self._owed.add(key)
        self._attempt(self._settle)

    def beat(self) -> None:
        """Show that everything that is held still is: the heart gets its next name. Looks at the hearts of others too,
        so that by the time their claims are met it is known how long they have been silent.
        """
        self._attempt(self._beat_heart, self._settle, self._look)

    def held_by_others(self, names: Iterable[str]) -> set[str]:
        """Those of `names` that others hold whose heart still beats. Others may be taken; `take` has the last word.

        Costs one listing, and one more for each of `names` that anybody has claimed.
        """
        held: set[str] = set()

        def look(folder: Folder) -> None:
            present, hearts = self._look(folder)
            keyed = ((name, _key_of(name)) for name in names)
            held.update(name for name, key in keyed if key in present and self._is_others(folder, key, hearts))

        self._attempt(look)
        return held

    def _attempt(self, *works: Callable[[Folder], object]) -> None:
        """Do each of `works` where the claims are, if there are any; what fails is left undone."""
        with suppress(VolumeError):
            folder = self._volume.state(CLAIMS)
            if folder is not None:
                with folder:
                    for work in works:
                        with suppress(VolumeError):
                            work(folder)

    def _is_others(self, folder: Folder, key: str, hearts: dict[str, str]) -> bool:
        holders = _holders(folder, key)
        if holders is None or self._writer.id in holders:
            return False
        return not self._is_left(folder, key, holders, hearts)

    def _take(self, folder: Folder, key: str) -> bool:
        if self._made(folder, key):
            return True
        holders = _holders(folder, key)
        if holders is None:  # given back just now; or nothing that is a claim, and then in nobody's way
            return self._made(folder, key) or _holders(folder, key) is None
        if self._writer.id in holders:
            self._held.add(key)
            return True
        _, hearts = self._look(folder)
        if not self._is_left(folder, key, holders, hearts):
            return False
        if _broken(folder, key, holders):
            return self._made(folder, key)
        # Somebody was faster; or it cannot be broken, and then it is in nobody's way either.
        return bool(holders) and _holders(folder, key) == holders

    def _made(self, folder: Folder, key: str) -> bool:
        if not folder.make_folder(key):
            return False
        with folder.made_folder(key) as claim:
            claim.make_folder(self._writer.id)
        self._held.add(key)
        return True

    def _settle(self, folder: Folder) -> None:
        """Take away our part of what is not held any more. What fails is tried again with the next beat."""
        for key in self._owed - self._held:
            with suppress(VolumeError):
                _broken(folder, key, {self._writer.id})
                self._owed.discard(key)

    def _start_heart(self, folder: Folder) -> None:
        with self._guard:
            if not self._heart:
                self._next_heart(folder)

    def _beat_heart(self, folder: Folder) -> None:
        with self._guard:
            if self._heart:
                self._next_heart(folder)

    def _next_heart(self, folder: Folder) -> None:
        """The new name comes before the old one goes, and is a new folder: its time is that of this beat."""
        old, new = self._heart, heart_name(self._writer, self._beats + 1)
        folder.make_folder(new)
        self._heart, self._beats = new, self._beats + 1
        if old:
            folder.remove_folder(old)

    def _stop_heart(self, folder: Folder) -> None:
        with self._guard:
            if self._heart:
                folder.remove_folder(self._heart)
                self._heart = ""

    def _look(self, folder: Folder) -> tuple[set[str], dict[str, str]]:
        """All names in the folder, and the hearts among them, each with what was seen of it before."""
        names = set(folder.names())
        hearts = hearts_among(names)
        self._sightings.keep(names | hearts.keys())
        for writer, heart in hearts.items():
            self._sightings.unchanged(writer, heart)
        return names, hearts

    def _is_left(self, folder: Folder, key: str, holders: Collection[str], hearts: dict[str, str]) -> bool:
        """Whether a claim is left over: none of those who hold it is alive, or none who might be about to."""
        if not holders and all(self._is_dead(heart) for writer, heart in hearts.items() if writer != self._writer.id):
            return True  # killed between its two steps: whoever is alive and makes a claim has a heart
        known = [hearts[holder] for holder in holders if holder in hearts]
        if not all(self._is_silent(folder, heart) for heart in known):
            return False
        if known and len(known) == len(holders):
            return True
        found = folder.stat(key)  # being made or broken just now, or somebody was killed while doing so
        if found is None:
            return False
        # With inode and time: seen again later, and as nameless, it may be another claim.
        value = f"{found.st_ino} {found.st_mtime_ns} {sorted(holders)}"
        return self._sightings.unchanged(key, value) >= STALE or self._is_ancient(found.st_mtime)

    def _is_silent(self, folder: Folder, heart: str) -> bool:
        if self._is_dead(heart) or self._sightings.unchanged(heart[:8], heart) >= STALE:
            return True
        found = folder.stat(heart)
        return found is not None and self._is_ancient(found.st_mtime)

    def _is_dead(self, heart: str) -> bool:
        return is_dead(owner_of(heart), self._writer.owner)

    def _is_ancient(self, mtime: float) -> bool:
        return self._now() - mtime > ANCIENT

    def _sweep(self, folder: Folder) -> None:
        """Take away claims and hearts of the dead, so that nothing piles up of names that nobody asks for again.

        A fill sees hearts that are silent when it has run for STALE seconds itself; the dead of this host and those of
        yesterday it knows at once.
        """
        names, hearts = self._look(folder)
        for key in sorted(filter(_KEY.fullmatch, names))[:SWEEP_LIMIT]:
            with suppress(UnsafePath):
                holders = _holders(folder, key)
                if holders is not None and self._is_left(folder, key, holders, hearts):
                    _broken(folder, key, holders)
        for name in filter(_HEART.fullmatch, names):  # last: without them nobody could tell whose a claim was
            with suppress(UnsafePath):
                if self._is_silent(folder, hearts.get(name[:8], name)):
                    folder.remove_folder(name)


class Sightings:
    """What was seen where, and since when by our own `clock`. Threads may share it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._seen: dict[str, tuple[str, float]] = {}

    def unchanged(self, subject: str, value: str) -> float:
        """For how many seconds `subject` has been seen with this `value` and no other: 0 the first time."""
        with self._guard:
            now = self._clock()
            seen, since = self._seen.get(subject) or (None, now)
            if seen != value:
                self._seen[subject], since = (value, now), now
            return now - since

    def keep(self, subjects: Collection[str]) -> None:
        """Forget all others."""
        with self._guard:
            self._seen = {subject: seen for subject, seen in self._seen.items() if subject in subjects}


def heart_name(writer: Writer, beats: int) -> str:
    """The name of `writer`'s heart after so many beats: who that is, and the facts by which it may be known as dead."""
    owner = writer.owner
    return f"{writer.id}.{beats}.{owner.boot}.{owner.pidns}.{owner.pid}.{owner.started}"


def hearts_among(names: Iterable[str]) -> dict[str, str]:
    """The newest heart of each writer among `names`; other names are passed over."""
    found: dict[str, tuple[int, str]] = {}
    for match in islice(filter(None, map(_HEART.fullmatch, names)), HEARTS_LIMIT):
        found[match[1]] = max(found.get(match[1], (-1, "")), (int(match[2]), match[0]))
    return {writer: heart for writer, (_, heart) in found.items()}


def owner_of(heart: str) -> Owner:
    """The process whose heart it is; the empty Owner when that is not fit to be believed."""
    match = _HEART.fullmatch(heart)
    if match is None:
        return Owner()
    boot, *numbers = match.groups()[2:]
    return owner_from({"boot": boot, **dict(zip(("pidns", "pid", "started"), map(int, numbers), strict=True))})


def _key_of(name: str) -> str:
    return sha256(name.encode()).hexdigest()[:16]


def _holders(folder: Folder, key: str) -> frozenset[str] | None:
    """Who holds the claim, nobody while it is being made; None where no claim is."""
    try:
        claim = folder.folder(key)
        if claim is None:
            return None
        with claim:
            names = claim.names()
    except UnsafePath:
        return None
    return frozenset(names) if len(names) <= HOLDERS_LIMIT and all(map(_WRITER.fullmatch, names)) else None


def _broken(folder: Folder, key: str, holders: Collection[str]) -> bool:
    """Take the claim of `holders` away; False when another was first, or holds it too.

    Of several who break one claim at once only one removes its first holder, and only that one goes on.
    """
    claim = folder.folder(key)
    if claim is None:
        return False
    with claim:
        won = all(claim.remove_folder(holder) for holder in sorted(holders))
    return won and folder.remove_folder(key)
