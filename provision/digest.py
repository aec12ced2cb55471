"""Digests: what bytes are identified by, and how a stream of them is hashed, whole and by the piece."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer
    from xxhash import xxh3_128

PIECE_SIZE = 16 * 1024 * 1024
"""Bytes in a piece; the last piece of a file is shorter. Part of the journal and receipt formats."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PIECE = re.compile(r"[0-9a-f]{32}")
_GIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Digest:
    r"""An algorithm and a lower-case hexadecimal value.

    `sha256` identifies bytes everywhere in provision. `git` is the id of a git blob, sha1 over `blob <length>\0`
    and the bytes: all that Hugging Face tells of files outside LFS.
    """

    algorithm: str
    value: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"


def is_sha256(text: object) -> bool:
    """Whether `text` is 64 lower-case hexadecimal digits."""
    return isinstance(text, str) and _SHA256.fullmatch(text) is not None


def is_git_id(text: object) -> bool:
    """Whether `text` is 40 lower-case hexadecimal digits: a git commit or blob id."""
    return isinstance(text, str) and _GIT.fullmatch(text) is not None


def sha256_of(data: Buffer) -> str:
    """The sha256 of `data`, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def piece_hash(data: Buffer = b"") -> xxh3_128:
    """A hash of a piece's bytes, begun with `data`: XXH3, 128 bits (xxhash.com), at a thirtieth of what sha256 costs.

    It tells where a file is damaged and which bytes need not move again. It vouches for nothing: whoever can write to
    a volume can forge it. What becomes a file has its sha256 looked at as a whole, always.
    """
    import xxhash

    return xxhash.xxh3_128(data)


def piece_digest(data: Buffer) -> str:
    """The digest of one whole piece: 32 lower-case hexadecimal digits."""
    return piece_hash(data).hexdigest()


def is_piece_digest(text: object) -> bool:
    """Whether `text` can be the digest of a piece."""
    return isinstance(text, str) and _PIECE.fullmatch(text) is not None


def git_blob_id(data: bytes) -> str:
    """The id git gives to a blob of exactly these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def piece_count(size: int) -> int:
    """How many pieces a file of `size` bytes has; an empty file has none."""
    return -(-size // PIECE_SIZE)


def piece_span(index: int, size: int) -> tuple[int, int]:
    """Where piece `index` of a file of `size` bytes begins, and where it ends (exclusive)."""
    return index * PIECE_SIZE, min((index + 1) * PIECE_SIZE, size)


def differing(first: Sequence[str], second: Sequence[str], size: int) -> str:
    """Where two files of `size` bytes differ, by the digests of their pieces: `bytes 0-16,777,215`; "" when they do
    not, or cannot be compared.
    """
    if len(first) != len(second):
        return ""
    spans: list[tuple[int, int]] = []
    for index in (i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a != b):
        begin, end = piece_span(index, size)
        if spans and spans[-1][1] == begin:
            begin = spans.pop()[0]
        spans.append((begin, end))
    shown = ", ".join(f"{begin:,}-{end - 1:,}" for begin, end in spans[:5])
    more = f" and {len(spans) - 5} more ranges" if len(spans) > 5 else ""
    return f"bytes {shown}{more}" if spans else ""


class PieceHasher:
    """Hashes the bytes of a file of known `size` in order, once as a whole and once by the piece, in one pass.

    `offset` is how many bytes have passed, `pieces` the digests of the pieces that are complete. With `by_piece` False
    there are none, where only the whole is in question.
    """

    def __init__(self, size: int, *, by_piece: bool = True) -> None:
        self.size = size
        self.offset = 0
        self.pieces: list[str] = []
        self._whole = hashlib.sha256()
        self._piece = piece_hash() if by_piece else None

    def update(self, data: Buffer) -> None:
        """Take the next bytes; the digests of pieces they complete are appended to `pieces`.

        Raises:
            ValueError: these bytes go beyond `size`.
        """
        view = memoryview(data)
        if self.offset + len(view) > self.size:
            raise ValueError(f"{self.offset + len(view)} bytes for a file of {self.size}")
        self._whole.update(view)
        if self._piece is None:
            self.offset += len(view)
            return
        while view:
            _, end = piece_span(self.offset // PIECE_SIZE, self.size)
            part, view = view[: end - self.offset], view[end - self.offset :]
            self._piece.update(part)
            self.offset += len(part)
            if self.offset == end:
                self.pieces.append(self._piece.hexdigest())
                self._piece = piece_hash()

    @property
    def is_complete(self) -> bool:
        """Whether all bytes have passed."""
        return self.offset == self.size

    def sha256(self) -> str:
        """The sha256 of everything that has passed."""
        return self._whole.hexdigest()
