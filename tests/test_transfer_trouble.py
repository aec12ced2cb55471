"""A file system in trouble, and bytes that stand elsewhere: what a fill believes, keeps and uses again."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from fill_bed import BIG, NOW, SMALL, TOKEN, Bed, build, content, file_of, lock_of
from hub_kinds import HUGGINGFACE
from misbehaving_hub import MisbehavingHub, Rule, answers

from provision.digest import PIECE_SIZE, piece_digest, sha256_of
from provision.errors import PathNotFound
from provision.serve import Folder, Settings
from provision.transfer.outcome import Done
from provision.volume import files, partials
from provision.volume.mount import Volume
from provision.volume.receipts import Receipt, joined, revoked
from provision.volume.receipts.writing import ReceiptWriter

FILE = file_of(BIG)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with MisbehavingHub(Folder(build(tmp_path_factory.mktemp("served"))), Settings(token=TOKEN)) as hub:
        yield hub


@pytest.fixture
def bed(hub, tmp_path):
    hub.rules.clear()
    return Bed(hub=hub, kind=HUGGINGFACE, volume=tmp_path)


def receipt_of(bed: Bed, target: str, data: bytes) -> Receipt:
    found = (bed.volume / target).stat()
    pieces = [piece_digest(data[at : at + PIECE_SIZE]) for at in range(0, len(data), PIECE_SIZE)]
    return Receipt(
        target=target, sha256=sha256_of(data), size=len(data), mtime_ns=found.st_mtime_ns, proven_at=NOW,
        piece_digests=joined(pieces),
    )  # fmt: skip


def put(bed: Bed, target: str, data: bytes, *, proven: bool) -> Receipt:
    place = bed.volume / target
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    receipt = receipt_of(bed, target, data)
    if proven:
        leave(bed, receipt)
    return receipt


def leave(bed: Bed, receipt: Receipt) -> None:
    with Volume.open(str(bed.volume)) as volume, ReceiptWriter(volume, lambda: NOW) as receipts:
        receipts.add(receipt)


@pytest.mark.parametrize("call", ["_datasync", "fsync"])
def test_bytes_that_a_failed_flush_has_dropped_do_not_get_the_name(bed, monkeypatch, call):
    """Linux reports EIO once and then calls the lost pages clean: a second fsync succeeds and proves nothing."""
    monkeypatch.setattr(partials, "SYNC_EVERY", 1)
    failed: list[str] = []

    def flush(fd: int) -> None:
        name = Path(f"/proc/self/fd/{fd}").readlink().name
        if name.endswith(".partial") and not failed:
            failed.append(name)
            os.pwrite(fd, bytes(4096), 4096)  # these bytes never reached the disk
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fdatasync(fd)

    if call == "fsync":
        monkeypatch.setattr(files.os, "fsync", flush)
    else:
        monkeypatch.setattr(files, "_datasync", flush)
    result = bed.fill(bed.lock(BIG))

    assert failed
    assert [outcome.done for outcome in result.outcomes] == [Done.FETCHED]
    assert (bed.volume / FILE.target).read_bytes() == content(BIG)


def test_a_file_that_nobody_has_proven_stands_until_its_successor_takes_its_name(bed):
    put(bed, FILE.target, b"weeks of somebody's own training", proven=False)
    bed.hub.rules.append(Rule("/resolve/", answers(404, {"X-Error-Code": "EntryNotFound"})))

    result = bed.fill(bed.lock(BIG))

    assert isinstance(result.error, PathNotFound)
    assert (bed.volume / FILE.target).read_bytes() == b"weeks of somebody's own training"


def test_a_file_restored_after_it_was_found_damaged_is_kept(bed):
    receipt = put(bed, f"models/{SMALL}", content(SMALL), proven=False)
    leave(bed, revoked(receipt, NOW + 1))

    result = bed.fill(bed.lock(SMALL))

    assert [(outcome.done, outcome.fetched) for outcome in result.outcomes] == [(Done.KEPT, 0)]
    assert result.requests == []


@pytest.mark.parametrize("path", [SMALL, BIG])
def test_the_same_bytes_at_an_old_target_are_not_fetched_again(bed, path):
    put(bed, f"before/{path}", content(path), proven=True)

    result = bed.fill(bed.lock(path))

    assert [(outcome.done, outcome.fetched) for outcome in result.outcomes] == [(Done.FETCHED, 0)]
    assert result.outcomes[0].reused == len(content(path))
    assert (bed.volume / f"models/{path}").read_bytes() == content(path)


def test_a_copy_elsewhere_that_was_damaged_is_not_believed(bed):
    receipt = put(bed, f"before/{BIG}", content(BIG), proven=False)
    place = bed.volume / f"before/{BIG}"
    damaged = bytearray(content(BIG))
    damaged[PIECE_SIZE + 5] ^= 1
    place.write_bytes(damaged)
    os.utime(place, ns=(receipt.mtime_ns, receipt.mtime_ns))
    leave(bed, replace(receipt, mtime_ns=place.stat().st_mtime_ns))

    result = bed.fill(bed.lock(BIG))

    assert result.outcomes[0].fetched == PIECE_SIZE
    assert (bed.volume / FILE.target).read_bytes() == content(BIG)


def test_trouble_that_passes_does_not_fail_a_file(bed, monkeypatch):
    real, failed = os.rename, []

    def rename(old, new, **where):
        if not failed and new == SMALL:
            failed.append(new)
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        real(old, new, **where)

    monkeypatch.setattr("provision.volume.paths.os.rename", rename)
    result = bed.fill(lock_of(bed.kind, bed.commit(), file_of(SMALL)))

    assert failed == [SMALL]
    assert (bed.volume / f"models/{SMALL}").read_bytes() == content(SMALL)
    assert result.outcomes[0].error is None
