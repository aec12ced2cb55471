"""The treemap as SVG: projects, in them models, in them files; area is bytes, the state is a pattern and a word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.names import shown
from provision.progress import size_text
from provision.report.page.contents import MARKS, STATES, UNPROMISED
from provision.report.page.markup import Markup, element, joined
from provision.report.page.treemap import Box, squarified
from provision.report.wording import counted
from provision.verification.findings import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.report.page.contents import Entry, Shelf

_MODELS = 60
"""Models that are drawn one by one; the smallest share a box."""
_TILES = 600
"""Files that are drawn one by one, on the whole map."""
_OK_SHARE, _BAD_SHARE, _MODEL_SHARE = 0.0006, 0.003, 0.01
"""Least shares of the map: below the first a file joins others; what is not ok, and a model, is drawn larger."""
_HEAD, _GAP, _WORD, _LINE = 18.0, 2.0, 12.0, 15.0
_SOME = 8
"""Letters that are worth being shown of a longer name."""
_LETTER = 0.62
"""Width of a letter, for each unit of its size: a guess that is rather too wide, so that words stay in their boxes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tile:
    """One file, or several of one state. `row` is where it is told of below."""

    label: str
    title: str
    state: str
    size: int
    weight: float
    row: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plot:
    """A model's box, or a project's: what is inside is weighed together."""

    label: str
    link: str
    inside: Sequence[_Tile | _Plot]

    @property
    def weight(self) -> float:
        """The sum of what is inside."""
        return sum(part.weight for part in self.inside)


def treemap(shelves: Sequence[Shelf], width: int, height: int, name: str) -> Markup:
    """The map in `width` by `height` units; empty when there is nothing to draw. `name` is its class."""
    plots = _projects([shelf for shelf in shelves if shelf.entries])
    if not plots:
        return Markup("")
    drawn = _drawn(plots, Box(0, 0, width, height), "project")
    about = {
        "viewBox": f"0 0 {width} {height}",
        "class": f"map {name}",
        "role": "group",
        "aria-label": "Map of the volume",
    }
    return element("svg", about, *drawn)


def _projects(shelves: Sequence[Shelf]) -> list[_Plot]:
    total = sum(shelf.size for shelf in shelves) or 1
    order = sorted(shelves, key=lambda shelf: -shelf.size)
    by_project: dict[str, list[_Plot]] = {}
    for shelf in order[:_MODELS]:
        tiles = _tiles(shelf.entries, shelf.key, total)
        by_project.setdefault(shelf.project, []).append(_enlarged(shelf.name or UNPROMISED, shelf.key, tiles, total))
    rest = order[_MODELS:]
    if rest:
        tiles = [tile for shelf in rest for tile in _gathered(shelf.entries, shelf.key, 0.0)]
        by_project["…"] = [_enlarged(counted(len(rest), "more model"), rest[0].key, tiles, total)]
    return [_Plot(label=project, link=f"#{plots[0].link[1:]}", inside=plots) for project, plots in by_project.items()]


def _enlarged(label: str, key: str, tiles: Sequence[_Tile], total: int) -> _Plot:
    """A model's box, its tiles drawn larger where they all were too small to be seen."""
    from dataclasses import replace

    weight = sum(tile.weight for tile in tiles)
    factor = max(1.0, _MODEL_SHARE * total / weight)
    return _Plot(label=label, link=f"#{key}", inside=[replace(tile, weight=tile.weight * factor) for tile in tiles])


