"""One file by HTTP, as cheaply as it goes: by sendfile(2), or as many zeros over TLS.

Run as a program: `sending.py FILE [CERTIFICATE KEY]` prints its address and serves until it is killed.
"""

from __future__ import annotations

import os
import re
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

AT_ONCE = 1024 * 1024
ZEROS = bytes(AT_ONCE)
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


class Sender(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, path: Path, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.path, self.size, self.tls = path, path.stat().st_size, tls
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients may leave as they like."""


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Sender

    def do_GET(self) -> None:
        whole = f"bytes=0-{self.server.size - 1}"
        start, last = map(int, _RANGE.fullmatch(self.headers.get("Range", whole)).groups())
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Range", f"bytes {start}-{last}/{self.server.size}")
        self.send_header("Content-Length", str(last + 1 - start))
        self.send_header("Content-Type", "application/octet-stream")
        self.end_headers()
        if self.server.tls:
            for left in range(last + 1 - start, 0, -AT_ONCE):
                self.connection.sendall(memoryview(ZEROS)[:left])
        else:
            self._send_file(start, last + 1)

    def _send_file(self, start: int, end: int) -> None:
        with self.server.path.open("rb") as source:
            while start < end:
                start += os.sendfile(self.connection.fileno(), source.fileno(), start, min(AT_ONCE, end - start))

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def main(path: str, *certificate: str) -> None:
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificate)
    sender = Sender(Path(path), tls)
    print(f"{'https' if tls else 'http'}://127.0.0.1:{sender.server_port}/file", flush=True)
    sender.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
