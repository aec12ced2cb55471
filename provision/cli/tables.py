"""Tables for people: a row for each thing, aligned columns. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence


def table_lines(rows: Sequence[Mapping[str, str]], numbers: Container[str] = ()) -> list[str]:
    """A heading and a line for each row; the columns are those of the first one. `numbers` are aligned to the right."""
    if not rows:
        return []
    shown = [{column: column for column in rows[0]}, *rows]
    widths = {column: max(len(row[column]) for row in shown) for column in rows[0]}
    return ["  ".join(_cell(row[c], widths[c], right=c in numbers) for c in widths).rstrip() for row in shown]


def _cell(text: str, width: int, *, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)
