"""Advice: what helps against what was found, as commands that can be run as they stand. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from provision.errors import without_secrets
from provision.names import shown
from provision.verification.findings import State
from provision.verification.phrases import IN_THE_WAY, KNOWN_DAMAGED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provision.verification.findings import Finding

_LONGEST = 4000


class Remedy(Enum):
    """What helps."""

    FILL = auto()
    READ = auto()
    MOVE = auto()
    LOOK = auto()
    REMOVE = auto()


_BY_STATE = {
    State.UNPROVEN: Remedy.READ,
    State.UNREADABLE: Remedy.LOOK,
    State.UNEXPECTED: Remedy.REMOVE,
}
_ORDER = {state: number for number, state in enumerate(State)}


def remedy(finding: Finding) -> Remedy:
    """What helps a file that is not as promised."""
    if finding.detail == KNOWN_DAMAGED:
        return Remedy.FILL
    if finding.state is State.UNREADABLE and finding.detail.endswith(IN_THE_WAY):
        return Remedy.MOVE
    return _BY_STATE.get(finding.state, Remedy.FILL)


def severity(finding: Finding) -> int:
    """The least is the worst, and to be told first. What is known to be damaged is no less than that."""
    return _ORDER[State.DIGEST if finding.detail == KNOWN_DAMAGED else finding.state]


def is_doubt(finding: Finding) -> bool:
    """Whether nothing is known to be wrong with a promised file."""
    return severity(finding) > _ORDER[State.UNREADABLE]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to do: words, then a command that can be run as it stands; either may be empty."""

    words: str = ""
    command: str = ""

    def __str__(self) -> str:
        """As one phrase."""
        return " ".join(filter(None, (self.words, self.command)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """How a project was named: a name or a path, and whether its manifest is there or only its lock."""

    word: str
    has_manifest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """The commands that a report proposes, made from what was given to the one that reports, "" where nothing was.

    `projects` are those that were named. Another is one whose lock is on the volume. What is not mounted is looked at
    through S3, where nothing can be filled.
    """

    projects: Mapping[str, Named] = field(default_factory=dict)
    manifests: str = ""
    volume: str = ""
    datacenter: str = ""
    endpoint_url: str = ""
    is_mounted: bool = True

    def advice(self, remedy: Remedy, project: str) -> Advice:
        """What to do for a file of `project`."""
        match remedy:
            case Remedy.FILL:
                return self._fill(project)
            case Remedy.READ:
                return self._verify(project)
            case Remedy.MOVE:
                return self._after("move it away", self._fill(project))
            case Remedy.LOOK:
                return self._after("look at the volume", self._verify(project))
            case Remedy.REMOVE:
                return Advice(words="remove it, or add it to a manifest")

    def _after(self, first: str, then: Advice) -> Advice:
        return Advice(words=f"{first}, then {then.words}".rstrip(), command=then.command)

    def _fill(self, project: str) -> Advice:
        """A lock without its manifest is filled only as it is; a volume's copy needs neither."""
        named = self.projects.get(project, Named(word=project, has_manifest=True))
        frozen = () if named.has_manifest else ("--frozen",)
        if self.is_mounted:
            return Advice(command=_command("fill", *frozen, named.word, *self._given("manifests", "volume")))
        command = _command("fill", *frozen, named.word, *self._given("manifests"))
        return Advice(words="in a pod with the volume attached:", command=command)

    def _verify(self, project: str) -> Advice:
        """One that was not named is verified with all whose locks are on the volume: a name would ask for more."""
        words = [named.word for name, named in self.projects.items() if name == project]
        given = self._given("manifests", "volume", "datacenter", "endpoint_url")
        return Advice(command=_command("verify", "--full", *words, *given))

    def _given(self, *names: str) -> list[str]:
        values = {name: str(getattr(self, name)) for name in names}
        return [word for name, value in values.items() if value for word in (f"--{name.replace('_', '-')}", value)]


NOTHING_GIVEN = Commands()


def _command(*words: str) -> str:
    return shown(without_secrets(shlex.join(["provision", *words])), _LONGEST)
