"""What the reader sees: prose, commands, their output, and claims that were looked at before they are made."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from provision.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from provision.report.paint import Paint

WIDTH = 100
INDENT = "   "


class Voice:
    """Tells the story through `tell`, line by line, none wider than WIDTH. `claims` counts those that held."""

    def __init__(self, tell: Callable[[str], None], paint: Paint) -> None:
        self._tell, self._paint = tell, paint
        self._chapter = 0
        self.claims = 0

    def heading(self, title: str) -> None:
        """A new chapter."""
        self._chapter += 1
        self._tell(f"\n{self._chapter}. {title}")

    def say(self, text: str) -> None:
        """Prose, wrapped."""
        for line in _wrapped(text, WIDTH - len(INDENT)):
            self._tell(INDENT + line)

    def commands(self, *texts: str) -> None:
        """Commands, as one types them."""
        self._tell("")
        for text in texts:
            self._tell(f"{INDENT}$ {text}")

    def output(self, lines: Sequence[str]) -> None:
        """What a command printed, or what a file holds; wide lines are wrapped."""
        for line in lines:
            depth = len(line) - len(line.lstrip())
            for part in _wrapped(line, WIDTH - len(INDENT) - 2, indent=" " * (depth + 4)) or [""]:
                self._tell(INDENT + self._paint(f"| {part}".rstrip(), "faint"))

    def claim(self, text: str, *, holds: bool) -> None:
        """State what was looked at.

        Raises:
            ProvisionError: it does not hold.
        """
        if not holds:
            raise not_as_told(f"this does not hold: {text}")
        self.claims += 1
        for index, line in enumerate(_wrapped(text, WIDTH - len(INDENT) - 4)):
            mark = "    " if index else f"{self._paint('ok', 'good')}  "
            self._tell(INDENT + mark + line)


def not_as_told(what: str) -> ProvisionError:
    """The error of a demo whose reality was another."""
    return ProvisionError(
        f"the demo did not come out as told: {what}",
        hint="please report it, with the lines above; `--keep DIR` keeps the files",
    )


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    # Paths and numbers stay whole, so that they can be copied.
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def excerpt(lines: Sequence[str], shown: set[int]) -> list[str]:
    """Those of `lines` whose index is in `shown`; each run of the others is one line that counts them."""
    told: list[str] = []
    passed = 0
    for index, line in enumerate([*lines, None]):
        if line is None or index in shown:
            if passed:
                told.append(f"    ... {passed} line{'s' if passed > 1 else ''} not shown")
            passed = 0
        else:
            passed += 1
        if line is not None and index in shown:
            told.append(line)
    return told
