"""Material for the tests of a volume: promised files, and the least that a transfer does with a partial."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from provision.digest import PIECE_SIZE, piece_count, piece_digest, piece_span, sha256_of
from provision.lock import LockedFile
from provision.volume.placing import place
from provision.volume.receipts import Receipt, receipt_of
from provision.volume.writer import Owner, Writer, this_process

if TYPE_CHECKING:
    from provision.volume.partial import Partial

NOW = 1_790_000_000.0


def content(pieces: float, seed: int = 0) -> bytes:
    """Bytes that differ everywhere, `pieces` pieces of them."""
    noise = random.Random(seed).randbytes(2**16 - 8)
    size = int(pieces * PIECE_SIZE)
    return b"".join(n.to_bytes(8, "big") + noise for n in range(-(-size // 2**16)))[:size]


def promised(data: bytes, target: str = "models/sub/a.safetensors") -> LockedFile:
    return LockedFile(path=target, target=target, size=len(data), sha256=sha256_of(data))


def pieces_of(data: bytes) -> list[str]:
    return [piece_digest(data[at : at + PIECE_SIZE]) for at in range(0, len(data), PIECE_SIZE)]


def receipt_for(volume_path, data: bytes, target: str = "models/sub/a.safetensors", at: float = NOW) -> Receipt:
    """What a transfer writes after it has placed `data`."""
    found = (Path(volume_path) / target).stat()
    return receipt_of(promised(data, target), found, pieces_of(data), at)


def writer_named(name: str, owner: Owner | None = None) -> Writer:
    """A writer of this process, as another writer would see it: alive."""
    return Writer(id=name, owner=this_process() if owner is None else owner)


STRANGER = Owner(boot="00000000-1111-2222-3333-444444444444", pidns=4026531836, pid=7, started=1)
"""A process of another machine."""


def bring_pieces(partial: Partial, data: bytes, upto: int | None = None) -> list[int]:
    """Bring the pieces of `data` into `partial` in order; returns those that had to come from the hub."""
    fetched = []
    for index in range(piece_count(len(data)) if upto is None else upto):
        begin, end = piece_span(index, len(data))
        if _is_held(partial, index, begin, end):
            continue
        copied = _copied(partial, index, begin, end)
        if copied is None:
            fetched.append(index)
        piece = data[begin:end] if copied is None else copied
        partial.write_at(begin, piece)
        partial.record(index, piece_digest(piece))
    return fetched


def fill(partial: Partial, data: bytes):
    """All of a transfer but the network: what was placed, and which pieces had to be fetched."""
    with partial:
        fetched = bring_pieces(partial, data)
        read = partial.read_at(0, len(data) + 1)
        assert hashlib.sha256(read).hexdigest() == partial.file.sha256
        return place(partial), fetched


def _is_held(partial, index, begin, end):
    return index in partial.held and piece_digest(partial.read_at(begin, end - begin)) == partial.held[index]


def _copied(partial, index, begin, end):
    for other in partial.others:
        if index in other.pieces:
            piece = other.file.read_at(begin, end - begin)
            if piece_digest(piece) == other.pieces[index]:
                return piece
    return None


_INTERRUPTED = """
import os, signal, sys
from provision.volume.mount import Volume
from provision.volume.partials import Partials
from provision.volume.writer import new_writer
from volume_material import bring_pieces, content, promised
data = content(float(sys.argv[2]), int(sys.argv[3]))
partial = Partials(Volume.open(sys.argv[1]), new_writer()).claim(promised(data))
bring_pieces(partial, data, int(sys.argv[4]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_after(volume_path, pieces: float, seed: int, upto: int) -> None:
    """A real process that fills `content(pieces, seed)` and is killed after `upto` pieces."""
    here = Path(__file__).parent
    program = f"import sys; sys.path[:0] = [{str(here)!r}, {str(here.parent)!r}]\n{_INTERRUPTED}"
    words = [sys.executable, "-c", program, str(volume_path), str(pieces), str(seed), str(upto)]
    assert subprocess.run(words, check=False, timeout=60).returncode == -9


def names_in(folder) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def open_descriptors() -> set[str]:
    return set(os.listdir("/dev/fd"))  # noqa: PTH208 - a Path opens one more


def left_over(volume_path) -> list[str]:
    """Every partial and journal on the volume."""
    root = Path(volume_path)
    found = [*root.rglob(".provision-*"), *(root / ".provision/partials").glob("*")]
    return sorted(str(path.relative_to(root)) for path in found)
