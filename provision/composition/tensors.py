"""The tensors of a safetensors file, by name and bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.composition.misfit import Misfit, Rule

if TYPE_CHECKING:
    from provision.composition.misfit import Contents

LIMIT: Final = 8 * 1024 * 1024
"""Bytes of a header that is looked into. Those of the largest shards known have one."""


def tensors(contents: Contents, path: str) -> list[tuple[str, int]] | Misfit:
    """Name and bytes of each tensor, in the order of their bytes; or why they are not to be had."""
    from provision.tensorfile import HEADER_LENGTH_BYTES, HeaderFault, header_length, parse_header

    size = contents.sizes[path]
    try:
        prefix = contents.read(path, 0, min(HEADER_LENGTH_BYTES, size))
        length = header_length(prefix, size)
        if length > LIMIT:
            detail = f"its header has {length:,} bytes: too many to be checked"
            return Misfit(rule=Rule.UNCHECKED, path=path, detail=detail, grave=False)
        header = parse_header(prefix + contents.read(path, len(prefix), len(prefix) + length), size)
    except HeaderFault as fault:
        return Misfit(rule=Rule.BAD_HEADER, path=path, detail=fault.message)
    return [(tensor.name, tensor.end - tensor.begin) for tensor in header.tensors]
