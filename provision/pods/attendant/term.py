"""The term: how long there is until the deadline, by two clocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provision.pods.attendant.duty import Duty


class Term:
    """The time until the deadline of `duty`, from now on. A pod is paid by the second, whatever its clock says: whether
    it is set back or forth, the clock by which the deadline comes first is believed.
    """

    def __init__(self, duty: Duty) -> None:
        self._duty = duty
        self._ends = duty.ticks() + max(0.0, duty.deadline - duty.clock())

    @property
    def left(self) -> float:
        """Seconds; none below zero."""
        return max(0.0, min(self._duty.deadline - self._duty.clock(), self._ends - self._duty.ticks()))
