"""Tallies: a verification summed up by project and model. Values and decisions; no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.verification.findings import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provision.verification.findings import Finding, ModelMisfit, Verification


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """One model's findings. `size` is bytes promised of those looked at; `states` has those states that occur."""

    project: str
    model: str
    files: int
    ok: int
    size: int
    states: Mapping[State, int]
    misfits: int

    @property
    def good(self) -> bool:
        """Whether there is nothing to say against this model."""
        return self.ok == self.files and not self.misfits


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """The findings of one model that are in one state other than ok."""

    project: str
    model: str
    state: State
    findings: tuple[Finding, ...]

    @property
    def size(self) -> int:
        """Bytes promised in all."""
        return sum(finding.size for finding in self.findings)


def tallies(verification: Verification) -> list[Tally]:
    """One for each model, in the order of the findings; a model of which there are only misfits comes last."""
    by_model: dict[tuple[str, str], list[Finding]] = {}
    for finding in verification.findings:
        by_model.setdefault((finding.project, finding.model), []).append(finding)
    misfits: dict[tuple[str, str], int] = {}
    for found in verification.misfits:
        key = (found.project, found.model)
        by_model.setdefault(key, [])
        misfits[key] = misfits.get(key, 0) + found.misfit.grave
    return [_tally(key, findings, misfits.get(key, 0)) for key, findings in by_model.items()]


def _tally(key: tuple[str, str], findings: Sequence[Finding], misfits: int) -> Tally:
    states: dict[State, int] = {}
    for finding in findings:
        states[finding.state] = states.get(finding.state, 0) + 1
    return Tally(
        project=key[0],
        model=key[1],
        files=len(findings),
        ok=states.get(State.OK, 0),
        size=sum(finding.size for finding in findings),
        states={state: states[state] for state in State if state in states},
        misfits=misfits,
    )


def troubles(verification: Verification) -> list[Trouble]:
    """What is not ok, by model and state, in the order of the findings."""
    groups: dict[tuple[str, str, State], list[Finding]] = {}
    for finding in verification.findings:
        if finding.state is not State.OK:
            groups.setdefault((finding.project, finding.model, finding.state), []).append(finding)
    return [
        Trouble(project=project, model=model, state=state, findings=tuple(findings))
        for (project, model, state), findings in groups.items()
    ]


def misfits_by_model(verification: Verification) -> list[list[ModelMisfit]]:
    """What does not fit together, by model, the grave apart from the rest, in the order found."""
    groups: dict[tuple[str, str, bool], list[ModelMisfit]] = {}
    for found in verification.misfits:
        groups.setdefault((found.project, found.model, found.misfit.grave), []).append(found)
    return list(groups.values())
