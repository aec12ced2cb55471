"""Deadlines: a time by which what is being done must be over, however often something still comes.

The timeout of a socket is the longest silence. A server that sends a byte at a time, interim answers (100 Continue) or
trailers without end is never silent; `provision.hubs.http.wire` looks at the deadline each time something comes.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class _Deadline:
    clock: Callable[[], float]
    until: float


_current: ContextVar[_Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def within(clock: Callable[[], float], seconds: float) -> Iterator[None]:
    """What is done inside, in this thread, ends after `seconds`, or sooner where a deadline around it says so."""
    outer, until = _current.get(), clock() + seconds
    before = _current.set(_Deadline(clock, min(until, outer.until) if outer else until))
    try:
        yield
    finally:
        _current.reset(before)


def check_deadline() -> None:
    """Raise TimeoutError when the time is over, as a silent socket does."""
    deadline = _current.get()
    if deadline is not None and deadline.clock() > deadline.until:
        raise TimeoutError("the answer takes too long")
