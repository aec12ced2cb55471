"""Assistance: connections with nothing of their own to do help with the files that are under way.

Help is worth having where a connection is slower than the machine, as on any wide-area line. It costs a little, since
what comes out of order is read back to be hashed. So nobody helps while the process keeps half of the machine busy.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.crew import Stop
    from provision.transfer.assembly import Assembly
    from provision.transfer.width import Width


class Assistance:
    """The files under way, for whoever has a connection to spare. Threads share it."""

    def __init__(self, width: Width, stop: Stop) -> None:
        self.width, self._stop = width, stop
        self._changed = threading.Condition()
        self._under_way: list[Assembly] = []
        self._is_over = False

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
            neediest = self._neediest()
            if neediest is None or not self.width.take_place():
                with self._changed:
                    self._changed.wait(self.width.look)
                continue
            try:
                neediest.assist()
            finally:
                self.width.leave_place()

    def end(self) -> None:
        """Nothing more will be under way."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _neediest(self) -> Assembly | None:
        with self._changed:
            if self.width.is_busy():
                return None
            neediest = max(self._under_way, key=lambda one: one.need, default=None)
            return neediest if neediest is not None and neediest.need else None
