"""A file read forward in blocks. What is passed over is not read, and there is an end to what is read."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from provision.composition.misfit import Contents


STEPS: Final = 3_000_000
"""Most things that are taken from one file: each costs a microsecond. Vocabularies of 256,000 words take a million."""


_LENGTH: Final = struct.Struct("<Q")


class Ended(Exception):
    """The file ends before what it announces."""


class TooFar(Exception):
    """More than a check may read."""


class Window:
    """A place `at` in the file at `path`; it only goes forward."""

    def __init__(self, contents: Contents, path: str, *, block: int, blocks: int) -> None:
        self.at, self.size = 0, contents.sizes[path]
        self._contents, self._path = contents, path
        self._block, self._blocks = block, blocks
        self._data, self._start, self._steps = b"", 0, STEPS

    def take(self, count: int) -> bytes:
        """The next `count` bytes, no more than a block. Raises Ended, TooFar."""
        self._steps -= 1
        if self._steps < 0:
            raise TooFar
        first = self.at - self._start
        if first + count > len(self._data):
            self._load(count)
            first = 0
        self.at += count
        return self._data[first : first + count]

    def skip(self, count: int) -> None:
        """Pass over `count` bytes. Raises Ended."""
        if count > self.size - self.at:
            raise Ended
        self.at += count

    def skip_texts(self, count: int) -> None:
        """Pass over `count` texts, each after its length in eight bytes. Raises as `take`.

        Those that begin in what is read already are passed over at once: vocabularies have most of a check's work.
        """
        left = count
        while left:
            self.skip(self.number(8))
            left -= 1
            at, last, before = self.at - self._start, len(self._data) - _LENGTH.size, left
            while left and at <= last:
                at += _LENGTH.size + _LENGTH.unpack_from(self._data, at)[0]
                left -= 1
            self._steps -= before - left
            self.skip(self._start + at - self.at)

    def number(self, length: int) -> int:
        """The next `length` bytes, as one number, little-endian. Raises as `take`."""
        return int.from_bytes(self.take(length), "little")

    def _load(self, count: int) -> None:
        if count > self.size - self.at or count > self._block:
            raise Ended
        if not self._blocks:
            raise TooFar
        self._blocks -= 1
        self._data = self._contents.read(self._path, self.at, min(self.size, self.at + self._block))
        self._start = self.at
        if len(self._data) < count:
            raise Ended
