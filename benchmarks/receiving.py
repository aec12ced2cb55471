"""HTTP clients, each made to receive a file over some connections and throw it away.

Run as a program: `receiving.py CLIENT URL SIZE CONNECTIONS [CA_BUNDLE]`. Each connection brings its share, by
range, into one buffer that is used again where the client can do that.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AT_ONCE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Bytes `start` to `end` (exclusive) of the `size` at `url`, whose certificate `ca` vouches for."""

    url: str
    size: int
    start: int
    end: int
    ca: str | None

    @property
    def headers(self) -> dict[str, str]:
        return {"Range": f"bytes={self.start}-{self.end - 1}", "Accept-Encoding": "identity"}


def provision(task: Task) -> int:
    from provision.buffer import new_buffer
    from provision.hubs import Location
    from provision.hubs.http import Http, HttpSettings, Wanted

    http = Http(HttpSettings(user_agent="bench", now=time.time, ca_bundle=task.ca))
    wanted = Wanted(path="file", size=task.size, start=task.start, end=task.end)
    with closing(http.open(Location(url=task.url), wanted)) as stream:
        return _filled(stream.read_into, new_buffer(AT_ONCE))


def urllib3_read1(task: Task) -> int:
    import urllib3

    pool = urllib3.PoolManager(ca_certs=task.ca)
    response = pool.request("GET", task.url, headers=task.headers, preload_content=False)
    came = sum(map(len, iter(lambda: response.read1(AT_ONCE), b"")))
    response.release_conn()
    return came


def http_client(task: Task) -> int:
    address = urlsplit(task.url)
    context = ssl.create_default_context(cafile=task.ca) if task.ca else None
    connection = HTTPSConnection(address.netloc, context=context) if context else HTTPConnection(address.netloc)
    connection.request("GET", address.path, headers=task.headers)
    with closing(connection), connection.getresponse() as response:
        return _filled(response.readinto, memoryview(bytearray(AT_ONCE)))


def httpx(task: Task) -> int:
    import httpx

    return _streamed(httpx, task)


def httpx2(task: Task) -> int:
    import httpx2

    return _streamed(httpx2, task)


def pycurl(task: Task) -> int:
    import pycurl

    came = [0]

    def take(data: bytes) -> None:
        came[0] += len(data)

    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, task.url)
    curl.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in task.headers.items()])
    curl.setopt(pycurl.BUFFERSIZE, 512 * 1024)  # the most that it takes
    curl.setopt(pycurl.WRITEFUNCTION, take)
    if task.ca:
        curl.setopt(pycurl.CAINFO, task.ca)
    curl.perform()
    curl.close()
    return came[0]


def aiohttp(tasks: list[Task]) -> int:
    import aiohttp

    async def one(session: aiohttp.ClientSession, task: Task) -> int:
        context = ssl.create_default_context(cafile=task.ca) if task.ca else True
        async with session.get(task.url, headers=task.headers, ssl=context) as response:
            return sum([len(data) async for data in response.content.iter_any()])

    async def all_of_them() -> int:
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(read_bufsize=AT_ONCE, timeout=timeout) as session:
            return sum(await asyncio.gather(*[one(session, task) for task in tasks]))

    return asyncio.run(all_of_them())


def _filled(read_into: Callable[[memoryview], int], buffer: memoryview) -> int:
    came = 0
    while count := read_into(buffer):
        came += count
    return came


def _streamed(client: object, task: Task) -> int:
    verify = ssl.create_default_context(cafile=task.ca) if task.ca else True
    with client.Client(verify=verify) as session, session.stream("GET", task.url, headers=task.headers) as response:
        return sum(map(len, response.iter_raw()))


def _in_threads(receive: Callable[[Task], int]) -> Callable[[list[Task]], int]:
    def received(tasks: list[Task]) -> int:
        with ThreadPoolExecutor(len(tasks)) as pool:
            return sum(pool.map(receive, tasks))

    return received


BY_THREADS = (provision, urllib3_read1, http_client, httpx, httpx2, pycurl)
CLIENTS: dict[str, Callable[[list[Task]], int]] = {
    **{receive.__name__: _in_threads(receive) for receive in BY_THREADS},
    "aiohttp": aiohttp,
}


def shares(url: str, size: int, connections: int, ca: str | None) -> Iterator[Task]:
    step = -(-size // connections)
    for start in range(0, size, step):
        yield Task(url=url, size=size, start=start, end=min(size, start + step), ca=ca)


def main(client: str, url: str, size: int, connections: int, ca: str | None = None) -> None:
    came = CLIENTS[client](list(shares(url, size, connections, ca)))
    if came != size:
        raise AssertionError(f"{client} received {came:,} of {size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
