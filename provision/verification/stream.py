"""The bytes of files in order, read ahead of whoever takes them, where that pays.

A network file system answers sixteen reads at once far sooner than one after the other, and a core that hashes need not
wait for a disk. So a few threads read for all files, into buffers that are used again. What is read ahead is bounded
for all files together, and the last file alone has all of it. What lies in memory already, while every core hashes, is
read by who hashes it: handing it from one core to another costs more than it saves.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING

from provision.buffer import new_buffer
from provision.crew import LOOK
from provision.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Generator

    from provision.crew import Stop
    from provision.volume.view import Readable

    _Arrival = tuple[int, int, memoryview, BaseException | None]  # offset, count, buffer, what went wrong
    _Arrivals = queue.SimpleQueue[_Arrival]
    _Job = tuple[Readable, int, int, memoryview, _Arrivals]  # offset, length, buffer

BLOCK = 2 * 1024 * 1024
"""Bytes of one read."""

ROOM = 32 * 1024 * 1024
"""Bytes that are read ahead at most, for all files together."""

_ENOUGH = 4  # blocks by which to tell whether reading is slow
_FEW = 3  # blocks of a file that are read ahead where it is not
IN_FLIGHT = 16
"""Reads under way at once: from here on a network volume gives no more."""

_MANY = ROOM // BLOCK // 2


class Readers:
    """Threads that read ahead for up to `files` files at once. They are daemons: a mount that hangs keeps nobody.

    With `ahead` False whoever takes the bytes reads them, one block after the other: right where a file is one stream.
    """

    def __init__(self, files: int, stop: Stop, *, ahead: bool = True) -> None:
        self._stop, self._ahead, self._files = stop, ahead, files
        self._taken, self._waiting, self._using = 0, 0.0, 0.0
        self._is_slow = False
        self._block = BLOCK if files <= _MANY else max(ROOM // files // 2 // 4096 * 4096, 64 * 1024)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._free: list[memoryview] = []
        self._left = ROOM // self._block
        self._streams = 0
        self._threads = 0

    def close(self) -> None:
        """The threads end when they have done what they are at."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def blocks(self, file: Readable, size: int) -> Generator[memoryview, None, None]:
        """The first `size` bytes of `file`, in order, in blocks that are good until the next one is asked for. Ends
        early where the file does.

        Raises:
            Interrupted: a stop was asked for.
            VolumeError, and its children: as the file says.
        """
        if size <= self._block or not self._ahead:
            return self._plain(file, size)
        return self._streamed(file, size)

    def _plain(self, file: Readable, size: int) -> Generator[memoryview, None, None]:
        buffer, offset = new_buffer(min(self._block, size)), 0
        while offset < size:
            self._stop.check()
            count = file.read_into(offset, buffer[: size - offset])
            if not count:
                return
            yield buffer[:count]
            offset += count

    def _streamed(self, file: Readable, size: int) -> Generator[memoryview, None, None]:
        stream = _Stream(self, file, size, self._block)
        with self._guard:
            self._streams += 1
        try:
            yield from stream.blocks()
        finally:
            stream.drain()
            with self._guard:
                self._streams -= 1

    def pays(self) -> bool:
        """Whether to read ahead: a core is idle, or reading takes longer than what is done with the bytes."""
        return self._is_slow or self._streams < self._files

    def took(self, waiting: float, using: float) -> None:
        """Seconds that were spent on a block: waiting until it was read, and using it. Threads that write at once only
        blur it.
        """
        self._taken += 1
        self._waiting += waiting
        self._using += using
        self._is_slow = self._is_slow or (self._taken >= _ENOUGH and self._waiting > self._using)

    def first_buffer(self) -> memoryview:
        """A buffer for a stream that has none: never refused, so that all of them move on."""
        with self._guard:
            if self._free:
                return self._free.pop()
            self._left -= 1
        return new_buffer(self._block)

    def buffer(self, held: int) -> memoryview | None:
        """A buffer for a stream that has `held` of them; None when that is its share, or there is none left."""
        if not held:
            return self.first_buffer()
        with self._guard:
            share = ROOM // self._block // self._streams if self._is_slow else _FEW
            if held >= share or not (self._free or self._left > 0):
                return None
            if self._free:
                return self._free.pop()
            self._left -= 1
        return new_buffer(self._block)

    def check(self) -> None:
        """Raises Interrupted when a stop was asked for."""
        self._stop.check()

    def give_back(self, buffer: memoryview) -> None:
        """`buffer` is free again."""
        with self._guard:
            self._free.append(buffer)

    def ask(self, job: _Job) -> None:
        """Have a block read; it arrives in the job's own queue."""
        with self._guard:
            fresh = self._threads < IN_FLIGHT
            self._threads += fresh
        if fresh:
            threading.Thread(target=self._serve, daemon=True).start()
        self._jobs.put(job)

    def arrived(self, arrivals: _Arrivals) -> _Arrival:
        """What arrives next; raises Interrupted when a stop was asked for."""
        while True:
            self._stop.check()
            try:
                return arrivals.get(timeout=LOOK)
            except queue.Empty:
                continue

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            file, offset, length, buffer, arrivals = job
            try:
                arrivals.put((offset, file.read_into(offset, buffer[:length]), buffer, None))
            except BaseException as error:  # noqa: BLE001 - it is raised again by whoever takes the bytes
                arrivals.put((offset, 0, buffer, error))


