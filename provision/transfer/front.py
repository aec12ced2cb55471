"""The front: how far the sha256 of a file has come, in order, while its pieces come in any."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash


class Front:
    """The sha256 of the first `index` pieces. It moves by whole pieces: one that is tried and fails leaves no trace."""

    def __init__(self) -> None:
        self.index = 0
        self._sha256 = hashlib.sha256()

    def trial(self) -> _Hash:
        """A hash that has seen everything up to here, to be fed the next piece."""
        return self._sha256.copy()

    def accept(self, trial: _Hash) -> None:
        """`trial` has been fed the whole next piece, and it is believed."""
        self._sha256 = trial
        self.index += 1

    def sha256(self) -> str:
        """Of everything so far."""
        return self._sha256.hexdigest()
