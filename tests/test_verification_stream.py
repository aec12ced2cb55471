"""Bytes that are read ahead: in order, bounded, several at once where that pays, and nothing left behind by a fault."""

from __future__ import annotations

import hashlib
import threading

import pytest
from volume_material import content

from provision.crew import Stop
from provision.errors import Interrupted, VolumeTrouble
from provision.verification import stream
from provision.verification.stream import BLOCK, ROOM, Readers


class Slow:
    """A file that answers no read before `together` of them are under way, as one far away would have it."""

    def __init__(self, data, together=1, fails_at=None):
        self.path, self.data, self.fails_at = "far", data, fails_at
        self.gate = threading.Barrier(together) if together > 1 else None
        self.under_way = self.most = 0
        self.guard = threading.Lock()

    def read_into(self, offset, buffer):
        with self.guard:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            if self.gate is not None and offset:
                self.gate.wait(20)
            if offset == self.fails_at:
                raise VolumeTrouble("far: Input/output error")
            part = self.data[offset : offset + len(buffer)]
            buffer[: len(part)] = part
            return len(part)
        finally:
            with self.guard:
                self.under_way -= 1


def slow_readers(files=1, stop=None):
    """Readers that have found the volume to be slow."""
    readers = Readers(files, stop or Stop())
    for _ in range(stream._ENOUGH):
        readers.took(1.0, 0.1)
    return readers


def digest(blocks):
    hashed = hashlib.sha256()
    for block in blocks:
        hashed.update(block)
    return hashed.hexdigest()


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK, 5 * BLOCK + 7])
@pytest.mark.parametrize("make", [lambda: Readers(1, Stop()), slow_readers, lambda: Readers(9, Stop(), ahead=False)])
def test_the_bytes_come_in_order_whatever_their_number(size, make):
    data = content(1.0)[:size]
    readers = make()
    assert digest(readers.blocks(Slow(data), size)) == hashlib.sha256(data).hexdigest()
    readers.close()


def test_several_reads_of_one_file_are_under_way_at_once():
    data = content(2.0)[: 13 * BLOCK]
    file = Slow(data, together=6)  # the first block, and then two times six
    readers = slow_readers()
    readers._files = 0  # the first read is not ahead of anything
    assert digest(readers.blocks(file, len(data))) == hashlib.sha256(data).hexdigest()
    assert file.most >= 6


def test_what_is_slow_is_found_out_by_itself():
    readers = Readers(1, Stop())
    assert not readers._is_slow
    for _ in range(stream._ENOUGH):
        readers.took(0.002, 0.001)
    assert readers.pays()


def test_a_fast_volume_with_a_file_for_every_core_is_read_by_who_hashes():
    readers = Readers(1, Stop())
    data = content(1.0)
    blocks = readers.blocks(Slow(data), len(data))
    next(blocks)
    assert not readers.pays()
    assert readers._threads == 0
    blocks.close()


@pytest.mark.parametrize("files", [1, 2, 64, 256])
def test_what_is_read_ahead_is_bounded_for_all_files_together(files):
    readers = slow_readers(files)
    data = content(2.0)
    streams = [readers.blocks(Slow(data), len(data)) for _ in range(min(files, 40))]
    for blocks in streams:
        next(blocks)
    held = (ROOM // readers._block - readers._left) * readers._block
    assert held <= ROOM + len(streams) * readers._block
    assert readers._block * files <= ROOM
    for blocks in streams:
        blocks.close()


def test_a_second_file_gets_its_half_and_the_last_one_alone_gets_all():
    readers = slow_readers(2)
    data = content(4.0)
    first, second = (readers.blocks(Slow(data), len(data)) for _ in range(2))
    next(first)
    for _ in range(12):
        next(second)
        next(first)
    whole = ROOM // readers._block
    assert readers._left in {0, -1}  # the first buffer of a stream is never refused
    held = [blocks.gi_yieldfrom.gi_frame.f_locals["self"] for blocks in (first, second)]
    assert [one._under_way + len(one._here) <= whole // 2 for one in held] == [True, True]
    first.close()
    for _ in range(3):
        next(second)
    assert held[1]._under_way + len(held[1]._here) >= whole - 2
    second.close()


def test_a_file_that_ends_early_ends_early():
    data = content(1.0)[: 3 * BLOCK + 5]
    for readers in (slow_readers(), Readers(2, Stop(), ahead=False)):
        assert digest(readers.blocks(Slow(data), 9 * BLOCK)) == hashlib.sha256(data).hexdigest()


def test_a_fault_is_raised_where_it_is_met_and_every_buffer_comes_back():
    data = content(1.0)
    readers = slow_readers()
    with pytest.raises(VolumeTrouble):
        digest(readers.blocks(Slow(data, fails_at=3 * BLOCK), len(data)))
    assert len(readers._free) == ROOM // readers._block - readers._left
    assert digest(readers.blocks(Slow(data), len(data))) == hashlib.sha256(data).hexdigest()


def test_nothing_is_read_into_a_file_that_was_closed():
    data = content(1.0)
    file = Slow(data)
    blocks = slow_readers().blocks(file, len(data))
    next(blocks)
    blocks.close()
    assert file.under_way == 0


def test_a_stop_is_seen_between_two_blocks_and_while_waiting():
    stop = Stop()
    data = content(1.0)
    blocks = slow_readers(stop=stop).blocks(Slow(data), len(data))
    next(blocks)
    stop.set()
    with pytest.raises(Interrupted):
        next(blocks)
