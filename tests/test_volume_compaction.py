"""Merging receipts keeps every one of them, whoever else is at work."""

from __future__ import annotations

import os
import time
import tracemalloc
from pathlib import Path

import pytest
from volume_material import names_in

from provision.errors import VolumeTrouble
from provision.volume.files import File
from provision.volume.receipts import INDEX, Receipt, read_receipts, writing
from provision.volume.receipts.writing import ReceiptWriter, compact


class Clock:
    """Seconds since the epoch; starts at the real time, since file systems stamp with that."""

    def __init__(self):
        self.now = time.time()

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def receipt(target, at, sha256="a" * 64):
    return Receipt(target=target, sha256=sha256, size=5, mtime_ns=1, proven_at=at)


def write_files(volume, clock, count):
    for n in range(count):
        with ReceiptWriter(volume, clock) as writer:
            writer.add(receipt(f"models/{n}", clock.now))
            writer.add(receipt("models/common", clock.now + n / 1000, f"{n:064x}"))


def files(volume):
    names = names_in(f"{volume.path}/.provision/receipts")
    return [name for name in names if name != INDEX]


def test_the_index_names_what_stands_after_a_merge(volume, clock):
    """Whoever reads a volume through S3 cannot list it: what the index leaves out is unproven to him."""
    index = Path(volume.path) / ".provision/receipts" / INDEX
    write_files(volume, clock, 20)
    assert index.read_text().splitlines() == sorted(files(volume))
    clock.now += 7200
    assert compact(volume, clock) == 20
    assert index.read_text().splitlines() == sorted(files(volume))


def test_many_old_files_become_one_and_say_the_same(volume, clock):
    write_files(volume, clock, 20)
    before = read_receipts(volume, clock.now)
    clock.now += 7200
    assert compact(volume, clock) == 20
    assert len(files(volume)) == 1
    assert read_receipts(volume, clock.now) == before
    assert before["models/common"].sha256 == f"{19:064x}"


def test_few_files_are_left_alone(volume, clock):
    assert compact(volume, clock) == 0
    write_files(volume, clock, 16)
    clock.now += 7200
    assert compact(volume, clock) == 0


def test_files_that_may_still_be_written_are_left_alone(volume, clock):
    write_files(volume, clock, 20)
    assert compact(volume, clock) == 0
    for name in files(volume)[:5]:
        os.utime(f"{volume.path}/.provision/receipts/{name}", (clock.now - 7200,) * 2)
    assert compact(volume, clock) == 5
    assert len(files(volume)) == 16
    assert len(read_receipts(volume, clock.now)) == 21


def test_a_writer_that_was_silent_for_long_begins_a_new_file(volume, clock):
    with ReceiptWriter(volume, clock) as writer:
        writer.add(receipt("models/late-first", clock.now))
        writer.flush()
        write_files(volume, clock, 20)
        clock.now += 7200
        assert compact(volume, clock) == 21
        writer.add(receipt("models/late-second", clock.now))
    assert {"models/late-first", "models/late-second"} <= set(read_receipts(volume, clock.now))


def test_two_that_merge_at_once_lose_nothing(volume, clock, monkeypatch):
    write_files(volume, clock, 20)
    before = read_receipts(volume, clock.now)
    clock.now += 7200
    flush, others = ReceiptWriter.flush, []

    def interrupted(self):
        flush(self)
        if not others:
            others.append(1)
            others.append(compact(volume, clock))

    monkeypatch.setattr(ReceiptWriter, "flush", interrupted)
    assert compact(volume, clock) == 20
    assert others == [1, 21]  # it had our new file to merge too, by its clock an old one
    assert read_receipts(volume, clock.now) == before


def test_a_merge_that_fails_takes_nothing_away(volume, clock, monkeypatch):
    write_files(volume, clock, 20)
    before = read_receipts(volume, clock.now)
    clock.now += 7200

    def failing(_):
        raise VolumeTrouble("cut")

    with monkeypatch.context() as patched:
        patched.setattr(File, "sync", failing)
        with pytest.raises(VolumeTrouble):
            compact(volume, clock)
    assert read_receipts(volume, clock.now) == before
    assert compact(volume, clock) == 21


def test_a_file_that_cannot_be_read_in_full_is_not_removed(volume, clock):
    write_files(volume, clock, 20)
    name = Path(volume.path, ".provision/receipts", files(volume)[0])
    os.truncate(name, 2**30)
    os.utime(name, (clock.now, clock.now))
    clock.now += 7200
    assert compact(volume, clock) == 19
    assert name.exists()


def test_a_merge_holds_one_file_at_a_time_in_memory(volume, clock):
    for _ in range(20):
        with ReceiptWriter(volume, clock) as writer:
            for n in range(2_000):
                writer.add(receipt(f"models/{n}", clock.now))
    clock.now += 7200
    size = max(Path(volume.path, ".provision/receipts", name).stat().st_size for name in files(volume))
    tracemalloc.start()
    try:
        assert compact(volume, clock) == 20
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * size, "the bytes, lines and values of one file; the lines of all are twice as much"


def test_what_is_too_much_for_one_merge_waits_for_the_next(volume, clock, monkeypatch):
    write_files(volume, clock, 30)
    before = read_receipts(volume, clock.now)
    one = Path(volume.path, ".provision/receipts", files(volume)[0]).stat().st_size
    monkeypatch.setattr(writing, "MERGE_LIMIT", 10 * one + one // 2)
    clock.now += 7200
    for left in (21, 12):
        assert compact(volume, clock) == 10
        assert len(files(volume)) == left
        assert read_receipts(volume, clock.now) == before
