"""Findings: the verdict on one file, and all of them together. Values and decisions; nothing is read here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provision.composition import Misfit
    from provision.lock import LockedFile
    from provision.shard import Shard


class Mode(StrEnum):
    """How far a verification goes."""

    FULL = "full"
    QUICK = "quick"
    SAMPLE = "sample"


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
    """The verdict on one file: what was promised, what is there, and a phrase where that is not enough.

    `damaged` are the ranges of bytes, each (first, end), that are known to differ; end is not one of them.
    """

    project: str
    model: str
    target: str
    size: int
    state: State
    expected: str | int | None = None
    actual: str | int | None = None
    detail: str = ""
    damaged: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something to know about a verification that is no verdict. `kind` is a word for programs, `text` for people."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMisfit:
    """What does not fit together in one project's model."""

    project: str
    model: str
    misfit: Misfit


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One file that one project was promised."""

    project: str
    model: str
    file: LockedFile

    @property
    def key(self) -> tuple[str, int, str, str]:
        """Promises of one key are the same promise, whoever was given them."""
        header = self.file.header.sha256 if self.file.header else ""
        return self.file.target, self.file.size, self.file.sha256, header

    def at(self, target: str, size: int) -> Promise:
        """The same project's promise of another file, one that goes with this one."""
        return replace(self, file=replace(self.file, target=target, size=size, header=None))

    def found(
        self,
        state: State,
        expected: str | int | None = None,
        actual: str | int | None = None,
        detail: str = "",
        damaged: tuple[tuple[int, int], ...] = (),
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
            damaged=damaged,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """All findings of one run, in the order of the locks.

    `unread` counts the promised files that were not looked at, because a first fault was enough to know. With `shard`
    all is about a share of what was promised, which may have no file at all.
    """

    volume: str
    mode: Mode
    findings: tuple[Finding, ...]
    misfits: tuple[ModelMisfit, ...] = ()
    notes: tuple[Note, ...] = ()
    unread: int = 0
    shard: Shard | None = None

    @property
    def ok(self) -> bool:
        """Whether every promised file was found as promised, and everything fits together; never of nothing."""
        good = all(finding.state is State.OK for finding in self.findings)
        is_empty = not self.findings and self.shard is None
        return not is_empty and good and not self.unread and not any(found.misfit.grave for found in self.misfits)

    @property
    def counts(self) -> dict[str, int]:
        """How many files are in each state; every state is named."""
        counts = {state.value: 0 for state in State}
        for finding in self.findings:
            counts[finding.state.value] += 1
        return counts
