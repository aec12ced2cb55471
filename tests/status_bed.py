"""A volume to look at, and what puts things onto it."""

from __future__ import annotations

from pathlib import Path

import pytest
from volume_material import promised, receipt_for

from provision.lock import Lock, LockedFile, LockedModel
from provision.status import Status, status
from provision.volume.mount import Volume
from provision.volume.receipts.writing import ReceiptWriter

NOW = 1_790_000_000.0
DATA = b"weights" * 1000
TARGET = "models/a.safetensors"


def lock(*files: LockedFile, project: str = "p", name: str = "m") -> Lock:
    model = LockedModel(
        name=name, source="hf://o/n", revision="main", commit="a" * 40, layout="tree", license=None,
        meaning_sha256="b" * 64, files=files,
    )  # fmt: skip
    return Lock(project=project, root="models", manifest_sha256="c" * 64, models=(model,))


def put(volume: Volume, path: str, data: bytes) -> LockedFile:
    place = Path(volume.path, path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    return promised(data, path)


def prove(volume: Volume, target: str = TARGET, data: bytes = DATA, at: float = NOW) -> None:
    with ReceiptWriter(volume, lambda: at) as receipts:
        receipts.add(receipt_for(volume.path, data, target, at=at))


def look(volume: Volume, *locks: Lock, others: tuple[Lock, ...] = (), size: int | None = None) -> Status:
    return status(volume, locks, others, NOW, size)


@pytest.fixture(name="volume")
def volume_to_look_at(tmp_path: Path):
    root = tmp_path / "volume"
    root.mkdir()
    with Volume.open(str(root)) as volume:
        yield volume
