"""A folder over https on loopback: the standard library's own file server, with a certificate that nobody knows."""

from __future__ import annotations

import functools
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate for 127.0.0.1 and its key; the certificate is also the bundle of those who should believe it."""

    bundle: Path
    key: Path

    @classmethod
    def made_in(cls, folder: Path) -> Certificate:
        if shutil.which("openssl") is None:
            pytest.skip("the openssl program makes the certificate, and is not installed")
        made = cls(bundle=folder / "certificate.pem", key=folder / "key.pem")
        words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
        names = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(made.bundle), "-keyout", str(made.key)]
        subprocess.run([*words.split(), *names], check=True, capture_output=True)
        return made


@dataclass(slots=True, kw_only=True)
class WebServer:
    """Where the folder is, as `HOST:PORT`, and what was asked: the target and the headers of each request."""

    host: str
    log: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@contextmanager
def serving(folder: Path, certificate: Certificate) -> Iterator[WebServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.bundle, certificate.key)

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, *_: object) -> None:
            web.log.append((self.path, dict(self.headers.items())))

        def log_error(self, *_: object) -> None:
            """The client says what is wrong."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    web = WebServer(host=f"127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
