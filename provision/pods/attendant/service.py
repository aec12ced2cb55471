"""The account by HTTP, for the renter and for people. It stands at a public address: small bounded requests, a token
for all that is said, and no way to keep it busy.
"""

from __future__ import annotations

import hmac
import json
import socket
import sys
import threading
from base64 import b64encode
from contextlib import suppress
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from re import DOTALL, findall
from typing import TYPE_CHECKING, Any, Self

from provision import __version__
from provision.errors import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from provision.pods.attendant.account import Account
    from provision.pods.attendant.duty import Duty

OPEN = 64
"""Connections at once; more are closed."""

STRANGERS = 48
"""Connections at once that have not shown the token. For one more, the oldest of them is closed: whoever has the token
shows it at once.
"""

LIFE = 90.0
"""Seconds after which a connection is closed, whatever it does: RunPod's proxy waits for 100."""

WAIT = 10.0
"""Seconds that a stranger has in all, however it sends its request."""

WATCHED = 5.0
"""A page that has asked within so many seconds is being looked at."""

BODY = 4096
"""Bytes of a request's body, of which none is of use."""


class Service(ThreadingHTTPServer):
    """Answers from `account` until it is closed; a context. `taken` is set when the renter has the result, `viewed`
    when a page in a browser has it too.

    Raises OSError where the port cannot be had.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = OPEN

    def __init__(self, duty: Duty, account: Account) -> None:
        self.account = account
        self.taken = threading.Event()
        self.viewed = threading.Event()
        self.page = (files(__package__) / "page.html").read_bytes()
        self.policy = _policy(self.page.decode())
        self._duty = duty
        self._lock = threading.Lock()
        self._open: dict[Any, float] = {}
        self._known: set[Any] = set()
        self._watched = duty.ticks() - WATCHED
        super().__init__((duty.host, duty.port), _Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()

    def watch(self) -> None:
        """A page in a browser has asked."""
        self._watched = self._duty.ticks()

    @property
    def is_watched(self) -> bool:
        """Whether somebody looks at the page."""
        return self._duty.ticks() - self._watched < WATCHED

    def may_ask(self, authorization: str) -> bool:
        """Whether that is our token. Without a token of ours nobody may."""
        expected = f"Bearer {self._duty.token}".encode()
        return bool(self._duty.token) and hmac.compare_digest(authorization.encode(errors="replace"), expected)

    def know(self, request: Any) -> None:
        """It has shown the token."""
        with self._lock:
            if request in self._open:
                self._known.add(request)

    def process_request(self, request: Any, client_address: Any) -> None:
        """As usual, as long as there are not too many."""
        with self._lock:
            strangers = [one for one in self._open if one not in self._known]
            crowded_out = strangers[: max(0, len(strangers) - STRANGERS + 1)]
            for one in crowded_out:
                del self._open[one]
            is_full = len(self._open) >= OPEN
            if not is_full:
                self._open[request] = self._duty.ticks()
        _hang_up(crowded_out)
        if is_full:
            super().shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """As usual, and forget it."""
        with self._lock:
            self._open.pop(request, None)
            self._known.discard(request)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Now and then: end what has lasted too long. Its thread finds the connection closed."""
        now = self._duty.ticks()
        with self._lock:
            old = [
                request
                for request, since in self._open.items()
                if now - since > (LIFE if request in self._known else WAIT)
            ]
        _hang_up(old)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the shape of socketserver
        """Say what went wrong; that a client has left is nothing wrong."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self._duty.emit(without_secrets(f"provision: the status page failed: {error!r}"))


class _Handler(BaseHTTPRequestHandler):
    server: Service
    protocol_version = "HTTP/1.1"
    timeout = WAIT

    def version_string(self) -> str:
        """Nothing about Python."""
        return f"provision/{__version__}"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the shape of http.server
        """Nothing: the log is for the job."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/":
            self._send(200, self.server.page, "text/html; charset=utf-8")
        elif path not in {"/status", "/result"}:
            self._fail(404, "there is no such page")
        elif not self._may_ask():
            self._fail(401, "the token is missing or wrong")
        elif path == "/status":
            self._send(200, json.dumps(self.server.account.document()).encode())
            if query == "page":
                self.server.watch()
        elif self.server.account.result is None:
            self._fail(404, "the job has not ended yet")
        else:
            self._send(200, self.server.account.result)
            if query == "page":
                self.server.viewed.set()

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or len(length) > 9 or int(length) > BODY:
            self._fail(413, "the request is too large")
            return
        may_ask = self._may_ask()
        self.rfile.read(int(length))
        if self.path != "/taken":
            self._fail(404, "there is no such page")
        elif not may_ask:
            self._fail(401, "the token is missing or wrong")
        elif self.server.account.result is None:
            self._fail(409, "the job has not ended yet")
        else:
            self._send(200, b'{"schema": 1, "ok": true}')
            self.server.taken.set()

    def _may_ask(self) -> bool:
        may_ask = self.server.may_ask(self.headers.get("Authorization", ""))
        if may_ask:
            self.server.know(self.request)
        return may_ask

    def _fail(self, code: int, error: str) -> None:
        self._send(code, json.dumps({"schema": 1, "ok": False, "error": error}).encode())

    def _send(self, code: int, body: bytes, kind: str = "application/json") -> None:
        self.close_connection = True
        self.connection.settimeout(LIFE)
        self.send_response(code)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Connection": "close",
            "Cache-Control": "no-store",
            "Content-Security-Policy": self.server.policy,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        if code == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)


def _hang_up(requests: Iterable[Any]) -> None:
    """End these connections. Their threads find them closed."""
    for request in requests:
        with suppress(OSError):  # it has just ended by itself
            request.shutdown(socket.SHUT_RDWR)


def _policy(page: str) -> str:
    """Only what stands in `page` itself is style and script (CSP Level 3, §2.3.1 hash-source); it may ask us alone."""
    style, script = (
        " ".join(
            f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in findall(found, page, DOTALL)
        )
        for found in (r"<style>(.*?)</style>", r"<script>(.*?)</script>")
    )
    return (
        f"default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
