"""The safetensors header of a file that stands, against the locked one; and what a wrong file is instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.digest import sha256_of
from provision.errors import HeaderMismatch
from provision.tensorfile import HEADER_LENGTH_BYTES, header_length, nature
from provision.verification.findings import State

if TYPE_CHECKING:
    from provision.verification.findings import Finding, Promise
    from provision.volume.files import File

SNIFFED = 4096
"""First bytes of a wrong file that are looked at to say what it is."""


def header_finding(promise: Promise, opened: File) -> Finding | None:
    """The finding when the header is not the locked one; None when it is, or none was promised."""
    file = promise.file
    if file.header is None:
        return None
    try:
        length = header_length(opened.read_at(0, HEADER_LENGTH_BYTES), file.size)
    except HeaderMismatch as error:
        return promise.found(State.HEADER, file.header.sha256, None, instead(promise, opened) or error.message)
    actual = sha256_of(opened.read_at(0, HEADER_LENGTH_BYTES + length))
    return None if actual == file.header.sha256 else promise.found(State.HEADER, file.header.sha256, actual)


def size_finding(promise: Promise, opened: File, size: int) -> Finding:
    """The finding on a file of another length, with what it seems to be where its first bytes tell."""
    return promise.found(State.SIZE, promise.file.size, size, instead(promise, opened))


def instead(promise: Promise, opened: File) -> str:
    """What the file is, when its first bytes say that it is no weights at all; "" otherwise.

    Only asked of safetensors: of a `.json`, being JSON is no news.
    """
    kind = nature(opened.read_at(0, SNIFFED)) if promise.file.path.endswith(".safetensors") else None
    return f"this is {kind}" if kind else ""
