"""The trivial client: receives addresses and throws the bytes away. Run as a program: `wire.py STREAMS URL…`.

Requests are written out and answers hardly read, so that it costs less than any client that does something with them.
"""

from __future__ import annotations

import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

READ_SIZE = 1024 * 1024


class Origin:
    """One kept connection. Answers must tell their length."""

    def __init__(self, netloc: str) -> None:
        host, _, port = netloc.partition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._head = self._socket.makefile("rb")
        self._buffer = bytearray(READ_SIZE)
        self._netloc = netloc

    def receive(self, target: str) -> str | None:
        """Ask for `target` and read to the end; where it redirects, the address."""
        self._socket.sendall(f"GET {target} HTTP/1.1\r\nHost: {self._netloc}\r\n\r\n".encode())
        status = int(self._head.readline().split()[1])
        headers = dict(line.decode().rstrip().split(": ", 1) for line in iter(self._head.readline, b"\r\n"))
        told = {name.lower(): value for name, value in headers.items()}
        self._drain(int(told["content-length"]))
        if status not in {200, 302}:
            raise ConnectionError(f"{target} answered {status}")
        return told["location"] if status == 302 else None

    def _drain(self, left: int) -> None:
        while left:
            read = self._head.readinto(memoryview(self._buffer)[: min(left, READ_SIZE)])
            if not read:
                raise ConnectionError("an answer ended too early")
            left -= read


def receive(urls: list[str]) -> None:
    """All of `urls`, one after the other."""
    origins: dict[str, Origin] = {}
    for url in urls:
        address: str | None = url
        while address:
            parts = urlsplit(address)
            origin = origins.get(parts.netloc) or origins.setdefault(parts.netloc, Origin(parts.netloc))
            address = origin.receive(f"{parts.path}?{parts.query}" if parts.query else parts.path)


def main(streams: int, urls: list[str]) -> None:
    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(receive, [urls[start::streams] for start in range(streams)]))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
