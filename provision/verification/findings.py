"""Findings: the verdict on one file, and all of them together. Values and decisions; nothing is read here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provision.lock import LockedFile


class Mode(StrEnum):
    """How far a verification goes."""

    FULL = "full"
    QUICK = "quick"


class State(StrEnum):
    """The verdict on one file."""

    OK = "ok"
    MISSING = "missing"
    SIZE = "size"
    DIGEST = "digest"
    HEADER = "header"
    UNREADABLE = "unreadable"
    UNEXPECTED = "unexpected"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The verdict on one file: what was promised, what is there, and a phrase where that is not enough."""

    project: str
    model: str
    target: str
    size: int
    state: State
    expected: str | int | None = None
    actual: str | int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One file that one project was promised."""

    project: str
    model: str
    file: LockedFile

    def at(self, target: str, size: int) -> Promise:
        """The same project's promise of another file, one that goes with this one."""
        return replace(self, file=replace(self.file, target=target, size=size, header=None))

    def found(
        self, state: State, expected: str | int | None = None, actual: str | int | None = None, detail: str = ""
    ) -> Finding:
        """The finding that it is in `state`."""
        return Finding(
            project=self.project,
            model=self.model,
            target=self.file.target,
            size=self.file.size,
            state=state,
            expected=expected,
            actual=actual,
            detail=detail,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """All findings of one run, in the order of the locks."""

    volume: str
    mode: Mode
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether every promised file was found as promised."""
        return all(finding.state is State.OK for finding in self.findings)

    @property
    def counts(self) -> dict[str, int]:
        """How many files are in each state; every state is named."""
        counts = {state.value: 0 for state in State}
        for finding in self.findings:
            counts[finding.state.value] += 1
        return counts
