"""The server of the benchmark: the hubs of `provision serve`, with the bytes of files sent faster.

`provision.serve` streams through Python and would share the machine's cores with those who are measured. Here large
files go by sendfile(2), which takes a third of that; small ones come from memory, through the same HTTP server. What
is served must not change: it is listed once.

Run as a program: `serving.py ROOT HOST [CONGESTION]` prints the hub's address and that of the files; then it answers
every line of its standard input with the count of bytes of files that have left, until there are no more lines.
CONGESTION is the control of the connections that carry large files (tcp(7), TCP_CONGESTION).
"""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from provision.serve.cdn import address
from provision.serve.folder import HUGGINGFACE, MODELSCOPE, Folder, Repository
from provision.serve.server import Binding, Server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from provision.serve.snapshot import Entry, Snapshot

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_AT_ONCE = 1024 * 1024


class Count:
    """Bytes of files that have been given to the kernel to send."""

    def __init__(self) -> None:
        self.value = 0
        self._guard = threading.Lock()

    def add(self, sent: int) -> None:
        with self._guard:
            self.value += sent


class Still(Repository):
    """A repository that does not change. To list 2,000 files anew for each request would take 20 ms each time."""

    _listed: Snapshot | None = None

    def snapshot(self) -> Snapshot:
        self._listed = self._listed or super().snapshot()
        return self._listed


class StillFolder(Folder):
    """A folder that does not change."""

    def make(self, name: str, place: Path) -> Repository:
        return Still(name=name, root=place, within=self.root, digests=self._digests)


class Files(ThreadingHTTPServer):
    """Large files by their address on the CDN."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, entries: Mapping[str, Entry], count: Count) -> None:
        super().__init__((host, 0), Answer)
        self.entries = entries
        self.count = count

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that are killed are part of the benchmark."""


class Answer(BaseHTTPRequestHandler):
    """200 and 206 of one file."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Files

    def do_GET(self) -> None:
        if entry := self.server.entries.get(self.path):
            self._file(entry)
        else:
            self.send_error(404)

    def _file(self, entry: Entry) -> None:
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        end = min(int(asked[2]) + 1, entry.size) if asked and asked[2] else entry.size
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{entry.size}")
        self.send_header("Content-Length", str(end - start))
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{entry.sha256}"')
        if self.path.startswith(f"/{MODELSCOPE}/"):
            self.send_header("X-Linked-ETag", f'"{entry.sha256}"')
        self.end_headers()
        with entry.source.open("rb") as source:
            while start < end:
                taken = os.sendfile(self.connection.fileno(), source.fileno(), start, min(_AT_ONCE, end - start))
                self.server.count.add(taken)
                start += taken

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


class Hub(Server):
    """Both hubs: they send for large files to `files`, and take small ones from memory."""

    def __init__(self, folder: Folder, files: Files, host: str) -> None:
        super().__init__(folder, binding=Binding(host=host))
        self._files = files
        for listening in self._ports._sockets:  # noqa: SLF001 - else the body waits 40 ms for the headers' ACK
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.hub = from_memory(self.hub, small_files(folder), files.count)

    def signed(self, request: Request, path: str) -> str:  # noqa: ARG002 - the shape of what it stands for
        return f"http://{self._binding.host}:{self._files.server_port}{path}"


def small_files(folder: Folder) -> dict[str, tuple[list[tuple[bytes, bytes]], bytes]]:
    """Headers and bytes of every file that a hub answers itself: by path, at ModelScope with the name of the file."""
    found = {}
    for hub, repository in folder.repositories():
        snapshot = repository.snapshot()
        own = [(b"x-repo-commit", snapshot.commit.encode())] if hub == HUGGINGFACE else []
        for entry in (entry for entry in snapshot.entries if not entry.lfs):
            headers = [(b"etag", f'"{entry.oid}"'.encode()), (b"content-length", str(entry.size).encode()), *own]
            for place in _places(hub, snapshot, entry.path):
                found[place] = headers, entry.source.read_bytes()
    return found


def _places(hub: str, snapshot: Snapshot, path: str) -> list[str]:
    if hub == MODELSCOPE:
        return [f"/api/v1/models/{snapshot.name}/repo?{path}"]
    return [f"/{snapshot.name}/resolve/{revision}/{path}" for revision in ("main", snapshot.commit)]


def from_memory(app: ASGIApp, files: Mapping[str, tuple[list[tuple[bytes, bytes]], bytes]], count: Count) -> ASGIApp:
    """`app`, but for `files` as they were asked for whole: past its routes, threads and reads from disk."""

    async def quick(scope: Scope, receive: Receive, send: Send) -> None:
        name = parse_qs(scope["query_string"].decode()).get("FilePath")
        answer = files.get(f"{scope['path']}?{name[0]}" if name else scope["path"])
        if answer is None or any(header == b"range" for header, _ in scope["headers"]):
            await app(scope, receive, send)
            return
        headers, body = answer
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] != "HEAD":
            count.add(len(body))
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return quick


def main(root: Path, host: str, congestion: str = "") -> None:
    folder, count = StillFolder(root), Count()
    entries = {
        address(hub, snapshot.name, entry): entry
        for hub, repository in folder.repositories()
        if (snapshot := repository.snapshot())
        for entry in snapshot.entries
    }
    files = Files(host, entries, count)
    if congestion:
        files.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
    threading.Thread(target=files.serve_forever, daemon=True).start()
    with Hub(folder, files, host) as hub:
        print(hub.endpoint, f"http://{host}:{files.server_port}", flush=True)
        for _ in sys.stdin:
            print(count.value, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
