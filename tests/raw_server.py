"""A server below HTTP: bytes as they are written here, for what no honest library would send."""

from __future__ import annotations

import select
import socket
import struct
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl

RESET = b"\0reset"
"""In an answer: the connection ends here with RST, and what is under way is lost."""
HOLD = b"\0hold"
"""In an answer: the connection stays open and silent until the client leaves."""

DRIP = b"\0drip"
"""In an answer: what follows is sent again and again, a little at a time, until the client leaves."""
FLOOD = b"\0flood"
"""As DRIP, as fast as the client takes it."""


class RawServer:
    """Answers each connection with the next of `answers`, the last one for ever. `log` has the heads of requests.

    `left` is set when a client has gone from an answer that was held.
    """

    def __init__(self, *answers: bytes, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.log: list[str] = []
        self.left, self._over = threading.Event(), threading.Event()
        self.answers, self._tls = list(answers), tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, 0), family=family)
        self.port = self._listening.getsockname()[1]
        self._host = f"[{host}]" if family == socket.AF_INET6 else host
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)

    @property
    def address(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.port}"

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                try:
                    self._serve(self._tls.wrap_socket(connection, server_side=True) if self._tls else connection)
                except OSError:
                    continue  # the client has left, which is its right

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                part = connection.recv(65536)
                if not part:
                    return
                head += part
            self.log.append(head.decode("latin-1"))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            for ending, pause in ((DRIP, 0.02), (FLOOD, 0.0)):
                answer, endless, again = answer.partition(ending)
                if endless:
                    connection.sendall(answer)
                    while not self._over.is_set() and not select.select([connection], [], [], pause)[0]:
                        connection.sendall(again)
                    return
            connection.sendall(answer.removesuffix(RESET).removesuffix(HOLD))
            if answer.endswith(RESET):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif answer.endswith(HOLD):
                connection.recv(1)
                self.left.set()
            elif not self._tls:
                connection.shutdown(socket.SHUT_WR)


def head(status: str, **headers: object) -> bytes:
    """A status line and headers, after which the connection ends; `_` in a name stands for `-`."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in {"Connection": "close", **headers}.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")
