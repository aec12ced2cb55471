"""Composition: whether the files of a model fit together, from headers and small JSON alone.

The bytes may all be as promised and the model be of no use: a shard that nobody asked for, a component without weights.
What is checked is what the formats' own readers need; each rule names its source.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Rule(StrEnum):
    """The name of what does not fit."""

    SHARD_MISSING = "shard-missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """`path` is the file, in the repository, that shows it; `grave` where a reader will fail, else it may."""

    rule: Rule
    path: str
    detail: str
    grave: bool = True


class Contents(Protocol):
    """The files of one model, by their path in the repository."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Every file, with its length in bytes."""

    def read(self, path: str, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`, fewer only where the file ends. Raises what its place raises."""
