"""What can be wrong with a safetensors header, each by its name."""

from __future__ import annotations

from enum import StrEnum

from provision.errors import HeaderMismatch

_SHOWN = 60  # characters of a foreign name that a message repeats


class FaultKind(StrEnum):
    """What is wrong with a header, or what the file is instead of safetensors."""

    EMPTY = "empty"
    ZEROS = "zeros"
    LFS_POINTER = "git-lfs-pointer"
    HTML = "html"
    XML = "xml"
    JSON = "json"
    TEXT = "text"
    GZIP = "gzip"
    ZIP = "zip"
    PICKLE = "pickle"
    GGUF = "gguf"

    SHORT_READ = "short-read"  # the caller gave fewer bytes than the file has and the header needs
    HEADER_TOO_SMALL = "header-too-small"
    HEADER_TOO_LARGE = "header-too-large"
    TRUNCATED = "truncated"  # the file ends inside the header or inside a tensor
    TRAILING_BYTES = "trailing-bytes"
    BAD_START = "bad-start"
    BAD_PADDING = "bad-padding"
    INVALID_UTF_8 = "invalid-utf-8"
    INVALID_JSON = "invalid-json"

    DUPLICATE_TENSOR = "duplicate-tensor"
    DUPLICATE_KEY = "duplicate-key"  # in an entry or in the metadata
    BAD_METADATA = "bad-metadata"
    BAD_ENTRY = "bad-entry"
    UNKNOWN_DTYPE = "unknown-dtype"
    BAD_SHAPE = "bad-shape"
    BAD_OFFSETS = "bad-offsets"
    OVERFLOW = "overflow"
    SUB_BYTE = "sub-byte"
    WRONG_LENGTH = "wrong-length"
    HOLE = "hole"
    OVERLAP = "overlap"


class HeaderFault(HeaderMismatch):
    """The one reason why a file is not a safetensors file. `kind` is for programs, the message for people."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def shown(name: str) -> str:
    """A foreign name as one short printable word: nothing in it can move a cursor or turn a line around."""
    short = name if len(name) <= _SHOWN else name[:_SHOWN] + "\N{HORIZONTAL ELLIPSIS}"
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in short) + '"'
