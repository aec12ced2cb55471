"""Lists without what makes them large: RunPod's v2 lists each pod with its variables, and the parcel is in them."""

from __future__ import annotations

import re

LONG = 16 * 1024
"""Bytes of a string beyond which it is left out; nothing that is read from a list is half as long."""

_REST = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


class Abridged:
    """A JSON text, taken in pieces, in which strings longer than LONG are empty. What is no JSON stays none.

    Only what is kept is held; `size` is how much that is.
    """

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._string: list[bytes] = []
        self._length = 0
        self._is_inside = False
        self._escape = b""
        self.size = 0

    @property
    def text(self) -> bytes:
        """All of it. A string that has not ended is not in it, nor is what opened it made good."""
        return b"".join(self._kept)

    def take(self, piece: bytes) -> None:
        """Go on with `piece`."""
        piece, at = self._escape + piece, 0
        self._escape = b""
        while at < len(piece):
            at = self._inside(piece, at) if self._is_inside else self._outside(piece, at)

    def _outside(self, piece: bytes, at: int) -> int:
        end = piece.find(b'"', at) + 1
        self._is_inside = end > 0
        end = end or len(piece)
        self._keep(piece[at:end])
        return end

    def _inside(self, piece: bytes, at: int) -> int:
        match = _REST.match(piece, at)
        end = match.end() if match else at
        self._lengthen(piece[at:end])
        if piece[end : end + 1] == b"\\":  # the piece ends in the middle of an escape
            self._escape = piece[end:]
            return len(piece)
        if end < len(piece):
            self._close()
            return end + 1
        return end

    def _lengthen(self, part: bytes) -> None:
        self._length += len(part)
        if self._length <= LONG:
            self._string.append(part)
        else:
            self._string.clear()

    def _close(self) -> None:
        self._keep(b"".join([*self._string, b'"']))
        self._string.clear()
        self._length, self._is_inside = 0, False

    def _keep(self, part: bytes) -> None:
        self._kept.append(part)
        self.size += len(part)
