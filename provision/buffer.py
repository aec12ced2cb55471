"""A buffer to read into, again and again."""

from __future__ import annotations

import mmap

_INTO_THE_PAGE = 64

_LITTLE = 256 * 1024
"""Bytes. Less is not worth a mapping of its own, nor are they many enough for where they begin to matter."""


def new_buffer(size: int) -> memoryview:
    """`size` bytes, zeros at first.

    To read into one buffer again and again spares most of what reading costs: each fresh `bytes` of a megabyte is
    memory that the kernel has to give, to clear and to take back.

    They begin 64 bytes into a page. A large `bytearray` begins 16 bytes into one, and to there the kernel's copies take
    three times as long on AMD's Zen, whose `rep movsb` is slow for the first bytes of a page (measured by
    benchmarks/clients.py; CPUs that announce `fsrm`).
    """
    if size < _LITTLE:
        return memoryview(bytearray(size))
    return memoryview(mmap.mmap(-1, size + _INTO_THE_PAGE))[_INTO_THE_PAGE:]
