"""The server of the benchmark: the hubs of `provision serve`, their large files by sendfile(2).

`provision.serve` streams through Python and would share the machine's cores with those who are measured; a kernel that
copies from the page cache to the socket takes a third of that. Run as a program: `serving.py ROOT` prints the hub's
address and that of the files, and serves until it is killed. `GET /sent` of the latter tells the bytes that have left.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from provision.serve.folder import MODELSCOPE, Folder
from provision.serve.server import Server

if TYPE_CHECKING:
    from starlette.requests import Request

    from provision.serve.snapshot import Entry

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_AT_ONCE = 1024 * 1024


class Files(ThreadingHTTPServer):
    """The files of `folder` by content, under `/HUB/ORG/NAME/SHA256`. `sent`: bytes that the kernel has taken."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Folder) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.sent = 0
        self._folder = folder
        self._guard = threading.Lock()

    def entry(self, path: str) -> Entry | None:
        hub, org, name, sha256 = path.strip("/").split("/")
        repository = self._folder.repository(hub, f"{org}/{name}")
        return repository.snapshot().with_sha256(sha256) if repository else None

    def count(self, sent: int) -> None:
        with self._guard:
            self.sent += sent

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that are killed are part of the benchmark."""


class Answer(BaseHTTPRequestHandler):
    """200 and 206 of one file, or the count."""

    protocol_version = "HTTP/1.1"
    server: Files

    def do_GET(self) -> None:
        if self.path == "/sent":
            self._short(200, str(self.server.sent))
        elif entry := self.server.entry(self.path):
            self._file(entry)
        else:
            self._short(404, "there is no such file")

    def _short(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def _file(self, entry: Entry) -> None:
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        end = min(int(asked[2]) + 1, entry.size) if asked and asked[2] else entry.size
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{entry.size}")
        self.send_header("Content-Length", str(end - start))
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("ETag", f'"{entry.sha256}"')
        if self.path.startswith(f"/{MODELSCOPE}/"):
            self.send_header("X-Linked-ETag", f'"{entry.sha256}"')
        self.end_headers()
        with entry.source.open("rb") as source:
            while start < end:
                taken = os.sendfile(self.connection.fileno(), source.fileno(), start, min(_AT_ONCE, end - start))
                self.server.count(taken)
                start += taken

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


class Hub(Server):
    """Both hubs, which send for large files to `files`."""

    def __init__(self, folder: Folder, files: Files) -> None:
        super().__init__(folder)
        self._files = files

    def signed(self, request: Request, path: str) -> str:  # noqa: ARG002 - the shape of what it stands for
        return f"http://127.0.0.1:{self._files.server_port}{path}"


def main(root: Path) -> None:
    folder = Folder(root)
    for _, repository in folder.repositories():
        repository.snapshot()  # hashed now, so that nobody waits for it later
    files = Files(folder)
    threading.Thread(target=files.serve_forever, daemon=True).start()
    with Hub(folder, files) as hub:
        print(hub.endpoint, f"http://127.0.0.1:{files.server_port}", flush=True)
        hub.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