class _Stream:
    """The blocks of one file: asked for in order, arriving in any, given in order."""

    def __init__(self, readers: Readers, file: Readable, size: int, block: int) -> None:
        self._readers, self._file, self._size, self._block = readers, file, size, block
        self._arrivals: _Arrivals = queue.SimpleQueue()
        self._here: dict[int, tuple[int, memoryview]] = {}
        self._asked = 0  # offset of the next block to ask for
        self._under_way = 0

    def blocks(self) -> Generator[memoryview, None, None]:
        offset = 0
        while offset < self._size:
            self._readers.check()
            if self._readers.pays():
                self._ask()
            began = time.perf_counter()
            is_asked = self._under_way or self._here
            count, buffer = self._arrived(offset) if is_asked else self._read(offset)
            here = time.perf_counter()
            try:
                if count:
                    yield buffer[:count]
            finally:
                self._readers.give_back(buffer)
            self._readers.took(here - began, time.perf_counter() - here)
            offset += count
            if offset < self._size and count < self._block:
                return

    def drain(self) -> None:
        """Wait for what is still being read: the file is closed next. A stop is not waited for."""
        for _, buffer in self._here.values():
            self._readers.give_back(buffer)
        self._here.clear()
        try:
            while self._under_way:
                self._readers.give_back(self._readers.arrived(self._arrivals)[2])
                self._under_way -= 1
        except Interrupted:
            return

    def _ask(self) -> None:
        while self._asked < self._size:
            buffer = self._readers.buffer(self._under_way + len(self._here))
            if buffer is None:
                return
            length = min(self._block, self._size - self._asked)
            self._readers.ask((self._file, self._asked, length, buffer, self._arrivals))
            self._under_way += 1
            self._asked += length

    def _read(self, offset: int) -> tuple[int, memoryview]:
        buffer, length = self._readers.first_buffer(), min(self._block, self._size - offset)
        self._asked = offset + length
        try:
            return self._file.read_into(offset, buffer[:length]), buffer
        except BaseException:
            self._readers.give_back(buffer)
            raise

    def _arrived(self, offset: int) -> tuple[int, memoryview]:
        while offset not in self._here:
            at, count, buffer, error = self._readers.arrived(self._arrivals)
            self._under_way -= 1
            if error is not None:
                self._readers.give_back(buffer)
                raise error
            self._here[at] = count, buffer
        return self._here.pop(offset)
