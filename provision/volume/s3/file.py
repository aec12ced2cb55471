"""One open file of a volume that is reached through S3."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Self

from provision.errors import VolumeTrouble
from provision.volume.s3.answer import ReplacedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType

    from provision.volume.s3.answer import ObjectFacts
    from provision.volume.s3.body import Body
    from provision.volume.s3.client import Client

    _Answer = AbstractContextManager[Body]

BEGINNING = 64 * 1024
"""Bytes that come with the first of them: enough for most headers, in one request."""

_AHEAD = 4
"""Who reads on where an answer ended is given so many times its length in the next."""


class S3File:
    """An object as a `Readable`. Bytes that came before a connection broke never come again.

    Reading on where the last reading ended goes on in the same answer, which ends at most a few times further than
    what was read so far: all of a file comes in few requests, a piece of it without much else. Readers of one file at
    several places at once are each right, but not fast.

    Raises (each method):
        VolumeTrouble: another object is there by now.
        VolumeError: as the client does.
    """

    def __init__(self, client: Client, target: str, facts: ObjectFacts) -> None:
        self.path = client.name(target)
        self._client, self._target, self._facts = client, target, facts
        self._guard = threading.Lock()
        self._standing: Body | None = None
        self._following = (0, 0)  # an offset, and how many bytes to ask for there
        self._beginning = b""
        self._is_old = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def stat(self) -> ObjectFacts:
        """What is known of it now: asked anew after `read_into`, which takes long."""
        if not self._is_old:
            return self._facts
        now, then = self._client.head(self._target), self._facts
        if now is None:
            raise self._replaced()
        if (now.st_size, now.st_mtime_ns) == (then.st_size, then.st_mtime_ns):
            if _is_other(now, then):
                raise self._replaced()
            self._is_old = False
        return now

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; fewer only where the file ends."""
        end = min(offset + length, self._facts.st_size)
        if offset >= end:
            return b""
        if end <= BEGINNING and not self._beginning:
            self._beginning = self._exactly(0, min(BEGINNING, self._facts.st_size))
        known = self._beginning[offset:end]
        at = offset + len(known)
        return known + self._exactly(at, end) if at < end else known

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill `buffer` from `offset`; how many bytes that was, fewer only where the file ends."""
        count = max(0, min(len(buffer), self._facts.st_size - offset))
        if count:
            self._is_old = True
            self._fill(offset, buffer[:count], self._streamed)
        return count

    def close(self) -> None:
        """Give its connection back; more than once does nothing."""
        body = self._taken()
        if body is not None:
            body.close()

    def _exactly(self, offset: int, end: int) -> bytes:
        data = bytearray(end - offset)
        self._fill(offset, memoryview(data), self._alone)
        return bytes(data)

    def _fill(self, offset: int, buffer: memoryview, answer_at: Callable[[int, int], _Answer]) -> None:
        """All of `buffer`, through as many answers as it takes: after one has broken, the next begins at the byte where
        it ended. `answer_at(offset, length)` is one that begins there.
        """
        done = 0

        def go_on() -> None:
            nonlocal done
            while done < len(buffer):
                with answer_at(offset + done, len(buffer) - done) as body:
                    while done < len(buffer) and (count := body.read_into(buffer[done:])):
                        done += count

        try:
            self._client.patiently(go_on, lambda: done)
        except ReplacedError:
            raise self._replaced() from None

    @contextmanager
    def _alone(self, offset: int, length: int) -> Iterator[Body]:
        with closing(self._client.open(self._target, (offset, offset + length), self._facts)) as body:
            yield body

    @contextmanager
    def _streamed(self, offset: int, length: int) -> Iterator[Body]:
        """The answer that stands at `offset`, else a new one; what is left of it stands for who reads on."""
        body = self._taken()
        if body is None or body.position != offset:
            if body is not None:
                body.close()
            following, ahead = self._following
            end = offset + max(length, ahead if following == offset else 0)
            body = self._client.open(self._target, (offset, min(end, self._facts.st_size)), self._facts)
        sound = False
        try:
            yield body
            sound = True
        finally:
            self._leave(body, sound=sound)

    def _leave(self, body: Body, *, sound: bool) -> None:
        left = body.end - body.position
        old: Body | None = body
        if sound and left:
            with self._guard:
                old, self._standing = self._standing, body
        else:
            self._following = (body.position, left or _AHEAD * (body.end - body.start))
        if old is not None:
            old.close()

    def _taken(self) -> Body | None:
        with self._guard:
            body, self._standing = self._standing, None
        return body

    def _replaced(self) -> VolumeTrouble:
        return VolumeTrouble(
            f"{self.path} was replaced while it was read",
            hint="run the same command again when nobody writes to the volume",
        )


def _is_other(now: ObjectFacts, then: ObjectFacts) -> bool:
    return now.etag is not None and then.etag is not None and now.etag != then.etag
