"""A parcel: a small file that one answer brings whole. It is proven in memory before a byte of it is written.

That is how nearly all small files come, and there is nothing to divide, to share or to resume: it takes a fraction of
what an assembly does. Whatever else happens, an error, an early end, other bytes, is played once more to an assembly,
which has the patience and the judgement for it. Nobody is asked a second time for that.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from provision.errors import HubRefused, HubUnavailable, PromiseBroken
from provision.hubs.http import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.errors import ProvisionError
    from provision.hubs import Pace, Stream
    from provision.lock import LockedFile
    from provision.transfer.suppliers import Supplier

LARGEST = 256 * 1024
"""Bytes of a parcel at most. Each connection holds one."""


class Parcel:
    """What came when `file` was asked for: `data` as far as it came, and the `error` that ended it, if any."""

    def __init__(self, file: LockedFile) -> None:
        self.data = memoryview(bytearray(file.size))
        self.came = 0
        self.error: ProvisionError | None = None
        self._file = file
        self._stream: Stream | None = None

    @property
    def is_proven(self) -> bool:
        """Whether it holds exactly the promised bytes."""
        return self.came == self._file.size and sha256(self.data).hexdigest() == self._file.sha256

    def fetch(self, supplier: Supplier, pace: Pace | None, check: Callable[[], None]) -> None:
        """Ask `supplier` once. `check` is called before each reading, and may raise."""
        wanted = Wanted(path=self._file.path, size=self._file.size, sha256=self._file.sha256)
        try:
            with closing(supplier.open(wanted, pace)) as stream:
                self._stream = stream
                while self.came < len(self.data) and (count := self._read(stream, check)):
                    self.came += count
        except (HubRefused, HubUnavailable, PromiseBroken) as error:
            self.error = error

    def _read(self, stream: Stream, check: Callable[[], None]) -> int:
        check()
        return stream.read_into(self.data[self.came :])

    def played_by(self, supplier: Supplier) -> Supplier:
        """`supplier`, whose next answer is the one that came."""
        answers = [self._replay]

        def opened(wanted: Wanted, pace: Pace | None) -> Stream:
            return answers.pop()() if answers else supplier.open(wanted, pace)

        return replace(supplier, open=opened)

    def _replay(self) -> Stream:
        if self._stream is None:
            raise self.error or HubUnavailable("nothing came")
        return _Played(self._stream, self.data[: self.came], self.error)


class _Played:
    """A `Stream` that has been read before."""

    def __init__(self, stream: Stream, data: memoryview, error: ProvisionError | None) -> None:
        self.start, self.end, self.host = stream.start, stream.end, stream.host
        self._rest, self._error = data, error

    def read_into(self, buffer: memoryview) -> int:
        """As `Stream.read_into`."""
        if not self._rest and self._error is not None:
            raise self._error
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

    def abandon(self) -> None:
        """Nobody waits for it."""

    def close(self) -> None:
        """It is closed."""
