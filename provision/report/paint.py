"""Colours, for reports that are read on a terminal."""

from __future__ import annotations

_COLOURS = {"good": "32", "bad": "31", "faint": "2"}


class Paint:
    """Colours, where the reader is a terminal."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled

    def __call__(self, text: str, colour: str) -> str:
        """`text` in one of `good`, `bad`, `faint`."""
        return f"\033[{_COLOURS[colour]}m{text}\033[0m" if self._enabled else text
