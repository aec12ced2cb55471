"""The JSON of a header, as far as safetensors headers need it: objects of strings and of lists of whole numbers.

Nothing is decoded before it is known to be needed, nothing nests, and possessive quantifiers never go back: the cost is
linear, whatever a hub sends. Python's own json takes lone surrogates, NaN and repeated keys, and recurses.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from provision.tensorfile.fault import FaultKind, HeaderFault, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

SPACE = rb"[ \t\n\r]*+"
_TEXT = rb'"([^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+)"'
_STRING = re.compile(_TEXT)
_KEY = re.compile(SPACE + _TEXT + SPACE + rb":" + SPACE)
_OPEN = re.compile(rb"\{")
_CLOSE = re.compile(SPACE + rb"\}")
_NEXT = re.compile(SPACE + rb"([,}])")


class Cursor:
    """A place `at` in `head`, before `end`. It moves over what is taken; what cannot be taken leaves it where it is."""

    __slots__ = ("at", "end", "head")

    def __init__(self, head: bytes, at: int, end: int) -> None:
        self.head, self.at, self.end = head, at, end

    def sees(self, start: bytes) -> bool:
        """Whether `start` is what comes next."""
        return self.head.startswith(start, self.at, self.end)

    def ends_with(self, pattern: re.Pattern[bytes]) -> bool:
        """Whether all that is left matches."""
        return pattern.fullmatch(self.head, self.at, self.end) is not None

    def take(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """What comes next, if it matches."""
        found = pattern.match(self.head, self.at, self.end)
        if found:
            self.at = found.end()
        return found

    def string(self) -> str:
        """The string that starts here."""
        return self._text(_STRING)

    def keys(self, repeated: FaultKind, where: str) -> Iterator[str]:
        """The keys of the object that starts here. The value of each must be taken before the next is asked for."""
        self._need(_OPEN)
        if self.take(_CLOSE):
            return
        seen = set()
        more = True
        while more:
            key = self._text(_KEY)
            if key in seen:
                raise HeaderFault(repeated, f"{shown(key)} is given twice in {shown(where)}")
            seen.add(key)
            yield key
            more = self._need(_NEXT)[1] == b","

    def _need(self, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
        found = self.take(pattern)
        if found is None:
            raise HeaderFault(FaultKind.INVALID_JSON, f"the header is not valid JSON at byte {self.at} of the file")
        return found

    def _text(self, pattern: re.Pattern[bytes]) -> str:
        found = self._need(pattern)
        try:
            text = found[1].decode()
        except UnicodeDecodeError as fault:
            place = found.start(1) + fault.start
            message = f"the header is not valid UTF-8 at byte {place} of the file"
            raise HeaderFault(FaultKind.INVALID_UTF_8, message) from None
        return _unescaped(text, found.start(1)) if "\\" in text else text


def _unescaped(text: str, place: int) -> str:
    """`text` with its escapes resolved. Half of a surrogate pair is refused: it is no character."""
    try:
        text = json.loads(f'"{text}"')
        text.encode()
    except ValueError:
        raise HeaderFault(FaultKind.INVALID_JSON, f"the string at byte {place} of the file has a bad escape") from None
    return text
