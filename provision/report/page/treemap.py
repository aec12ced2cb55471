"""A squarified treemap: areas as weights, sides as nearly equal as can be. Pure geometry.

The algorithm is that of Bruls, Huizing and van Wijk, "Squarified Treemaps" (2000).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, from its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    def inside(self, margin: float, top: float = 0.0) -> Box:
        """The rectangle within, `margin` from each side, and `top` more from the upper one."""
        width, height = self.width - 2 * margin, self.height - 2 * margin - top
        return Box(self.x + margin, self.y + margin + top, max(width, 0.0), max(height, 0.0))


def squarified(weights: Sequence[float], box: Box) -> list[Box]:
    """A box for each of `weights` (above zero, the greatest first), that fill `box` without overlap."""
    boxes: list[Box] = []
    while len(boxes) < len(weights):
        rest = weights[len(boxes) :]
        scale = box.width * box.height / sum(rest)
        row = _row([weight * scale for weight in rest], min(box.width, box.height))
        placed, box = _laid(row, box)
        boxes += placed
    return boxes


def _row(areas: Sequence[float], side: float) -> Sequence[float]:
    """As many of `areas` as make a row along `side`: those before the first that would make the row less square."""
    total = areas[0]
    for count in range(1, len(areas)):
        longer = total + areas[count]
        if _worst(areas[0], areas[count], longer, side) > _worst(areas[0], areas[count - 1], total, side):
            return areas[:count]
        total = longer
    return areas


def _worst(greatest: float, least: float, total: float, side: float) -> float:
    """The greatest ratio of sides in a row of boxes along `side`."""
    if not (total and side and least):
        return float("inf")
    return max(side * side * greatest / total**2, total**2 / (side * side * least))


def _laid(areas: Sequence[float], box: Box) -> tuple[list[Box], Box]:
    """One row along the shorter side of `box`, and what is left of it."""
    is_wide, total = box.width >= box.height, sum(areas)
    side = min(box.width, box.height)
    thick = min(total / side if side else 0.0, max(box.width, box.height))
    boxes, offset = [], 0.0
    for area in areas:
        length = side * area / total if total else 0.0
        place = (box.x, box.y + offset, thick, length) if is_wide else (box.x + offset, box.y, length, thick)
        boxes.append(Box(*place))
        offset += length
    if is_wide:
        return boxes, Box(box.x + thick, box.y, box.width - thick, box.height)
    return boxes, Box(box.x, box.y + thick, box.width, box.height - thick)
