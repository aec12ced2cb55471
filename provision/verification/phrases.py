"""Phrases of findings that also say what would help: reports go by them. Values and decisions; nothing is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.errors import UnsafePath
from provision.verification.findings import State

if TYPE_CHECKING:
    from provision.errors import VolumeError
    from provision.verification.findings import Finding, Promise

KNOWN_DAMAGED = "it was found damaged, and not repaired since"
IN_THE_WAY = "; it is in the way"


def unreadable(promise: Promise, error: VolumeError) -> Finding:
    """The finding that a file cannot be read. What is no plain file, or no plain folder before it, is in the way."""
    end = IN_THE_WAY if isinstance(error, UnsafePath) else ""
    return promise.found(State.UNREADABLE, detail=f"{error.message}{end}")
