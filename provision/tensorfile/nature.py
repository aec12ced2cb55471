"""What a file really is when it is not safetensors, from its first bytes.

People find these under the names of weights: what a clone without LFS leaves, what a server answered instead, a
checkpoint of another format that was renamed, and space that was reserved and never written.
"""

from __future__ import annotations

import re

from provision.tensorfile.fault import FaultKind, HeaderFault

HEADER_LENGTH_BYTES = 8
HEADER_LIMIT = 100_000_000
"""The longest JSON that is accepted, in bytes: MAX_HEADER_SIZE of the library."""

_SNIFFED = 512  # bytes looked at
_TEXT = rb"(?=[^\0]*+\Z)(?:\xef\xbb\xbf)?\s*+"  # no NUL, perhaps a byte order mark, perhaps white space
_HTML = rb"(?:<\?xml[^>]*+>\s*+)?(?:<!--.*?-->\s*+)?<(?:!doctype\s++html|!doctyp\Z|html|head|body)"

# The first that matches decides. An eight-byte prefix must be enough where eight bytes can tell.
_NATURES: tuple[tuple[FaultKind, str, re.Pattern[bytes]], ...] = (
    (FaultKind.EMPTY, "an empty file", re.compile(rb"\Z")),
    (FaultKind.ZEROS, "a run of zeros where nothing was written", re.compile(rb"\0++\Z")),
    (FaultKind.LFS_POINTER, "a git-LFS pointer", re.compile(rb"version (?:https://(?:git-lfs|hawser)\.|\Z)")),
    (FaultKind.GGUF, "a GGUF file", re.compile(rb"GGUF")),
    (FaultKind.ZIP, "a zip file, as torch.save writes", re.compile(rb"PK(?:\x03\x04|\x05\x06)")),
    (FaultKind.GZIP, "a gzip file", re.compile(rb"\x1f\x8b\x08")),
    (FaultKind.PICKLE, "a pickle", re.compile(rb"\x80[\x02-\x05][\x80-\x97()\]}cGIJKLMNSTUVX]")),
    (FaultKind.HTML, "an HTML page", re.compile(_TEXT + _HTML, re.IGNORECASE | re.DOTALL)),
    (FaultKind.XML, "an XML document", re.compile(_TEXT + rb"<[?!A-Za-z]")),
    (FaultKind.JSON, "a JSON document", re.compile(_TEXT + rb"[{\[]\s*+[]{}[\"]")),
    (FaultKind.TEXT, "plain text", re.compile(rb"[\t\n\r\x20-\x7e]{4,}\Z")),
)
_PHRASES = {kind: phrase for kind, phrase, _ in _NATURES}


def nature(first_bytes: bytes) -> str | None:
    """What a file really is, as a phrase ("a git-LFS pointer"), or None if it may be safetensors or is not known.

    `first_bytes` are the first bytes of the file, better 512 than 8; none at all mean an empty file. Nothing that can
    be the start of a safetensors file is called anything else: the magic numbers of gzip, zip and pickle can also be
    the length of a header, so what stands in the place of the `{` decides.
    """
    kind = None if _may_be_safetensors(first_bytes) else _foreign(first_bytes)
    return _PHRASES[kind] if kind else None


def misfit(first_bytes: bytes, kind: FaultKind, message: str) -> HeaderFault:
    """The fault of bytes that are no header: what the file is instead if they tell, else `kind` with `message`."""
    foreign = None if first_bytes[8:9] == b"{" and _may_be_safetensors(first_bytes) else _foreign(first_bytes)
    return (
        HeaderFault(foreign, f"this is {_PHRASES[foreign]}, not safetensors") if foreign else HeaderFault(kind, message)
    )


def _foreign(first_bytes: bytes) -> FaultKind | None:
    sample = first_bytes[:_SNIFFED]
    return next((kind for kind, _, pattern in _NATURES if pattern.match(sample)), None)


def _may_be_safetensors(first_bytes: bytes) -> bool:
    """Whether eight bytes are a length that a header can have, and the ninth, if it is there, is its `{`."""
    length = int.from_bytes(first_bytes[:HEADER_LENGTH_BYTES], "little")
    return len(first_bytes) >= HEADER_LENGTH_BYTES and 2 <= length <= HEADER_LIMIT and first_bytes[8:9] in (b"{", b"")
