"""Held: bytes of a file that somebody on the volume has, or claims to have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.buffer import new_buffer
from provision.hubs.http import READ_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.volume.files import File
    from provision.volume.partial import Partial


def holders(partial: Partial, index: int) -> Iterator[tuple[Partial | File, str]]:
    """Those who claim to hold a piece, ourselves first, with the digest that its bytes must have."""
    if index in partial.held:
        yield partial, partial.held[index]
    for other in partial.others:
        if index in other.pieces:
            yield other.file, other.pieces[index]


def read_span(holder: Partial | File, begin: int, end: int) -> Iterator[tuple[int, memoryview]]:
    """The bytes from `begin` to `end`, as far as `holder` has them, with their offsets. The buffer is used again."""
    buffer = new_buffer(min(READ_SIZE, end - begin))
    for offset in range(begin, end, len(buffer)):
        count = holder.read_into(offset, buffer[: end - offset])
        yield offset, buffer[:count]
