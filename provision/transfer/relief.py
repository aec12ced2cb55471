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


def longest(stretches: Iterable[Stretch], usual: float, now: float) -> Stretch | None:
    """Of those that have something to give away, the one that needs longest. `usual`: bytes a second of others; `now`
    in seconds. To be asked, as `relieve`, with the lock under which they admit bytes: meanwhile none gets on.
    """
    helped = [one for one in stretches if not one.is_alone and _needs_long(one, now) and _can_give(one, usual, now)]
    return max(helped, key=lambda one: one.left / (one.speed(now) or 1.0), default=None)


def relieve(stretch: Stretch, ledger: Ledger, usual: float, now: float) -> list[Part]:
    """Parts that `stretch`, which can give something, has no more, and somebody else is to bring."""
    part = stretch.part
    if stretch.waiting or part is None:
        ledger.give_back(stretch.waiting)
        stretch.waiting.clear()
        return ledger.take(1)
    if _is_sick(stretch, usual, now):
        stretch.part = None
        part.times += 1
        return [part]
    return [ledger.split(part, part.sure + part.left // 2)]


def _needs_long(stretch: Stretch, now: float) -> bool:
    part = stretch.part
    if now - stretch.began < SOON * AGAIN ** (part.times if part else 0):
        return False
    return stretch.left > stretch.speed(now) * SOON


def _can_give(stretch: Stretch, usual: float, now: float) -> bool:
    part = stretch.part
    if stretch.waiting or part is None:
        return bool(stretch.waiting)
    if _is_sick(stretch, usual, now):
        return part.sure == part.offset < part.end  # else bytes of it are on their way to the volume, or all are there
    return part.left >= 2 * LITTLE


def _is_sick(stretch: Stretch, usual: float, now: float) -> bool:
    return stretch.speed(now) * SICK < usual
