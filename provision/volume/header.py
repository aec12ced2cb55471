"""The safetensors header of a file that stands, as bytes: compared with the locked one, not parsed.

It was parsed when it was locked; its digest says that it is the same one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from provision.digest import sha256_of

if TYPE_CHECKING:
    from provision.lock import LockedFile

PREFIX: Final = 8
"""First bytes of a safetensors file: the length of its header, little-endian (huggingface/safetensors, "Format")."""

LIMIT: Final = 100_000_000
"""The longest header that safetensors has; a damaged length must not cost its value in memory."""


class Source(Protocol):
    """Bytes at offsets: an open file, a partial."""

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; fewer only where the file ends."""


def header_sha256(file: LockedFile, source: Source) -> str | None:
    """The sha256 of the header; None where a file of the locked size cannot have one of the length that it claims."""
    length = int.from_bytes(source.read_at(0, PREFIX), "little")
    if length > LIMIT or PREFIX + length > file.size:
        return None
    return sha256_of(source.read_at(0, PREFIX + length))
