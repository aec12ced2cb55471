"""Turns: the suppliers of a file are asked one after another, with patience, until one has brought what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.errors import HubRefused, HubUnavailable, PromiseBroken, Stalled, VolumeError
from provision.transfer.stretch import LITTLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.errors import ProvisionError
    from provision.retry import Retry
    from provision.transfer.stretch import Stretch
    from provision.transfer.suppliers import Supplier, Suppliers


@dataclass(slots=True, kw_only=True)
class _Turn:
    """Whose it is, since when, and how many bytes have come."""

    whose: str
    began: float
    came: int = 0


class Turns:
    """For the owner of a file, who has patience with `suppliers`. `clock`: seconds; `note` tells the user."""

    def __init__(
        self, suppliers: Suppliers, retry: Retry, clock: Callable[[], float], note: Callable[[str], None]
    ) -> None:
        self._suppliers, self._retry, self._clock, self._note = suppliers, retry, clock, note
        self._turn = _Turn(whose="", began=0.0)

    def bring(self, stretch: Stretch) -> VolumeError | None:
        """Have `stretch` brought, and once more when one who had asked to be left alone so long may be asked again.
        What is wrong with the volume is returned: no supplier can help that.

        Raises:
            HubRefused, HubUnavailable, PromiseBroken: no supplier is left, or patience is over.
        """
        self._turn = _Turn(whose="", began=self._clock())
        try:
            return self._patiently(stretch)
        except HubUnavailable as error:
            wish = self._suppliers.wish(self._clock())
            wait = (wish and wish.retry_after) or 0.0
            if error.retry_after or not 0 < wait <= self._retry.patience.longest_request:
                raise
            self._note(f"{error}; waiting {wait:.0f} s for one who has asked for that")
            self._retry.sleep(self._retry.patience.wait(1, wait))
            return self._patiently(stretch)

    def _patiently(self, stretch: Stretch) -> VolumeError | None:
        """Bytes for other files are a sign of life too: those may hold all the connections that a hub bears."""
        return self._retry.call(
            lambda: self._round(stretch),
            position=lambda: stretch.moved // LITTLE,
            alive=lambda: sum(supplier.tally.bytes for supplier in self._suppliers.all) // LITTLE,
            tell=self._note,
        )

    def _round(self, stretch: Stretch) -> VolumeError | None:
        """Ask in turn, until one has brought the stretch to its end, or on its way."""
        failure: HubUnavailable | None = None
        now = self._clock()  # whoever is not due now is not asked in this round, and is waited for after it
        for supplier in self._suppliers.due(now):
            before = stretch.moved
            try:
                stretch.run(supplier)
            except VolumeError as error:
                return error
            except (HubRefused, PromiseBroken) as error:
                self._suppliers.drop(supplier, error)
                if supplier.tally.told.setdefault(str(error), self) is self:  # one step: other threads do the same
                    self._tell(supplier, error)
            except HubUnavailable as error:
                self._suppliers.put_off(supplier, error, self._clock())
                failure = min(failure or error, error, key=lambda one: one.retry_after or 0.0)
                if self._goes_on(supplier, error, stretch.moved - before):
                    break
                self._suppliers.pass_on(supplier, error)
                self._tell(supplier, error)
            else:
                return None
        raise failure or self._suppliers.wish(now) or self._suppliers.refusal

    def _goes_on(self, supplier: Supplier, error: HubUnavailable, moved: int) -> bool:
        """Whether one that was cut on its way keeps its turn. With all the waits in between it must be as fast as one
        that is not cut, where another could be asked.
        """
        now = self._clock()
        if self._turn.whose != supplier.name:
            self._turn = _Turn(whose=supplier.name, began=now)
        self._turn.came += moved
        if moved < LITTLE or isinstance(error, Stalled):
            return False
        pace, seconds = self._suppliers.pace(supplier), now - self._turn.began
        if pace is None or seconds < pace.window or self._turn.came >= pace.slowest * seconds:
            return True
        self._turn = _Turn(whose="", began=now)
        return False

    def _tell(self, failed: Supplier, error: ProvisionError) -> None:
        following = self._suppliers.left[:1]
        if following and following[0] is not failed:
            self._note(f"{failed.name}: {error}; {following[0].name} goes on")
