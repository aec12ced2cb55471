"""The JSON of a header, as far as safetensors headers need it: objects of strings and of lists of whole numbers.

Nothing is decoded before it is known to be needed, nothing nests, and no match goes back over what it took: the cost is
linear, whatever a hub sends. Python's own json takes lone surrogates, NaN and repeated keys, and recurses.

Possessive quantifiers stand after single characters only: after groups they match wrongly before Python 3.11.5
(python/cpython#106052), which Debian 12 has.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from provision.tensorfile.fault import FaultKind, HeaderFault, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

SPACE = rb"[ \t\n\r]*+"
_SPACE = re.compile(SPACE)
_COLON = re.compile(SPACE + rb":" + SPACE)
_PLAIN = rb'"([^"\\\x00-\x1f]*+)"'  # a string without escapes
_PLAIN_STRING = re.compile(_PLAIN)
_PLAIN_KEY = re.compile(SPACE + _PLAIN + SPACE + rb":" + SPACE)
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
        plain = self.take(_PLAIN_STRING)
        return _decoded(plain[1], plain.start(1)) if plain else self._escaped_string()

    def keys(self, repeated: FaultKind, where: str) -> Iterator[str]:
        """The keys of the object that starts here. The value of each must be taken before the next is asked for."""
        self._need(_OPEN)
        if self.take(_CLOSE):
            return
        seen = set()
        more = True
        while more:
            key = self._key()
            if key in seen:
                raise HeaderFault(repeated, f"{shown(key)} is given twice in {shown(where)}")
            seen.add(key)
            yield key
            more = self._need(_NEXT)[1] == b","

    def _key(self) -> str:
        plain = self.take(_PLAIN_KEY)
        if plain:
            return _decoded(plain[1], plain.start(1))
        self._need(_SPACE)
        key = self._escaped_string()
        self._need(_COLON)
        return key

    def _escaped_string(self) -> str:
        start = self.at + 1
        quote = self._closing_quote(start) if self.sees(b'"') else -1
        if quote < 0:
            raise self._not_json()
        self.at = quote + 1
        return _unescaped(_decoded(self.head[start:quote], start), start)

    def _closing_quote(self, at: int) -> int:
        """Where the first quote is that an even number of backslashes precedes; -1 if there is none."""
        while (quote := self.head.find(b'"', at, self.end)) >= 0:
            before = self.head[at:quote]
            if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
                break
            at = quote + 1
        return quote

    def _need(self, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
        found = self.take(pattern)
        if found is None:
            raise self._not_json()
        return found

    def _not_json(self) -> HeaderFault:
        return HeaderFault(FaultKind.INVALID_JSON, f"the header is not valid JSON at byte {self.at} of the file")


def _decoded(text: bytes, place: int) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as fault:
        message = f"the header is not valid UTF-8 at byte {place + fault.start} of the file"
        raise HeaderFault(FaultKind.INVALID_UTF_8, message) from None


def _unescaped(text: str, place: int) -> str:
    """`text` with its escapes resolved. Half of a surrogate pair is refused: it is no character."""
    try:
        text = json.loads(f'"{text}"')
        text.encode()
    except ValueError:
        raise HeaderFault(FaultKind.INVALID_JSON, f"the string at byte {place} of the file is not valid JSON") from None
    return text
