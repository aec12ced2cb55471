"""Relief: what is taken off a stretch that will not be done soon, when somebody has nothing else left to fetch. Pure.

Near the end of a file, and of a fill, most connections have nothing left, and all wait for the slowest. So it gives
away, in this order: the pieces that it has not begun; all that it has, if it is far slower than others were, for its
connection may be sick; half of what it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provision.transfer.ledger import Ledger, Part
    from provision.transfer.stretch import Stretch

SOON = 2.0
"""Seconds that a stretch must have been at work, and must still need, before another request is worth while."""

AGAIN = 4
"""How many times longer a part is left to each that takes it over, lest it goes from hand to hand."""

LITTLE = 1024 * 1024
"""Bytes. Less is not halved."""

SICK = 8
"""So many times slower than others were is far slower."""


def longest(stretches: Iterable[Stretch], now: float) -> Stretch | None:
    """The one that needs longest, of those that need help and can be given it; `now` in seconds."""
    helped = [one for one in stretches if not one.is_alone and _needs_long(one, now)]
    return max(helped, key=lambda one: one.left / (one.speed(now) or 1.0), default=None)


def relieve(stretch: Stretch, ledger: Ledger, usual: float, now: float) -> list[Part]:
    """Parts that `stretch` has no more, and somebody else is to bring. `usual`: bytes a second of others."""
    if stretch.waiting:
        ledger.give_back(stretch.waiting)
        stretch.waiting.clear()
        return ledger.take(1)
    part = stretch.part
    if part is None:
        return []
    if stretch.speed(now) * SICK < usual:
        return _taken_over(stretch, part)
    return [ledger.split(part, part.sure + part.left // 2)] if part.left >= 2 * LITTLE else []


def _needs_long(stretch: Stretch, now: float) -> bool:
    times = stretch.part.times if stretch.part else 0
    if now - stretch.began < SOON * AGAIN**times:
        return False
    return stretch.left > stretch.speed(now) * SOON


def _taken_over(stretch: Stretch, part: Part) -> list[Part]:
    """Not while bytes of it are on their way to the volume."""
    if part.sure != part.offset:
        return []
    stretch.part = None
    part.times += 1
    return [part]
