"""Weights of no meaning: a legal safetensors file, always the same bytes, for where real ones cannot be had."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TENSOR_SIDE = 512
TENSOR_BYTES = TENSOR_SIDE * TENSOR_SIDE * 4
"""1 MiB: a square of 32-bit floats."""


def write_weights(path: Path, tensors: int) -> None:
    """Write a safetensors file of `tensors` MiB to `path`: the length of the header, the header, the data.

    The layout is that of the safetensors format: 8 bytes little-endian, JSON, then the tensors without gaps.
    """
    header = {
        f"layers.{index}.weight": {
            "dtype": "F32",
            "shape": [TENSOR_SIDE, TENSOR_SIDE],
            "data_offsets": [index * TENSOR_BYTES, (index + 1) * TENSOR_BYTES],
        }
        for index in range(tensors)
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    chance = Random(tensors)  # noqa: S311 - a pattern, no secret
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as sink:
        sink.write(len(text).to_bytes(8, "little") + text)
        for _ in range(tensors):
            sink.write(chance.randbytes(TENSOR_BYTES))
