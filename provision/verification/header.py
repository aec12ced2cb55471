"""The safetensors header of a file that stands, against the locked one; and what a wrong file is instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.verification.findings import State
from provision.volume.header import header_sha256

if TYPE_CHECKING:
    from provision.verification.findings import Finding, Promise
    from provision.volume.view import Readable

SNIFFED = 512
"""First bytes of a wrong file that are looked at to say what it is."""


def header_finding(promise: Promise, opened: Readable) -> Finding | None:
    """The finding when the header is not the locked one; None when it is, or none was promised."""
    file = promise.file
    if file.header is None:
        return None
    actual = header_sha256(file, opened)
    if actual == file.header.sha256:
        return None
    detail = "" if actual else instead(promise, opened) or "it is damaged"
    return promise.found(State.HEADER, file.header.sha256, actual, detail)


def size_finding(promise: Promise, opened: Readable, size: int) -> Finding:
    """The finding on a file of another length, with what it seems to be where its first bytes tell."""
    return promise.found(State.SIZE, promise.file.size, size, instead(promise, opened))


def instead(promise: Promise, opened: Readable) -> str:
    """What the file is, when its first bytes say that it is no weights at all; "" otherwise.

    Only asked of safetensors: of a `.json`, being JSON is no news.
    """
    if not promise.file.path.endswith(".safetensors"):
        return ""
    from provision.tensorfile import nature  # a worker's start must not pay for it when all is well

    kind = nature(opened.read_at(0, SNIFFED))
    return f"this is {kind}" if kind else ""
