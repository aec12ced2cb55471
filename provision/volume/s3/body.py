"""The bytes of an object as they come: cut and silent answers are errors of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provision.buffer import new_buffer
from provision.errors import VolumeTrouble
from provision.volume.s3.faults import foreign_faults

if TYPE_CHECKING:
    from provision.volume.s3.answer import Span
    from provision.volume.s3.settings import S3Settings

READ_SIZE = 256 * 1024
"""Most bytes taken from a socket at once: what a connection that is reset takes with it."""


class Body:
    """An answer being read. `position` is the offset, in the object, of the next byte; `end` that after the last."""

    def __init__(self, stream: Any, span: Span, what: str, settings: S3Settings) -> None:
        self.start, self.end = span
        self.position = self.start
        self._stream, self._what, self._settings = stream, what, settings

    def read_into(self, buffer: memoryview) -> int:
        """Some bytes into `buffer`, at least one; 0 only at the end.

        Raises:
            VolumeTrouble: they ended early, or came too late, or there are more than were announced.
        """
        room = buffer[: min(READ_SIZE, self.end - self.position)]
        count = self._read(room) if room else 0
        if room and not count:
            raise VolumeTrouble(f"{self._what}: the answer ended early", hint="run the same command again")
        self.position += count
        if count and self.position == self.end:
            self._check_end()
        return count

    def skip_to(self, offset: int) -> None:
        """Pass over what comes before `offset`, from a server that sends everything. Raises as `read_into`."""
        scratch = new_buffer(READ_SIZE)
        while self.position < offset:
            self.read_into(scratch[: offset - self.position])

    def close(self) -> None:
        """Let go of the connection; one that was read to its end serves the next request."""
        self._stream.close()

    def _check_end(self) -> None:
        if self._read(memoryview(bytearray(1))):
            raise VolumeTrouble(f"{self._what}: the answer has more bytes than it should", hint="run it again")

    def _read(self, room: memoryview) -> int:
        with foreign_faults(self._what, self._settings):
            return int(self._stream.readinto(room))
