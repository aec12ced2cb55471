"""What is moved and verified: legal safetensors files that no compression can shorten."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 1024 * 1024
REPOSITORY = "acme/weights"
_SIDE = 512  # of a square of 32-bit floats: 1 MiB
_POOL = 8  # tensors of chance, read from ever another place; making gigabytes of it would take longer than the fills


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """The repository REPOSITORY of both hubs below `root`, the same files in each; `size` in bytes."""

    root: Path
    files: tuple[Path, ...]
    size: int

    @property
    def copy(self) -> tuple[Path, ...]:
        """Where the files are below a folder that they were fetched to."""
        return tuple(Path("volume", path.name) for path in self.files)

    @property
    def mebibytes(self) -> str:
        """As the page tells it: `1024 + 512 MiB`."""
        return " + ".join(str(path.stat().st_size // MIB) for path in self.files) + " MiB"

    def warm(self) -> None:
        """Read everything once, so that every contender finds the page cache alike."""
        for path in self.files:
            with path.open("rb") as stream:
                while stream.read(MIB):
                    pass


def prepare(root: Path, mebibytes: Sequence[int]) -> Material:
    """Write one file of each size, the largest first, and lay them out for both hubs."""
    folder = _folder(root)
    files = tuple(folder / f"part-{index}.safetensors" for index in range(len(mebibytes)))
    for path, tensors in zip(files, mebibytes, strict=True):
        write_weights(path, tensors)
    return _for_both(root, files)


def prepare_small(root: Path, count: int, size: int) -> Material:
    """Write `count` files of chance, `size` bytes each, of a kind that hubs keep in git and send themselves."""
    folder = _folder(root)
    files = tuple(folder / f"part-{index:05}.txt" for index in range(count))
    for path in files:
        path.write_bytes(os.urandom(size))
    return _for_both(root, files)


def _folder(root: Path) -> Path:
    folder = root / "modelscope" / REPOSITORY
    folder.mkdir(parents=True)
    return folder


def _for_both(root: Path, files: tuple[Path, ...]) -> Material:
    other = root / "hf" / REPOSITORY
    other.mkdir(parents=True)
    for path in files:
        (other / path.name).hardlink_to(path)
    return Material(root=root, files=files, size=sum(path.stat().st_size for path in files))


def write_weights(path: Path, tensors: int, side: int = _SIDE) -> None:
    """Write `tensors` square tensors to `path`: the length of the header, the header, the data without gaps."""
    length = side * side * 4
    header = {
        f"layers.{index}.weight": {
            "dtype": "F32",
            "shape": [side, side],
            "data_offsets": [index * length, (index + 1) * length],
        }
        for index in range(tensors)
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    pool = os.urandom(_POOL * length)
    with path.open("wb") as sink:
        sink.write(len(text).to_bytes(8, "little") + text)
        for _ in range(tensors):
            start = int.from_bytes(os.urandom(4), "little") % ((_POOL - 1) * length)
            sink.write(pool[start : start + length])
