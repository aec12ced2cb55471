"""The trivial client: receives every address at once and throws the bytes away. Run as a program: `wire.py URL…`."""

from __future__ import annotations

import sys
import threading
from urllib.request import ProxyHandler, build_opener

READ_SIZE = 1024 * 1024


def receive(url: str) -> None:
    """Read the answer, after its redirects, to its end."""
    buffer = bytearray(READ_SIZE)
    with build_opener(ProxyHandler({})).open(url) as answer:
        while answer.readinto(buffer):
            pass


def main(urls: list[str]) -> None:
    threads = [threading.Thread(target=receive, args=(url,)) for url in urls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1:])
