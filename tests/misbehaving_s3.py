"""An S3 server that misbehaves on demand: a proxy before an honest one, with rules and a log.

    with MisbehavingS3(honest_address) as s3:
        s3.rules.append(Rule("GET", "a.bin", cut(100), times=1))
        ...
        assert [request.method for request in s3.log] == ["HEAD", "GET", "GET"]

A rule's behaviour is given the handler and the honest answer, and says what is sent. First match first.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, its headers, its bytes."""

    status: int
    headers: dict[str, str]
    body: bytes = b""

    def but(self, **headers: str | None) -> Reply:
        """With these headers in the place of its own (`_` stands for `-`); None takes one away."""
        changed = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in changed}
        return replace(self, headers=kept | {name: value for name, value in changed.items() if value is not None})


@dataclass(slots=True)
class Asked:
    """One request, and how many bytes of the body were sent for it."""

    method: str
    path: str
    query: str
    headers: dict[str, str] = field(repr=False)
    status: int = 0
    sent: int = 0

    @property
    def range(self) -> str | None:
        return self.headers.get("Range")


Behaviour = Callable[["_Handler", Reply], None]


@dataclass(slots=True)
class Rule:
    """What happens to requests of `method` ("" for any) whose key holds `part`; None `times`: to all of them."""

    method: str
    part: str
    behaviour: Behaviour
    times: int | None = None

    def takes(self, method: str, path: str) -> bool:
        if self.times == 0 or self.method not in {"", method} or self.part not in path:
            return False
        self.times = None if self.times is None else self.times - 1
        return True


class MisbehavingS3:
    def __init__(self, honest: str) -> None:
        self.rules: list[Rule] = []
        self.log: list[Asked] = []
        self.honest = urlsplit(honest).netloc
        owner = self

        class Handler(_Handler):
            bed = owner

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def asked(self, part: str, method: str = "") -> list[Asked]:
        return [one for one in self.log if part in one.path and method in {"", one.method}]


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        pass  # clients leave when they like


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bed: MisbehavingS3
    asked: Asked

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.asked = Asked(self.command, unquote(parts.path), parts.query, dict(self.headers))
        self.bed.log.append(self.asked)
        rule = next((rule for rule in self.bed.rules if rule.takes(self.command, self.asked.path)), None)
        reply = self._honest()
        try:
            (rule.behaviour if rule else honestly)(self, reply)
        except OSError:
            self.close_connection = True  # the client has left, which is its right

    do_HEAD = do_GET  # noqa: N815 - http.server calls it so

    def _honest(self) -> Reply:
        connection = http.client.HTTPConnection(self.bed.honest, timeout=30)
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection.request(self.command, self.path, data or None, dict(self.headers))
        answer = connection.getresponse()
        dropped = {"connection", "transfer-encoding", "server", "date"}
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in dropped}
        body = answer.read()
        connection.close()
        if self.command != "HEAD":
            headers = Reply(0, headers).but(content_length=str(len(body))).headers
        return Reply(answer.status, headers, body)

    def begin(self, reply: Reply) -> None:
        self.asked.status = reply.status
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, data: bytes) -> None:
        if self.command == "HEAD":
            return
        for at in range(0, len(data), 64 * 1024):
            part = data[at : at + 64 * 1024]
            self.asked.sent += len(part)  # before: a client that has all of it may look at once
            self.connection.sendall(part)

    def log_message(self, *_: object) -> None:
        pass


def honestly(handler: _Handler, reply: Reply) -> None:
    handler.begin(reply)
    handler.send(reply.body)


def changed(change: Callable[[Reply], Reply]) -> Behaviour:
    """The honest answer, changed."""
    return lambda handler, reply: honestly(handler, change(reply))


def answers(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    """This answer and no other."""
    reply = Reply(status, {"Content-Length": str(len(body))}, body).but(**headers)
    return lambda handler, _: honestly(handler, reply)


def refuses(status: int, code: str, message: str = "") -> Behaviour:
    """S3's way to say no."""
    text = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return answers(status, text.encode(), content_type="application/xml")


def cut(after: int, *, reset: bool = False) -> Behaviour:
    """So many bytes of the body, then the connection ends."""

    def cutting(handler: _Handler, reply: Reply) -> None:
        handler.begin(reply)
        handler.send(reply.body[:after])
        if reset:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True

    return cutting


def late(over: threading.Event, seconds: float) -> Behaviour:
    """The honest answer, which begins after so many seconds, or when it is `over`."""

    def waiting(handler: _Handler, reply: Reply) -> None:
        over.wait(seconds)
        honestly(handler, reply)

    return waiting


def silent(over: threading.Event, after: int = 0) -> Behaviour:
    """So many bytes of the body, then nothing until `over`."""

    def waiting(handler: _Handler, reply: Reply) -> None:
        handler.begin(reply)
        handler.send(reply.body[:after])
        over.wait(60)
        handler.close_connection = True

    return waiting
