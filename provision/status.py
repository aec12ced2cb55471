"""Status: what a volume holds of what it was promised, what else lies there, and who is at work. Reads no weights.

A status is a look, not a verdict: what counts as proven is what a receipt vouches for, as in a quick verification, but
no header is read. `provision verify` is what decides.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.layout import sidecars
from provision.names import STATE_FOLDER
from provision.plan import State
from provision.volume.holdings import survey
from provision.volume.inventory import inventory
from provision.volume.journal import key_of, partials_among
from provision.volume.presence import presences
from provision.volume.receipts import read_receipts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from provision.lock import Lock, LockedFile, LockedModel
    from provision.plan import Holding
    from provision.volume.inventory import Lying
    from provision.volume.mount import Volume
    from provision.volume.presence import Presence
    from provision.volume.receipts import Receipt

BIGGEST = 5
"""How many unclaimed places are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """So many files of so many bytes."""

    files: int = 0
    size: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(files=self.files + other.files, size=self.size + other.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How well a promise is kept. Each promised file counts once: as proven, unproven, damaged, outdated or missing.

    `unproven`: the right length, and nothing vouches for it. `damaged`: another length, found damaged, or no file at
    all. `outdated`: another version, with its receipt. `partial`: bytes that partials hold of what is not there yet.
    `oldest` is the time of the oldest proof that still holds, in seconds since the epoch; None without any.
    """

    proven: Tally = Tally()
    unproven: Tally = Tally()
    damaged: Tally = Tally()
    outdated: Tally = Tally()
    missing: Tally = Tally()
    partial: int = 0
    oldest: float | None = None

    @property
    def promised(self) -> Tally:
        """All of it."""
        return self.present + self.damaged + self.outdated + self.missing

    @property
    def present(self) -> Tally:
        """What stands there with the promised length, and was not found damaged."""
        return self.proven + self.unproven

    def __add__(self, other: Kept) -> Kept:
        return Kept(
            proven=self.proven + other.proven,
            unproven=self.unproven + other.unproven,
            damaged=self.damaged + other.damaged,
            outdated=self.outdated + other.outdated,
            missing=self.missing + other.missing,
            partial=self.partial + other.partial,
            oldest=min((at for at in (self.oldest, other.oldest) if at is not None), default=None),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """One project's model, and how well its promise is kept."""

    project: str
    model: str
    source: str
    kept: Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What lies at `path`: one file, or (it ends with /) everything below a folder."""

    path: str
    held: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """All that lies on the volume, whoever put it there.

    `used` is every byte; `claimed` partials belong to a promised file, `stray` ones to none, and were last written at
    `touched` (seconds since the epoch; 0 without any). `unclaimed` is what no lock promises, `places` the biggest of
    it, out of so many; `closed` the folders that could not be looked into.
    """

    used: int
    claimed: Tally
    stray: Tally
    touched: float
    unclaimed: Tally
    places: tuple[Place, ...]
    out_of: int
    closed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The whole screen. `at` is when it was looked, `volume_size` what the volume is said to hold in all, in bytes."""

    volume: str
    at: float
    models: tuple[ModelStatus, ...]
    contents: Contents
    at_work: tuple[Presence, ...]
    volume_size: int | None = None

    @property
    def left(self) -> int | None:
        """Bytes that may still come, less than 0 where there are too many; None where the size is not known."""
        return None if self.volume_size is None else self.volume_size - self.contents.used


def status(volume: Volume, locks: Sequence[Lock], others: Iterable[Lock], now: float, size: int | None) -> Status:
    """The status of what `locks` promise. What `others`, further locks that are known, promise is not unclaimed either.

    `now` is in seconds since the epoch; `size` what the volume holds in all, where that is known.

    Raises:
        UnsafePath, VolumeTrouble, VolumeError: the volume, or provision's own folder on it, cannot be looked at.
    """
    receipts = read_receipts(volume, now)
    models: list[ModelStatus] = []
    for lock in locks:
        holdings = survey(volume, (file for _, file in lock.files()), now, receipts)
        models += [_model(lock.project, model, holdings, receipts) for model in lock.models]
    return Status(
        volume=volume.path,
        at=now,
        models=tuple(models),
        contents=_contents(volume, [*locks, *others]),
        at_work=presences(volume, now),
        volume_size=size,
    )


def _model(
    project: str, model: LockedModel, holdings: Mapping[str, Holding], receipts: Mapping[str, Receipt]
) -> ModelStatus:
    kept = sum((_kept(file, holdings[file.target], receipts.get(file.target)) for file in model.files), Kept())
    return ModelStatus(project=project, model=model.name, source=model.source, kept=kept)


def _kept(file: LockedFile, holding: Holding, receipt: Receipt | None) -> Kept:
    one = Tally(files=1, size=file.size)
    match holding.state:
        case State.PROVEN:
            return Kept(proven=one, oldest=receipt.proven_at if receipt else None)
        case State.UNPROVEN:
            return Kept(unproven=one)
        case State.OTHER_VERSION:
            return Kept(outdated=one, partial=holding.held)
        case State.ABSENT:
            return Kept(missing=one, partial=holding.held)
        case State.DAMAGED | State.WRONG_SIZE | State.NOT_A_FILE:
            return Kept(damaged=one)


def _contents(volume: Volume, locks: Sequence[Lock]) -> Contents:
    sorting, closed = _Sorting(locks), list[str]()
    for lying in inventory(volume, closed.append):
        sorting.add(lying)
    return sorting.contents(closed)


class _Sorting:
    """Sorts what lies on a volume by whether anybody was promised it. Keeps a few names, whatever there is."""

    def __init__(self, locks: Sequence[Lock]) -> None:
        files = [file for lock in locks for _, file in lock.files()]
        self._keys = set(map(key_of, files))
        self._targets = {file.target for file in files}
        self._targets.update(one.target for one in sidecars([model for lock in locks for model in lock.models]))
        self._shared = {f"{target[:at]}/" for target in self._targets for at in _slashes(target)}
        self._used, self._touched = 0, 0.0
        self._claimed = self._stray = self._unclaimed = Tally()
        self._folders: dict[str, Tally] = {}
        self._single: list[tuple[int, str]] = []
        self._singles = 0

    def add(self, lying: Lying) -> None:
        """Count one file where it belongs."""
        one = Tally(files=1, size=0 if lying.again else lying.size)
        self._used += one.size
        partials = partials_among([lying.path.rpartition("/")[2]])
        if partials:
            self._add_partial(one, lying, is_wanted=not self._keys.isdisjoint(partials))
        elif lying.path not in self._targets and not lying.path.startswith(f"{STATE_FOLDER}/"):
            self._unclaimed += one
            self._add_place(one, lying.path)

    def _add_partial(self, one: Tally, lying: Lying, *, is_wanted: bool) -> None:
        if is_wanted:
            self._claimed += one
        else:
            self._stray += one
            self._touched = max(self._touched, lying.touched)

    def _add_place(self, one: Tally, path: str) -> None:
        """By the highest folder in which nothing is promised; a file beside promised ones by itself."""
        folder = next((path[: at + 1] for at in _slashes(path) if path[: at + 1] not in self._shared), None)
        if folder is not None:
            self._folders[folder] = self._folders.get(folder, Tally()) + one
            return
        self._singles += 1
        keep = heapq.heappush if len(self._single) < BIGGEST else heapq.heappushpop
        keep(self._single, (one.size, path))

    def contents(self, closed: Sequence[str]) -> Contents:
        """Everything that was added."""
        places = [Place(path=path, held=held) for path, held in self._folders.items()]
        places += [Place(path=path, held=Tally(files=1, size=size)) for size, path in self._single]
        return Contents(
            used=self._used,
            claimed=self._claimed,
            stray=self._stray,
            touched=self._touched,
            unclaimed=self._unclaimed,
            places=tuple(sorted(places, key=lambda place: (-place.held.size, place.path))[:BIGGEST]),
            out_of=len(self._folders) + self._singles,
            closed=tuple(closed),
        )


def _slashes(path: str) -> list[int]:
    return [at for at, char in enumerate(path) if char == "/"]
