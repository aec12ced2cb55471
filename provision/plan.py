"""The plan: the steps between what a volume holds and what a lock promised. Pure; no I/O.

holding                                   step
─────────────────────────────────────     ─────────────────────────────────────────────────────────────
nothing                                   fetch, or resume where a partial has proven pieces
the promised bytes, with a receipt        keep
the promised length, no receipt           prove: read it; keep it, or repair what is damaged
another length, no receipt                repair: the same, for what is not proven
another version, with its receipt         fetch; the old version stands until the new one takes its name
a folder, a link, a device                refuse
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from provision.errors import InputError
from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from provision.lock import Lock, LockedFile, LockedModel


class State(StrEnum):
    """What stands at a target, as far as can be told without reading it."""

    ABSENT = "absent"
    PROVEN = "proven"
    UNPROVEN = "unproven"
    DAMAGED = "damaged"
    WRONG_SIZE = "wrong size"
    OTHER_VERSION = "other version"
    NOT_A_FILE = "not a file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What the volume has now for one locked file.

    `size` is the length of what stands at the target (0 where nothing does), `held` the bytes that partials of this
    file, or the receipt of a damaged one, claim to have proven.
    """

    state: State
    size: int = 0
    held: int = 0


class Action(StrEnum):
    """What a step does."""

    KEEP = "keep"
    PROVE = "prove"
    RESUME = "resume"
    FETCH = "fetch"
    REPAIR = "repair"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One file to bring to its promise. `missing` is how many bytes are expected to come from a hub."""

    project: str
    model: LockedModel
    file: LockedFile
    action: Action
    missing: int

    @property
    def touches(self) -> bool:
        """Whether the file's bytes are read or written at all."""
        return self.action not in {Action.KEEP, Action.REFUSE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All steps, in the order of the locks."""

    steps: tuple[Step, ...]

    def having(self, *actions: Action) -> tuple[Step, ...]:
        """The steps that do one of `actions`."""
        return tuple(step for step in self.steps if step.action in actions)

    @property
    def missing(self) -> int:
        """Bytes expected to come from hubs."""
        return sum(step.missing for step in self.steps)

    @property
    def hubs(self) -> tuple[str, ...]:
        """The schemes of those whom they may come from."""
        models = {id(step.model): step.model for step in self.steps if step.missing}.values()
        mirrors = {mirror.hub for model in models for mirror in model.mirrors}
        return tuple(sorted(mirrors.union(model.hub for model in models)))

    def only(self, targets: Container[str]) -> Plan:
        """The steps for `targets` alone."""
        return Plan(steps=tuple(step for step in self.steps if step.file.target in targets))

    def room_needed(self, holdings: Mapping[str, Holding]) -> int:
        """Bytes by which the volume is expected to grow: what is missing, less what stands and will be replaced."""
        return sum(_growth(step, holdings[step.file.target]) for step in self.steps)


def plan(locks: Iterable[Lock], holding_of: Callable[[LockedFile], Holding]) -> Plan:
    """The steps that bring a volume to all of `locks`; a file that several promise alike is one step.

    Raises:
        InputError: two locks promise different bytes for one target.
    """
    steps: dict[str, Step] = {}
    for lock in locks:
        for model, file in lock.files():
            known = steps.get(file.target)
            if known is None:
                steps[file.target] = step_for(lock.project, model, file, holding_of(file))
            elif known.file.sha256 != file.sha256:
                raise _conflict(file.target, known.project, lock.project)
    return Plan(steps=tuple(steps.values()))


def check_neighbours(locks: Iterable[Lock], neighbours: Iterable[Lock]) -> None:
    """Refuse to take a target from another project that fills the same volume.

    Raises:
        InputError: a neighbour was promised other bytes for one of the targets.
    """
    ours = {file.target: (lock.project, file.sha256) for lock in locks for _, file in lock.files()}
    for neighbour in neighbours:
        for _, file in neighbour.files():
            project, sha256 = ours.get(file.target, ("", file.sha256))
            if sha256 != file.sha256:
                raise _conflict(file.target, project, neighbour.project)


def step_for(project: str, model: LockedModel, file: LockedFile, holding: Holding) -> Step:
    """The one step that the table above gives for `holding`."""
    missing = file.size - min(holding.held, file.size)
    match holding.state:
        case State.PROVEN:
            action, missing = Action.KEEP, 0
        case State.UNPROVEN:
            action, missing = Action.PROVE, 0
        case State.WRONG_SIZE | State.DAMAGED:
            action = Action.REPAIR
        case State.NOT_A_FILE:
            action, missing = Action.REFUSE, 0
        case State.ABSENT | State.OTHER_VERSION:
            action = Action.RESUME if holding.held else Action.FETCH
    return Step(project=project, model=model, file=file, action=action, missing=missing)


def biggest_first(steps: Sequence[Step]) -> list[Step]:
    """The order of work: what takes longest starts first, so that nothing long is left alone at the end."""
    return sorted(steps, key=lambda step: (-step.missing, -step.file.size, step.file.target))


def _growth(step: Step, holding: Holding) -> int:
    match step.action:
        case Action.FETCH | Action.RESUME:
            return step.missing
        case Action.REPAIR if holding.held:
            return max(0, step.file.size - holding.size)
        case Action.REPAIR:
            return step.missing
        case _:
            return 0


def _conflict(target: str, first: str, second: str) -> InputError:
    return InputError(
        f"`{shown(target)}` is promised with different bytes by two projects, {first} and {second}",
        hint="give one of them another target or root, then run `provision lock`",
    )
