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
    total = sum(weights)
    scale = box.width * box.height / total if total else 0.0
    boxes: list[Box] = []
    at = 0
    while at < len(weights):
        end = _row_end([weight * scale for weight in weights], at, min(box.width, box.height))
        placed, box = _laid([weight * scale for weight in weights[at:end]], box)
        boxes += placed
        at = end
    return boxes


def _row_end(areas: Sequence[float], at: int, side: float) -> int:
    """Where the row that begins at `at` ends: before the first that would make its boxes less square."""
    end, total = at + 1, areas[at]
    while end < len(areas):
        longer = total + areas[end]
        if _worst(areas[at], areas[end], longer, side) > _worst(areas[at], areas[end - 1], total, side):
            break
        end, total = end + 1, longer
    return end


def _worst(greatest: float, least: float, total: float, side: float) -> float:
    """The greatest ratio of sides in a row of boxes along `side`."""
    if not (total and side and least):
        return float("inf")
    return max(side * side * greatest / total**2, total**2 / (side * side * least))


def _laid(areas: Sequence[float], box: Box) -> tuple[list[Box], Box]:
    """One row along the shorter side of `box`, and what is left of it."""
    total = sum(areas)
    boxes, offset = [], 0.0
    if box.width >= box.height:
        thick = total / box.height if box.height else 0.0
        for area in areas:
            length = area / thick if thick else 0.0
            boxes.append(Box(box.x, box.y + offset, thick, length))
            offset += length
        return boxes, Box(box.x + thick, box.y, max(box.width - thick, 0.0), box.height)
    thick = total / box.width
    for area in areas:
        length = area / thick if thick else 0.0
        boxes.append(Box(box.x + offset, box.y, length, thick))
        offset += length
    return boxes, Box(box.x, box.y + thick, box.width, max(box.height - thick, 0.0))
