"""Connections of urllib3 that look at the deadline whenever something comes, and hand over what reads their answers.

To be imported where urllib3 is used. urllib3 gives bytes that it has allocated and copied; allocating alone costs more
than receiving. The standard library's answer, which urllib3 itself reads from, fills a buffer of the reader's own.
"""

from __future__ import annotations

import io
import os
import select
import socket
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPResponse, IncompleteRead, parse_headers
from ssl import SSLSocket
from typing import TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError
from urllib3.util.ssltransport import SSLTransport

from provision.hubs.deadline import check_deadline

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager


_SOON = 1
"""Milliseconds. A sender who is only a little slower than its reader would otherwise be asked for each packet."""

_AT_ONCE = 64
"""How often more is looked for in one call, so that few bytes which keep coming soon are not kept back for long.

TLS gives one record (16 KiB) at a time, however many have come: enough of them for a MiB.
"""


class _Incoming(io.RawIOBase):
    """What a socket receives."""

    def __init__(self, stream: io.RawIOBase, sock: socket.socket) -> None:
        self._stream, self._socket = stream, sock  # the one keeps the other open, and reads through more layers
        self.is_over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.is_over:
            return None
        check_deadline()  # before: what has come must be given
        return self._socket.recv_into(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Buffered(io.BufferedReader):
    """Asks the socket once for what a reader wants, not until the reader's buffer is full."""

    def readinto(self, buffer: Any) -> int:
        return self.readinto1(buffer)


class Answer(HTTPResponse):
    """The standard library's, which all of an answer is read through: status, headers, chunks and trailers."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._incoming = _Incoming(self.fp.detach(), sock)
        self.fp: Any = _Buffered(self._incoming)
        self._has_surplus = False
        self._socket, self._poll = sock, select.poll()
        self._poll.register(sock, select.POLLIN)

    def wait_at_most(self, seconds: float) -> None:
        """From here on, a silence of `seconds` is a TimeoutError."""
        self._socket.settimeout(seconds)

    def take(self, buffer: memoryview) -> int:
        """Wait for bytes of the body and fill `buffer` with those that are there at once; 0 at the end.

        Bytes go from the kernel, or the TLS library, into `buffer` itself; only those of chunked answers, by which
        nobody sends weights, are copied. A body that is shorter than its length ends in 0 as well.
        """
        if self.chunked:
            chunk = self.read1(len(buffer))
            if len(chunk) > len(buffer):  # the size of a chunk below zero
                raise IncompleteRead(chunk)
            buffer[: len(chunk)] = chunk
            return len(chunk)
        count = self.readinto(buffer)
        try:
            for _ in range(_AT_ONCE):
                more = self.readinto(buffer[count:]) if 0 < count < len(buffer) and self._has_more() else 0
                if not more:
                    break
                count += more
        except OSError:  # what came before it is given first; the next call meets it again
            return count
        return count

    def abandon(self) -> None:
        """End the connection below TLS, which is for one thread at a time, and wake whoever waits for it."""
        with suppress(OSError), socket.socket(fileno=os.dup(self._socket.fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)

    @property
    def is_read(self) -> bool:
        """Whether all of it has come, and nothing after it, so that its connection is free for another."""
        return self.isclosed() and not (self.length or self._has_surplus or _holds(self._socket))

    def _read_status(self) -> tuple[str, int, str]:
        """Of the answer itself; what comes before it means nothing to us (RFC 9110 §15.2)."""
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status >= 200 or status == HTTPStatus.SWITCHING_PROTOCOLS:
                return version, status, reason
            parse_headers(self.fp)

    def _close_conn(self) -> None:
        """All has been read, or is not wanted: what is left in the buffer belongs to no answer."""
        self._incoming.is_over = True
        self._has_surplus = not self.fp.closed and bool(self.fp.peek())
        super()._close_conn()  # type: ignore[misc]

    def _has_more(self) -> bool:
        """Whether something is there, or comes at once."""
        return not self.isclosed() and bool(self._poll.poll(_SOON))


def _holds(sock: Any) -> bool:
    """Whether TLS has received what nobody has read yet. What the system has received, urllib3 sees itself."""
    if isinstance(sock, SSLTransport):  # within the TLS of a proxy
        return bool(sock.sslobj.pending() or sock.incoming.pending) or _holds(sock.socket)
    return isinstance(sock, SSLSocket) and sock.pending() > 0


class _Answered:
    """A connection that remembers its latest answer."""

    answer: Answer

    def response_class(self, *arguments: Any, **options: Any) -> Answer:
        self.answer = Answer(*arguments, **options)
        return self.answer

    @property
    def is_connected(self) -> bool:
        """Whether it may serve the next request."""
        return super().is_connected and self.answer.is_read  # type: ignore[misc]


# What makes the answer is called alike: there it is a class, here a method.
class _Connection(_Answered, HTTPConnection):  # type: ignore[misc]
    pass


class _SecureConnection(_Answered, HTTPSConnection):  # type: ignore[misc]
    def connect(self) -> None:
        """What ends during the handshake never was a connection; urllib3 says so only of what ends before."""
        try:
            super().connect()
        except ConnectionError as error:
            raise NewConnectionError(self, "the handshake was cut") from error


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def timed(manager: PoolManager) -> PoolManager:
    """`manager`, whose connections heed `provision.hubs.deadline.within`."""
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return manager


def answer_of(response: BaseHTTPResponse) -> Answer:
    """What `response`, which nobody has read from yet, reads from. Its manager is `timed`."""
    connection: Any = response.connection
    answer: Answer = connection.answer
    return answer
