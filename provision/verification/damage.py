"""Where a file is damaged, by the digests of its pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.digest import piece_span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SHOWN = 5
"""Ranges that are told in words; programs get all of them."""


def differing_pieces(first: Sequence[str], second: Sequence[str]) -> list[int]:
    """The pieces whose digests differ; none when the two cannot be compared."""
    if len(first) != len(second):
        return []
    return [index for index, (one, other) in enumerate(zip(first, second, strict=True)) if one != other]


def ranges_of(pieces: Iterable[int], size: int) -> tuple[tuple[int, int], ...]:
    """The bytes (first, end) that `pieces`, in order, of a file of `size` bytes span; neighbours are one range."""
    ranges: list[tuple[int, int]] = []
    for index in pieces:
        begin, end = piece_span(index, size)
        if ranges and ranges[-1][1] == begin:
            begin = ranges.pop()[0]
        ranges.append((begin, end))
    return tuple(ranges)


def damage_text(ranges: Sequence[tuple[int, int]], size: int) -> str:
    """`damaged in bytes 0-16777215 of 14294967296`; "" when there are no ranges."""
    told = ", ".join(f"{begin}-{end - 1}" for begin, end in ranges[:SHOWN])
    more = f" and {len(ranges) - SHOWN} more ranges" if len(ranges) > SHOWN else ""
    return f"damaged in bytes {told}{more} of {size}" if ranges else ""
