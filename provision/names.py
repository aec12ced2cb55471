"""Names from outside: which may become a path on a volume, and which a person probably meant.

Paths come from hubs (hostile), manifests and locks. One rule for all: a relative POSIX path of plain segments.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

STATE_FOLDER = ".provision"
PARTIAL_PREFIX = ".provision-"

SEGMENT_BYTES = 240
"""Longest segment. File systems allow 255; a partial's name needs no more than that, whatever its file is called."""

PATH_BYTES = 1024
"""Longest path. S3 keys end here, and a volume is also seen through S3."""

_WEB_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?")

_FORBIDDEN = (
    (re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]"), "holds a control character"),
    # They make a path print as another one: soft hyphen, zero-width and bidirectional marks, byte order mark, tags.
    (
        re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"),
        "holds an invisible character",
    ),
    (re.compile(r"\\"), "holds a backslash"),
    (re.compile(r"^(/|[A-Za-z]:)"), "is absolute"),
)


def path_fault(path: str) -> str:
    """Why `path` may not name a file below a root, as a phrase; "" when it may."""
    if not path:
        return "is empty"
    for pattern, fault in _FORBIDDEN:
        if pattern.search(path):
            return fault
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if len(encoded) > PATH_BYTES:
        return f"is longer than {PATH_BYTES} bytes"
    return _segments_fault(path.split("/"))


def _segments_fault(segments: list[str]) -> str:
    for segment in segments:
        if segment in {"", "."}:
            return "has an empty or `.` segment"
        if segment == "..":
            return "leaves its root with `..`"
        if len(segment.encode()) > SEGMENT_BYTES:
            return f"has a segment longer than {SEGMENT_BYTES} bytes"
    return ""


def target_fault(target: str) -> str:
    """As `path_fault`, for a path on a volume: names that `provision` keeps for itself are refused too."""
    fault = path_fault(target)
    if fault:
        return fault
    segments = target.split("/")
    if segments[0].casefold() == STATE_FOLDER or segments[-1].startswith(PARTIAL_PREFIX):
        return f"is a name that provision keeps for itself (`{STATE_FOLDER}`)"
    return ""


def _folded(target: str) -> str:
    """What two targets share that are one place on some file systems: any case, any way to write an accent."""
    if target.isascii():
        return target.casefold()
    from unicodedata import normalize

    return normalize("NFC", target).casefold()


def targets_fault(targets: Iterable[str]) -> str:
    """Why these targets cannot all stand on one volume; "" when they can.

    Refused are two files at one place, names that differ only by case or in how an accent is written (one place on
    many file systems), and a file where another needs a folder.
    """
    seen: dict[str, str] = {}
    for target in targets:
        folded = _folded(target)
        if folded in seen:
            other = seen[folded]
            what = "two files have one target" if other == target else "two targets differ only by case"
            return f"{what}: `{shown(other)}` and `{shown(target)}`"
        seen[folded] = target
    for folded, target in seen.items():
        folder = folded.rpartition("/")[0]
        while folder:
            if folder in seen:
                return f"`{shown(seen[folder])}` is a file, and `{shown(target)}` needs it as a folder"
            folder = folder.rpartition("/")[0]
    return ""


def web_fault(place: str) -> str:
    """Why `HOST[:PORT][/PATH]` may not be where an https mirror is, as a sentence; "" when it may."""
    host, slash, path = place.partition("/")
    if not _WEB_HOST.fullmatch(host):
        return "a mirror's host is a plain name, without user or password"
    if not 0 < int(host.partition(":")[2] or 443) < 65536:
        return "a mirror's port is between 1 and 65535"
    if re.search(r"[\s?#\\]", path) or not path.isprintable():
        return "a mirror's address has no query, fragment, space or backslash"
    fault = path_fault(path) if slash else ""
    return f"a mirror's path {fault}" if fault else ""


def shown(text: str, limit: int = 120) -> str:
    """Foreign text made fit to print on one line of a terminal: no control characters, at most `limit` long."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[: 4 * limit])
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def nearest(name: str, known: Iterable[str], count: int = 3) -> tuple[str, ...]:
    """Up to `count` of the `known` names that look most like `name`; bounded work on any input."""
    wanted = name.casefold()[:200]
    tail = wanted.rsplit("/", 1)[-1]
    pool = {k: k.casefold()[:200] for k in list(known)[:20_000]}
    exact = [k for k, folded in pool.items() if folded == wanted or folded.rsplit("/", 1)[-1] == tail]
    if exact or len(pool) > 2_000:
        return tuple(exact[:count])
    import difflib  # only where something is wrong: a worker's start must not pay for it

    close = difflib.get_close_matches(wanted, pool.values(), n=count, cutoff=0.6)
    return tuple(k for folded in close for k, v in pool.items() if v == folded)[:count]
