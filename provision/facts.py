"""Facts: what is promised of a file, as its hub has it now: its sha256, and what a safetensors header says.

A hub gives a sha256, or the file is read through. Headers are read by range. What was read is kept as an excerpt.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.errors import ConnectionCut, DigestMismatch, HeaderMismatch
from provision.fitting import DOCUMENT
from provision.hubs.http import Wanted
from provision.lock import HeaderFacts
from provision.names import shown
from provision.tensorfile import HEADER_LENGTH_BYTES, header_length, parse_header

if TYPE_CHECKING:
    from provision.crew import Stop
    from provision.digest import Digest
    from provision.fitting import Excerpts
    from provision.hubs import Pin, RemoteFile
    from provision.hubs.supply import Supply


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A file as it is listed at a pin of the hub whose scheme is `hub`. Also the key of its excerpt."""

    hub: str
    pin: Pin
    remote: RemoteFile


class Facts:
    """Asks hubs for facts, on any thread. Each method raises HubRefused and HubUnavailable besides."""

    def __init__(self, supply: Supply, excerpts: Excerpts, stop: Stop) -> None:
        self._supply, self._excerpts, self._stop = supply, excerpts, stop

    def sha256(self, listed: Listed) -> str:
        """Of its bytes. Raises DigestMismatch where they are not what the hub lists."""
        digest = listed.remote.digest
        if digest is not None and digest.algorithm == "sha256":
            return digest.value
        return self._read_sha256(listed, digest)

    def _read_sha256(self, listed: Listed, expected: Digest | None) -> str:
        """The sha256 of a file that its hub gives none for, read whole and checked against the git blob id, if any."""
        size = listed.remote.size
        reading = _Reading(size, keep=size <= DOCUMENT and listed.remote.path.endswith(".json"))
        self._supply.retry.call(lambda: self._read_on(listed, reading), position=lambda: reading.offset)
        blob = reading.git.hexdigest()
        if expected is not None and blob != expected.value:
            raise DigestMismatch(
                f"{shown(listed.remote.path)}: the hub lists it as {expected}, its bytes are git:{blob}",
                hint="something between you and the hub changes files: check proxies and mirrors, then run it again",
            )
        if reading.kept:
            self._excerpts.keep(listed, b"".join(reading.kept))
        return reading.sha256.hexdigest()

    def _read_on(self, listed: Listed, reading: _Reading) -> None:
        remote = listed.remote
        if remote.size == 0:
            return
        wanted = Wanted(path=remote.path, size=remote.size, start=reading.offset)
        with closing(self._supply.open(listed.hub, listed.pin, wanted)) as body:
            skip = reading.offset - body.start
            for chunk in body.chunks():
                self._stop.check()
                reading.take(chunk[skip:])
                skip = max(0, skip - len(chunk))
                if reading.offset == remote.size:
                    return
        raise ConnectionCut(f"{body.host} ended its answer early for {shown(remote.path)}")

    def header(self, listed: Listed) -> HeaderFacts | None:
        """Of a safetensors file, None of another. Raises HeaderMismatch where it is none."""
        remote = listed.remote
        if not remote.path.endswith(".safetensors"):
            return None
        try:
            prefix = self.range(listed, 0, min(HEADER_LENGTH_BYTES, remote.size))
            length = header_length(prefix, remote.size)
            head = prefix + self.range(listed, len(prefix), len(prefix) + length)
            header = parse_header(head, remote.size)
        except HeaderMismatch as error:
            raise HeaderMismatch(
                f"{shown(remote.path)} of {listed.pin.repository}: {error.message}",
                hint="the file is broken on its hub: exclude it, or choose another revision",
            ) from error
        self._excerpts.keep(listed, head)
        return HeaderFacts(
            sha256=header.sha256,
            tensors=len(header.tensors),
            parameters=header.parameters,
            dtypes=tuple(sorted(header.dtypes.items())),
        )

    def range(self, listed: Listed, start: int, end: int) -> bytes:
        """Its bytes from `start` up to `end`."""
        if start == end:
            return b""
        remote = listed.remote
        wanted = Wanted(path=remote.path, size=remote.size, start=start, end=end)
        return self._supply.read(listed.hub, listed.pin, wanted)


class _Reading:
    """The digests of a file that is read through; its bytes too, where they are to be kept."""

    def __init__(self, size: int, *, keep: bool) -> None:
        self.size, self.offset = size, 0
        self.kept: list[bytes] = []
        self._keeps = keep
        self.sha256 = hashlib.sha256()
        self.git = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)

    def take(self, data: bytes) -> None:
        data = data[: self.size - self.offset]
        self.sha256.update(data)
        self.git.update(data)
        self.offset += len(data)
        if self._keeps:
            self.kept.append(bytes(data))
