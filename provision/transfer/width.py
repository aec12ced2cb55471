"""Width: how many connections are at work at once. As many as bring something, by measurement while they work.

A line that is far away, or loses packets, gives each connection little, and more of them bring more; one that is full,
or a machine that is, gives nothing for them. Nobody can know before. So a fill begins with a few, measures what they
bring in a spell, and doubles them for as long as that brings much more.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.crew import Stop

LOOK = 0.25
"""Seconds between two looks at how busy the machine is, and at what there is to do."""

BUSY = 0.5
"""The share of the machine that this process may use before nobody helps any more, and no connection is added."""

SPELL, SETTLE = 1.0, 0.5
"""Seconds that are measured, and that new connections are given before: to greet, and for TCP to find its pace."""

GAIN = 1.2
"""So many times what half of them brought is much more."""

REST = 30.0
"""Seconds after which it is tried again whether more bring more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What tells how busy we keep it: `clock` never jumps, `used` is the processor time of this process, both in
    seconds; `cores` is how many we may use.
    """

    clock: Callable[[], float]
    used: Callable[[], float]
    cores: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """A time in which all places were taken: since when, and how many bytes had come by then."""

    began: float
    came: int


class Width:
    """Places for those who work: `now` of them, at first `first`, never more than `most`. Threads share it.

    A context: within, one has a place. Entering waits for one; that ends with Interrupted when a stop was asked for.
    """

    def __init__(self, first: int, most: int, machine: Machine, stop: Stop) -> None:
        self.now, self._first, self._most = min(first, most), first, most
        self._machine, self._stop = machine, stop
        self._changed = threading.Condition()
        self._taken, self._came = 0, 0
        self._measured = (machine.clock(), machine.used())
        self._is_busy = True
        self._spell: Spell | None = None
        self._not_before = 0.0
        self._half: tuple[int, float] | None = None

    @property
    def most(self) -> int:
        """As many threads are of use."""
        return self._most

    @property
    def look(self) -> float:
        """Seconds between two looks at what there is to do."""
        return LOOK

    @property
    def clock(self) -> Callable[[], float]:
        """The machine's."""
        return self._machine.clock

    def __enter__(self) -> Self:
        while not self.take_place():
            self._stop.check()
            with self._changed:
                self._changed.wait(LOOK)
        return self

    def __exit__(self, *_: object) -> None:
        self.leave_place()

    def leave_place(self) -> None:
        """Somebody else may have it."""
        with self._changed:
            self._taken -= 1
            self._changed.notify()

    def take_place(self) -> bool:
        """A place, if there is one at once."""
        with self._changed:
            is_free = self._taken < self.now
            self._taken += is_free
            self._look()
            return is_free

    def came(self, count: int) -> None:
        """`count` bytes have come. Lost counts do no harm."""
        self._came += count

    def refused(self) -> None:
        """Somebody does not bear so many: where some were added there are fewer, and no more before a REST is over."""
        with self._changed:
            self.now = min(self.now, max(self._first, self.now // 2))
            self._half = self._spell = None
            self._not_before = self._machine.clock() + REST

    def is_busy(self) -> bool:
        """Whether this process kept the machine busy of late; yes, until that is known."""
        now, used = self._machine.clock(), self._machine.used()
        before, used_before = self._measured
        if now - before >= LOOK:
            self._is_busy = used - used_before > BUSY * self._machine.cores * (now - before)
            self._measured = (now, used)
        return self._is_busy

    def _look(self) -> None:
        """See to it that there are as many places as bring something; whoever wants one does this."""
        now = self._machine.clock()
        if self._taken < self.now or self.is_busy() or now < self._not_before:
            self._spell = None
        elif self._spell is None:
            self._spell = Spell(began=now, came=self._came)
        elif now - self._spell.began >= SPELL:
            self._judge((self._came - self._spell.came) / (now - self._spell.began), now)

    def _judge(self, rate: float, now: float) -> None:
        """`rate`: bytes a second that all places brought."""
        self._spell = None
        if self._half is not None and rate < GAIN * self._half[1]:
            self.now, self._half = self._half[0], None
            self._not_before = now + REST
        elif self.now < self._most:
            self._half = (self.now, rate)
            self.now = min(2 * self.now, self._most)
            self._not_before = now + SETTLE
            self._changed.notify_all()
        else:
            self._half = None
