"""The safetensors header of a file that stands, against the locked one; and what a wrong file is instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.digest import sha256_of
from provision.verification.findings import State

if TYPE_CHECKING:
    from provision.verification.findings import Finding, Promise
    from provision.volume.view import Readable

PREFIX = 8
"""First bytes of a safetensors file: the length of its header, little-endian (huggingface/safetensors, "Format")."""

LIMIT = 100_000_000
"""The longest header that safetensors has; a damaged length must not cost its value in memory."""

SNIFFED = 512
"""First bytes of a wrong file that are looked at to say what it is."""


def header_finding(promise: Promise, opened: Readable) -> Finding | None:
    """The finding when the header is not the locked one; None when it is, or none was promised.

    The header is compared, not parsed: it was when it was locked.
    """
    file = promise.file
    if file.header is None:
        return None
    length = int.from_bytes(opened.read_at(0, PREFIX), "little")
    if length > LIMIT or PREFIX + length > file.size:
        return promise.found(State.HEADER, file.header.sha256, None, instead(promise, opened) or "it is damaged")
    actual = sha256_of(opened.read_at(0, PREFIX + length))
    return None if actual == file.header.sha256 else promise.found(State.HEADER, file.header.sha256, actual)


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
