"""What tests of Xet storage share: a file that makes chunks of all kinds, and streams of it."""

from __future__ import annotations

import random
import time

from hub_kinds import http_settings
from xet_cas import Cas

from provision.hubs import Pace
from provision.hubs.http import Wanted
from provision.hubs.xet import Stored, XetStream, open_stream

BIG = "big.safetensors"
PACE = Pace(slowest=1024, window=60.0)


def material() -> bytes:
    """Noise, then what compresses and repeats."""
    return random.Random(7).randbytes(9_000_000) + b"weights " * 200_000 + bytes(300_000)


def wanted(content: bytes, start: int = 0, end: int | None = None, path: str = BIG) -> Wanted:
    return Wanted(path=path, size=len(content), start=start, end=end)


def stored(cas: Cas, token: str = "", **changes) -> Stored:
    told = {"hash": cas.store.hashes[BIG], "address": cas.endpoint, "token": token, "expires": int(time.time()) + 3600}
    return Stored(**told | changes)


def stream(cas: Cas, content: bytes, start: int = 0, end: int | None = None, *, pace: Pace = PACE, **http) -> XetStream:
    return open_stream(stored(cas), wanted(content, start, end), pace, http_settings(**http))


def read_on(body, got: bytearray) -> None:
    """As `read`, into what is kept when it fails."""
    buffer = memoryview(bytearray(100_000))
    try:
        while count := body.read_into(buffer):
            got += buffer[:count]
    finally:
        body.close()


def read(body) -> bytes:
    got = bytearray()
    read_on(body, got)
    return bytes(got)


def same(got: bytes, content: bytes) -> bool:
    """Whether both are equal: compared here, since pytest would explain millions of differences."""
    return got == content
