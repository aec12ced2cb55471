"""Places where nobody answers, or not to the end: a name without a meaning, a closed port, connections that are reset.

Each is a context manager, for a piece of THREE, that yields a `Place`.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import struct
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fill_bed import SIZES, THREE, content
from loopback_tls import Certificate
from raw_server import RESET, RawServer, head

from provision.digest import piece_span

K = 1_500_000
"""Bytes that come before a reset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`words`: what the system says of it. `log`: what was heard there. `settings`: what is needed to go there."""

    address: str
    words: str = ""
    log: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)


@contextmanager
def unknown_name(_piece=0):
    name = "hub.invalid"  # RFC 2606: no such name will ever be
    try:
        socket.getaddrinfo(name, 443)
    except socket.gaierror as error:
        yield Place(address=f"https://{name}", words=error.strerror)
    else:
        pytest.skip("this network has an address for every name")


@contextmanager
def closed_port(_piece=0):
    with socket.create_server(("127.0.0.1", 0)) as once_open:
        port = once_open.getsockname()[1]
    yield Place(address=f"http://127.0.0.1:{port}", words=os.strerror(errno.ECONNREFUSED))


@contextmanager
def reset_handshake(_piece=0):
    """Each connection ends with RST after the first byte of the client's hello."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    heard.append(connection.recv(1).decode("latin-1"))
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        port = listening.getsockname()[1]
        yield Place(address=f"https://127.0.0.1:{port}", words=os.strerror(errno.ECONNRESET), log=heard)
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@contextmanager
def reset_body(piece=0, tls=None, **settings):
    """The piece, honestly announced, and reset after K bytes."""
    begin, end = piece_span(piece, SIZES[THREE])
    part = {"Content_Range": f"bytes {begin}-{end - 1}/{SIZES[THREE]}", "Content_Length": end - begin}
    answer = head("206 Partial Content", **part) + content(THREE)[begin : begin + K] + RESET
    with RawServer(answer, tls=tls) as server:
        yield Place(address=server.address, log=server.log, settings=settings)


@contextmanager
def reset_tls_body(piece=0):
    """As `reset_body`, inside TLS."""
    with tempfile.TemporaryDirectory() as folder:
        certificate = Certificate.made_in(Path(folder))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.bundle, certificate.key)
        with reset_body(piece, context, ca_bundle=str(certificate.bundle)) as place:
            yield place
