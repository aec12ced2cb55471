"""Suppliers: everyone who can send the bytes of one file, and whose turn it is.

The first is the model's own source, its mirrors follow. One that refuses, or announces other bytes, is asked no more
for this file; one that is unavailable or slow gives its turn to the next, in the middle of a file if need be. Any may
serve any byte, since the sha256 of the whole decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provision.errors import HubUnavailable, ProvisionError, Stalled
from provision.hubs import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from provision.hubs import Stream
    from provision.hubs.http import Wanted

SLOW = Pace(slowest=256 * 1024, window=20.0)
"""Where another supplier could be asked, one that sends less on a connection, by the time spent waiting for it, gives
its turn away. Where none could, only a stream that may never end is given up (`HttpSettings.slowest`)."""


XET = "xet"
"""The place of those who are another way to a source that is asked over HTTP as well."""


@dataclass(slots=True)
class Tally:
    """Missing bytes that came from one place so far, for whatever file: a sign of life. Lost counts do no harm. What is
    passed over does not count, or a server that always begins anew would be asked for ever.

    It is not to be asked before `not_before`, in seconds, `because` it said so. `told`: the refusals that users have
    been told of, each with who told it first.
    """

    bytes: int = 0
    not_before: float = 0.0
    because: HubUnavailable | None = None
    told: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplier:
    """One who can send a file's bytes. `name` is a source, as in the lock; those of one `place` fail together."""

    name: str
    place: str
    open: Callable[[Wanted, Pace | None], Stream]
    tally: Tally = field(default_factory=Tally, compare=False)


class Suppliers:
    """Those who may be asked for one file. Several threads may ask; one, the file's owner, passes turns on.

    `failed` and `dropped` tell, by name, the last error that may pass, and the one that does not.
    """

    def __init__(self, suppliers: Sequence[Supplier]) -> None:
        self.all = tuple(suppliers)
        self.failed: dict[str, ProvisionError] = {}
        self.dropped: dict[str, ProvisionError] = {}
        self._left = list(suppliers)
        self._slow: set[str] = set()

    @property
    def left(self) -> tuple[Supplier, ...]:
        """Those who have not been dropped, the one whose turn it is first."""
        return tuple(self._left)

    def due(self, now: float) -> tuple[Supplier, ...]:
        """Those of `left` who have not asked to be left alone, or not for so long."""
        return tuple(supplier for supplier in self._left if supplier.tally.not_before <= now)

    def put_off(self, supplier: Supplier, error: HubUnavailable, now: float) -> None:
        """What `supplier` asked for is kept, by whoever wants something of it, for this file or another."""
        if error.retry_after:
            supplier.tally.because = error
            supplier.tally.not_before = max(supplier.tally.not_before, now + error.retry_after)

    def wish(self, now: float) -> HubUnavailable | None:
        """Why, and for how long from `now`, the first of those who are not due wants to be left alone."""
        waiting = [one.tally for one in self._left if one.tally.not_before > now and one.tally.because is not None]
        if not waiting:
            return None
        first = min(waiting, key=lambda tally: tally.not_before)
        because = first.because or HubUnavailable("")
        return type(because)(because.message, hint=because.hint, retry_after=first.not_before - now)

    @property
    def refusal(self) -> ProvisionError:
        """Why nobody is left: in the source's own words, not in those of another way to it, which tell less."""
        dropped = [supplier for supplier in self.all if supplier.name in self.dropped]
        return self.dropped[min(dropped, key=lambda one: one.place == XET).name]

    def pace(self, supplier: Supplier) -> Pace | None:
        """How fast `supplier` must be: SLOW while someone is left who was not found to be slow."""
        others = {other.name for other in self._left} - {supplier.name} - self._slow
        return SLOW if others else None

    def pass_on(self, supplier: Supplier, error: ProvisionError) -> None:
        """`supplier` failed with an error that may pass: it is the next one's turn, if there is another."""
        self.failed[supplier.name] = error
        if isinstance(error, Stalled):
            self._slow.add(supplier.name)
        if len(self._left) > 1 and self._left[0] is supplier:
            self._left = [*self._left[1:], supplier]

    def drop(self, supplier: Supplier, error: ProvisionError) -> None:
        """`supplier` is not asked for this file any more, because of `error`."""
        self.dropped[supplier.name] = error
        self._left = [other for other in self._left if other is not supplier]
