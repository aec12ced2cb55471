"""Assistance: connections with nothing of their own to do help with the files that are under way.

Help is worth having where a connection is slower than the machine, as on any wide-area line. It costs a little, since
what comes out of order is read back to be hashed. So nobody helps while the process keeps half of the machine busy.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from provision.crew import Stop
    from provision.transfer.assembly import Assembly

LOOK = 0.25
"""Seconds between two looks at how busy the machine is, and at what there is to do."""

BUSY = 0.5
"""The share of the machine that this process may use before nobody helps any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What tells how busy we keep it: `clock` never jumps, `used` is the processor time of this process, both in
    seconds; `cores` is how many we may use.
    """

    clock: Callable[[], float]
    used: Callable[[], float]
    cores: int


class Assistance:
    """The files under way, for whoever has a connection to spare. Threads share it."""

    def __init__(self, machine: Machine, stop: Stop) -> None:
        self._machine, self._stop = machine, stop
        self._changed = threading.Condition()
        self._under_way: list[Assembly] = []
        self._is_over = False
        self._since = (machine.clock(), machine.used())
        self._is_busy = True

    @property
    def clock(self) -> Callable[[], float]:
        """The machine's."""
        return self._machine.clock

    @contextmanager
    def offered(self, assembly: Assembly) -> Iterator[None]:
        """Within, others may help with `assembly`."""
        with self._changed:
            self._under_way.append(assembly)
        try:
            yield
        finally:
            with self._changed:
                self._under_way.remove(assembly)

    def give(self) -> None:
        """Help where it is needed most, a stretch at a time, until `end`.

        Raises:
            Interrupted: a stop was asked for.
        """
        while not self._is_over:
            self._stop.check()
            with self._changed:
                neediest = None if self._busy() else max(self._under_way, key=lambda one: one.need, default=None)
                if neediest is None or not neediest.need:
                    self._changed.wait(LOOK)
                    continue
            neediest.assist()

    def end(self) -> None:
        """Nothing more will be under way."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _busy(self) -> bool:
        """Whether this process kept the machine busy of late; yes, until that is known."""
        now, used = self._machine.clock(), self._machine.used()
        before, used_before = self._since
        if now - before >= LOOK:
            self._is_busy = used - used_before > BUSY * self._machine.cores * (now - before)
            self._since = (now, used)
        return self._is_busy
