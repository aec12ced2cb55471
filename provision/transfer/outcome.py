"""What became of each step, and of a whole fill. Values only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provision.errors import ProvisionError
    from provision.plan import Step


class Done(StrEnum):
    """What was done for one file."""

    KEPT = "kept"
    FETCHED = "fetched"
    RESUMED = "resumed"
    REPAIRED = "repaired"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One file's end: bytes that were proven where they lay, and the error if it failed.

    `served` are the bytes that came, by source; `dropped` says which sources were given up for this file, and why.
    """

    step: Step
    done: Done
    reused: int = 0
    served: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)
    error: ProvisionError | None = None

    @property
    def fetched(self) -> int:
        """Bytes that came from hubs and mirrors, for nothing or not."""
        return sum(self.served.values())


def kept(step: Step) -> Outcome:
    """Nothing had to be done."""
    return Outcome(step=step, done=Done.KEPT, reused=step.file.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """A whole fill, file by file, in the order of the locks."""

    outcomes: tuple[Outcome, ...]

    @property
    def ok(self) -> bool:
        """Whether every file is as promised now."""
        return all(outcome.error is None for outcome in self.outcomes)

    @property
    def errors(self) -> tuple[ProvisionError, ...]:
        """Why files failed."""
        return tuple(outcome.error for outcome in self.outcomes if outcome.error is not None)

    @property
    def fetched(self) -> int:
        """Bytes that came from hubs."""
        return sum(outcome.fetched for outcome in self.outcomes)

    @property
    def served(self) -> Mapping[str, int]:
        """Bytes by the source they came from."""
        served: Counter[str] = Counter()
        for outcome in self.outcomes:
            served.update(outcome.served)
        return served

    @property
    def reused(self) -> int:
        """Bytes that did not have to."""
        return sum(outcome.reused for outcome in self.outcomes)
