"""A volume with one file as its lock promises, for the command line's tests."""

from __future__ import annotations

from pathlib import Path

from volume_material import promised, receipt_for

from provision.lock import Lock, LockedModel
from provision.volume.locks import write_lock
from provision.volume.mount import Volume
from provision.volume.receipts.writing import ReceiptWriter

DATA = b"weights" * 1000
TARGET = "models/sub/a.safetensors"


def lock_of(data: bytes, target: str = TARGET) -> Lock:
    model = LockedModel(
        name="m", source="hf://o/n", revision="main", commit="a" * 40, layout="tree", license=None,
        meaning_sha256="b" * 64, files=(promised(data, target),),
    )  # fmt: skip
    return Lock(project="p", root="models", manifest_sha256="c" * 64, models=(model,))


def filled_volume(root: Path) -> Path:
    """A volume at `root` that holds one file as its lock promises, with its receipt."""
    (root / TARGET).parent.mkdir(parents=True)
    (root / TARGET).write_bytes(DATA)
    with Volume.open(str(root)) as volume:
        write_lock(volume, lock_of(DATA))
        with ReceiptWriter(volume, lambda: 1_790_000_000.0) as receipts:
            receipts.add(receipt_for(root, DATA, TARGET))
    return root
