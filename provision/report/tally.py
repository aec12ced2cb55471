"""Tallies: a verification summed up by project and model. Values and decisions; no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.report.advice import remedy, severity
from provision.verification.findings import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from provision.lock import Lock, LockedFile
    from provision.report.advice import Remedy
    from provision.verification.findings import Finding, ModelMisfit, Verification


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """One model's files, also those not looked at. `size` is bytes promised; `states` has those that occur."""

    project: str
    model: str
    files: int
    ok: int
    size: int
    states: Mapping[State, int]
    misfits: int
    unread: int

    @property
    def good(self) -> bool:
        """Whether there is nothing to say against this model."""
        return self.ok == self.files and not self.misfits


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """The findings of one model that are in one state other than ok, and that the same helps."""

    project: str
    model: str
    state: State
    remedy: Remedy
    findings: tuple[Finding, ...]

    @property
    def size(self) -> int:
        """Bytes promised in all."""
        return sum(finding.size for finding in self.findings)


def tallies(verification: Verification, locks: Sequence[Lock] = ()) -> list[Tally]:
    """One for each model, in the order of the findings; one of which nothing was found comes last.

    `locks` name the files that were not looked at.
    """
    by_model: dict[tuple[str, str], list[Finding]] = {}
    for finding in verification.findings:
        by_model.setdefault((finding.project, finding.model), []).append(finding)
    misfits: dict[tuple[str, str], int] = {}
    for found in verification.misfits:
        key = (found.project, found.model)
        by_model.setdefault(key, [])
        misfits[key] = misfits.get(key, 0) + found.misfit.grave
    unread: dict[tuple[str, str], list[int]] = {}
    for project, model, file in unread_files(verification, locks):
        by_model.setdefault((project, model), [])
        unread.setdefault((project, model), []).append(file.size)
    return [_tally(key, findings, misfits.get(key, 0), unread.get(key, ())) for key, findings in by_model.items()]


def unread_files(verification: Verification, locks: Sequence[Lock]) -> Iterable[tuple[str, str, LockedFile]]:
    """The files that were not looked at, each with its project and model."""
    if verification.unread:
        seen = {(finding.project, finding.model, finding.target) for finding in verification.findings}
        for lock in locks:
            for model, file in lock.files():
                if (lock.project, model.name, file.target) not in seen:
                    yield lock.project, model.name, file


def _tally(key: tuple[str, str], findings: Sequence[Finding], misfits: int, unread: Sequence[int]) -> Tally:
    states: dict[State, int] = {}
    for finding in findings:
        states[finding.state] = states.get(finding.state, 0) + 1
    return Tally(
        project=key[0],
        model=key[1],
        files=len(findings) + len(unread),
        ok=states.get(State.OK, 0),
        size=sum(finding.size for finding in findings) + sum(unread),
        states={state: states[state] for state in State if state in states},
        misfits=misfits,
        unread=len(unread),
    )


def wrong(verification: Verification) -> list[Finding]:
    """What is not ok, the worst first, else in the order of the findings."""
    return sorted((finding for finding in verification.findings if finding.state is not State.OK), key=severity)


def troubles(verification: Verification) -> list[Trouble]:
    """What is not ok, by model, state and what helps, the worst first."""
    groups: dict[tuple[str, str, State, Remedy], list[Finding]] = {}
    for finding in wrong(verification):
        key = (finding.project, finding.model, finding.state, remedy(finding))
        groups.setdefault(key, []).append(finding)
    return [
        Trouble(project=project, model=model, state=state, remedy=helps, findings=tuple(findings))
        for (project, model, state, helps), findings in groups.items()
    ]


def misfits_by_model(verification: Verification) -> list[list[ModelMisfit]]:
    """What does not fit together, by model, the grave apart from the rest, in the order found."""
    groups: dict[tuple[str, str, bool], list[ModelMisfit]] = {}
    for found in verification.misfits:
        groups.setdefault((found.project, found.model, found.misfit.grave), []).append(found)
    return list(groups.values())