def _tiles(entries: Sequence[Entry], key: str, total: int) -> list[_Tile]:
    """The largest files one by one, the small ones gathered by state."""
    order = sorted(entries, key=lambda entry: -entry.size)
    large = [entry for entry in order if entry.size >= _OK_SHARE * total][: _TILES // 10]
    small = order[len(large) :]
    if len(small) <= 3:
        large, small = order, []
    return [_single(entry, key, total) for entry in large] + _gathered(small, key, _BAD_SHARE * total)


def _single(entry: Entry, key: str, total: int) -> _Tile:
    least = total * (_OK_SHARE if entry.state == State.OK else _BAD_SHARE)
    label = entry.target.rpartition("/")[2]
    title = f"{entry.target}: {entry.state}, {size_text(entry.size)}"
    return _Tile(
        label=label,
        title=title,
        state=entry.state,
        size=entry.size,
        weight=max(entry.size, least),
        row=entry.row,
        key=key,
    )


def _gathered(entries: Sequence[Entry], key: str, least: float) -> list[_Tile]:
    """One tile for all files in one state."""
    tiles = []
    for state in STATES:
        alike = [entry for entry in entries if entry.state == state]
        if alike:
            size = sum(entry.size for entry in alike)
            label = counted(len(alike), "more file")
            title = f"{label}: {state}, {size_text(size)}"
            row = alike[0].row if len(alike) == 1 else ""
            tiles.append(
                _Tile(label=label, title=title, state=state, size=size, weight=max(size, least, 1.0), row=row, key=key)
            )
    return tiles


def _drawn(parts: Sequence[_Tile | _Plot], box: Box, kind: str) -> list[Markup]:
    order = sorted(parts, key=lambda part: -part.weight)
    boxes = squarified([part.weight for part in order], box)
    return [
        _tile(part, place) if isinstance(part, _Tile) else _plot(part, place, kind)
        for part, place in zip(order, boxes, strict=True)
    ]


def _plot(plot: _Plot, box: Box, kind: str) -> Markup:
    box = box.inside(_GAP / 2)
    has_head = box.height > 2 * _HEAD and box.width > 4 * _WORD
    name = _fitted(plot.label, box.width) if has_head else ""
    head = [_word(name, box.x + 5, box.y + _HEAD - 5, "head")] if name else []
    link = element("a", {"href": plot.link, "aria-label": plot.label}, _rect(box, "frame"), *head)
    inside = _drawn(plot.inside, box.inside(_GAP, _HEAD if name else 0.0), "model")
    return element("g", {"class": f"of-{kind}"}, link, *inside)


def _tile(tile: _Tile, box: Box) -> Markup:
    box = box.inside(_GAP / 2)
    about = {
        "href": f"#{tile.row or tile.key}", "class": f"tile {tile.state}", "tabindex": "-1", "data-row": tile.row,
        "data-key": tile.key, "data-state": tile.state,
    }  # fmt: skip
    return element("a", about, element("title", None, tile.title), _rect(box, "face"), *_words(tile, box))


def _words(tile: _Tile, box: Box) -> list[Markup]:
    """As many lines as the box has room for; what is wrong before anything else, as a sign if need be."""
    lines = {"name": tile.label.removesuffix(".safetensors"), "size": size_text(tile.size)}
    if tile.state != State.OK:
        state = tile.state if _breadth(tile.state) <= _room(box.width) else MARKS[tile.state]
        lines = {"state": state} | lines
    fitted = [(kind, line if kind == "size" else _fitted(line, box.width)) for kind, line in lines.items()]
    fitted = [(kind, line) for kind, line in fitted if line and _breadth(line) <= _room(box.width) + 0.7][
        : max(int((box.height - 3) // _LINE), 0)
    ]
    words = [_word(line, box.x + 5, box.y + _LINE * row - 2, kind) for row, (kind, line) in enumerate(fitted, 1)]
    if tile.state == State.OK or not words:
        return words
    plate = _rect(Box(box.x + 1, box.y + 1, box.width - 2, _LINE * len(words) + 2), "plate")  # words on a pattern
    return [plate, *words]


def _room(width: float) -> float:
    """How many letters of ordinary width fit."""
    return (width - 8) / (_WORD * _LETTER)


def _breadth(text: str) -> float:
    """How many letters of ordinary width `text` is as wide as."""
    return len(text) + sum(0.5 if letter in "MWmw%@" else 0.7 for letter in text if letter in "MWmw%@" or letter > "ᄀ")


def _fitted(text: str, width: float) -> str:
    """`text`, cut in its middle to `width`, since names differ at their ends; "" where too little of it would fit."""
    whole = shown(text, 300)
    if _breadth(whole) <= _room(width):
        return whole
    for kept in range(min(int(_room(width)), len(whole)) - 1, _SOME - 2, -1):
        cut = f"{whole[: kept - kept // 2]}…{whole[len(whole) - kept // 2 :]}"
        if _breadth(cut) <= _room(width) + 0.7:  # the ellipsis is no wide letter
            return cut
    return ""


def _word(text: str, x: float, y: float, kind: str) -> Markup:
    return element("text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "class": f"t-{kind}"}, text)


def _rect(box: Box, kind: str) -> Markup:
    return element(
        "rect",
        {
            "x": f"{box.x:.1f}", "y": f"{box.y:.1f}", "width": f"{box.width:.1f}", "height": f"{box.height:.1f}",
            "rx": 2, "class": kind,
        },
    )  # fmt: skip


def damage(spans: Sequence[tuple[int, int]], size: int) -> Markup:
    """Where in a file its damage is: a bar as long as the file; the least damage is drawn wide enough to be seen."""
    width = 200.0
    marks = []
    for first, end in spans[:500]:
        x = width * first / max(size, 1)
        wide = max(width * (end - first) / max(size, 1), 1.5)
        marks.append(_rect(Box(min(x, width - wide), 0, wide, 8), "mark"))
    whole = _rect(Box(0, 0, width, 8), "whole")
    about = {"viewBox": "0 0 200 8", "class": "damage", "aria-hidden": "true", "preserveAspectRatio": "none"}
    return element("svg", about, whole, joined(marks))
