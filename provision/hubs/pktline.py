"""What a git server tells of its refs: pkt-lines in, the commit of a branch or tag out. Pure.

Format: https://git-scm.com/docs/protocol-common and https://git-scm.com/docs/http-protocol.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_REF = re.compile(rb"([0-9a-f]{40}) ([^\0\n]+)")


def commit_of(advertisement: bytes, revision: str) -> str | None:
    """The commit that `revision` names, as a branch or a tag; None where neither is told, or both and they differ."""
    refs = dict(_refs(advertisement))
    name = revision.encode(errors="replace")
    tag = refs.get(b"refs/tags/%s^{}" % name) or refs.get(b"refs/tags/%s" % name)  # ^{}: what an annotated tag is of
    found = {commit for commit in (refs.get(b"refs/heads/%s" % name), tag) if commit}
    return found.pop() if len(found) == 1 else None


def _refs(advertisement: bytes) -> Iterator[tuple[bytes, str]]:
    for line in _lines(advertisement):
        match = _REF.match(line)
        if match:
            yield match[2], match[1].decode()


def _lines(packets: bytes) -> Iterator[bytes]:
    """The payloads. Lengths below four are delimiters; anything that is no pkt-line ends the reading."""
    position = 0
    while position < len(packets):
        length = packets[position : position + 4]
        if re.fullmatch(rb"[0-9a-fA-F]{4}", length) is None:
            return
        end = position + max(4, int(length, 16))
        yield packets[position + 4 : end]
        position = end
