"""What a server says of an object, judged. Values and decisions; nothing is asked here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision.errors import VolumeError, VolumeTrouble

if TYPE_CHECKING:
    from collections.abc import Mapping

    Span = tuple[int, int]
    Answer = Mapping[str, Any]

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_NOT_S3 = "is --endpoint-url the address of an S3 server, with nothing in between?"
_AGAIN = "run the same command again; if it stays so, verify in a pod that has the volume mounted"


class ReplacedError(Exception):
    """The object is another one than was opened. Never leaves the package: `file.py` says which file it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFacts:
    """What is known of an object: its `Facts`, and its ETag as it was sent, where there is one that means something.

    Times are in whole seconds, as HTTP has them.
    """

    st_size: int
    st_mtime_ns: int
    etag: str | None
    st_ino: int = 0


def facts_of(answer: Answer, what: str) -> ObjectFacts:
    """What a HEAD says, or a GET of a part.

    Raises:
        VolumeError: it does not say what S3 always says.
    """
    span = content_range(answer)
    size = span[2] if span else answer.get("ContentLength")
    changed = answer.get("LastModified")
    if size is None or changed is None:
        raise VolumeError(f"{what}: the server does not tell its size and time of change", hint=_NOT_S3)
    return ObjectFacts(st_size=size, st_mtime_ns=int(changed.timestamp()) * 10**9, etag=_strong(answer.get("ETag")))


def _strong(etag: str | None) -> str | None:
    """`etag`, where it tells one content from another: not a weak one, nor the empty one that SeaweedFS sends."""
    return etag if etag and not etag.startswith("W/") and etag.strip('"') else None


def content_range(answer: Answer) -> tuple[int, int, int | None] | None:
    """First byte, the one after the last, and the size where it is told; None when the answer is not a part."""
    match = _RANGE.fullmatch(answer.get("ContentRange") or "")
    if match is None:
        return None
    return int(match[1]), int(match[2]) + 1, None if match[3] == "*" else int(match[3])


def span_of(answer: Answer, asked: Span, known: ObjectFacts, what: str) -> Span:
    """Which bytes come: from the first, up to the second. A server that does not honour ranges sends all of them.

    Raises:
        ReplacedError: they are of another object than the known one.
        VolumeTrouble: they are not what was asked for.
    """
    if _differs(answer, known):
        raise ReplacedError
    length = answer.get("ContentLength")
    if answer["ResponseMetadata"]["HTTPStatusCode"] == 200 and not answer.get("ContentRange"):
        if length not in {None, known.st_size}:
            raise ReplacedError
        return 0, known.st_size
    span = content_range(answer)
    if span is None or span[0] != asked[0] or not span[0] < span[1] <= asked[1]:
        raise VolumeTrouble(f"{what}: the server sends other bytes than it was asked for", hint=_AGAIN)
    if span[2] not in {None, known.st_size}:
        raise ReplacedError
    if length not in {None, span[1] - span[0]}:
        raise VolumeTrouble(f"{what}: the server announces a part and another length", hint=_AGAIN)
    return span[0], span[1]


def _differs(answer: Answer, known: ObjectFacts) -> bool:
    """Whether the answer says of the object anything but what is known; what it does not say counts for nothing."""
    etag, changed = _strong(answer.get("ETag")), answer.get("LastModified")
    if etag and known.etag and etag != known.etag:
        return True
    return changed is not None and int(changed.timestamp()) != known.st_mtime_ns // 10**9
