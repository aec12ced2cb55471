"""Which repository paths a pattern means. One rule for `files`, `exclude` and their other names.

It is the rule of .gitignore files, less negation, and with exact paths kept exact:

- A pattern without `*`, `?`, `[` and without a trailing slash is one exact path. A path that equals a
  pattern letter by letter is always meant by it, so `weights[1].bin` can be named although it has a bracket.
- A pattern with no slash but a trailing one means files and folders of that name at any depth: `*.md`.
- A pattern with a slash starts at the repository's root: `example/*`; `/*.safetensors` means the root's own files.
- `*`, `?` and `[a-z]`, `[!a-z]` never match a slash. `**` as a whole segment matches any folders, or none.
- A pattern that matches a folder takes everything below it. A trailing slash matches folders only: `unet/`.

Case counts, on every system. The work is bounded by length of the pattern times length of the path.
"""

from __future__ import annotations

import re
from fnmatch import translate
from functools import lru_cache


def is_glob(pattern: str) -> bool:
    """Whether `pattern` can mean more than one path."""
    return pattern.endswith("/") or any(char in pattern for char in "*?[")


def matches(pattern: str, path: str) -> bool:
    """Whether `pattern` means the repository path `path` (POSIX, relative)."""
    if pattern == path:
        return True
    return is_glob(pattern) and _walk(_compiled(pattern), pattern.endswith("/"), path)


# A segment's matcher; None stands for `**`.
_Segments = tuple[re.Pattern[str] | None, ...]


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> _Segments:
    segments = pattern.removesuffix("/").split("/")
    if len(segments) == 1:
        segments = ["**", *segments]
    elif segments[0] == "":
        segments = segments[1:]
    if segments[-1] == "**":  # everything below, but not the folder itself
        segments[-1] = "*"
    return tuple(None if segment == "**" else _segment(segment) for segment in segments)


def _segment(segment: str) -> re.Pattern[str]:
    """The translation of fnmatch never backtracks into an earlier `*` (atomic groups), and a segment has no slash."""
    return re.compile(translate(segment))


def _walk(segments: _Segments, folders_only: bool, path: str) -> bool:  # noqa: FBT001 - one private caller
    """All positions in the pattern are carried along at once, so nothing is ever tried twice."""
    *folders, base = path.split("/")
    states = _reach(segments, {0})
    for name in folders:
        states = _step(segments, states, name)
        if len(segments) in states:
            return True
    return not folders_only and len(segments) in _step(segments, states, base)


def _step(segments: _Segments, states: set[int], name: str) -> set[int]:
    after = set()
    for state in states:
        matcher = segments[state]
        if matcher is None:
            after.add(state)
        elif matcher.match(name):
            after.add(state + 1)
    return _reach(segments, after)


def _reach(segments: _Segments, states: set[int]) -> set[int]:
    """`states`, and those that are reached from them by letting a `**` match no folder."""
    reached = set(states)
    for state in range(min(states, default=0), len(segments)):
        if state in reached and segments[state] is None:
            reached.add(state + 1)
    return reached
