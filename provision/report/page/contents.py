"""What a page shows: each promised file with its finding, by project and model. Values and decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.report.wording import NOBODY
from provision.verification.findings import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.lock import Lock, LockedFile, LockedModel
    from provision.verification.findings import Finding, Verification

UNREAD = "unread"
"""The state of a file that was not looked at."""

UNPROMISED = "files that nobody promised"

STATES = (*(state.value for state in State), UNREAD)

MARKS = {
    State.OK.value: "✓", State.MISSING.value: "○", State.SIZE.value: "↔", State.DIGEST.value: "≠",
    State.HEADER.value: "≠",
    State.UNREADABLE.value: "⊘", State.UNEXPECTED.value: "+", State.UNPROVEN.value: "?", UNREAD: "-",
}  # fmt: skip
"""A sign for each state, so that none is told by its colour alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file. `file` is None where no lock promises it, `finding` where it was not looked at; `row` names it."""

    row: str
    target: str
    size: int
    finding: Finding | None
    file: LockedFile | None

    @property
    def state(self) -> str:
        """One of STATES."""
        return UNREAD if self.finding is None else self.finding.state.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """One model's files. `key` names it on the page; `model` is None where no lock has it; `misfits` are the grave."""

    key: str
    project: str
    name: str
    model: LockedModel | None
    entries: tuple[Entry, ...]
    misfits: int

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(entry.size for entry in self.entries)

    @property
    def states(self) -> dict[str, int]:
        """How many files are in each state that occurs."""
        found = [entry.state for entry in self.entries]
        return {state: found.count(state) for state in STATES if state in found}


def shelves(verification: Verification, locks: Sequence[Lock]) -> list[Shelf]:
    """One for each model, in the order of the locks; what only a finding names comes after its model's other files."""
    found: dict[tuple[str, str], dict[str, Finding]] = {}
    for finding in verification.findings:
        found.setdefault((finding.project, finding.model), {})[finding.target] = finding
    models = {(lock.project, model.name): model for lock in locks for model in lock.models}
    misfits = [(misfit.project, misfit.model) for misfit in verification.misfits if misfit.misfit.grave]
    return [
        Shelf(
            key=f"m{number}",
            project=names[0] or NOBODY,
            name=names[1],
            model=models.get(names),
            entries=_entries(f"m{number}", models.get(names), found.get(names, {})),
            misfits=misfits.count(names),
        )
        for number, names in enumerate(dict.fromkeys([*models, *found, *misfits]))
    ]


def _entries(key: str, model: LockedModel | None, found: dict[str, Finding]) -> tuple[Entry, ...]:
    files = {file.target: file for file in model.files} if model else {}
    entries = []
    for number, target in enumerate(dict.fromkeys([*files, *found])):
        file, finding = files.get(target), found.get(target)
        size = file.size if file else finding.size if finding else 0
        entries.append(Entry(row=f"{key}-{number}", target=target, size=size, finding=finding, file=file))
    return tuple(entries)
