"""A proxy that opens tunnels, and nothing else: CONNECT of HTTP/1.1 (RFC 9110 §9.3.6)."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Self


class ConnectProxy:
    """Leads wherever it is asked to. `log` has the heads of requests, `carried` counts bytes sent to clients."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.carried = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._pool = ThreadPoolExecutor(16)

    def __enter__(self) -> Self:
        self._pool.submit(self._run)
        return self

    def __exit__(self, *error: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._pool.shutdown()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._lead, args=(client,), daemon=True).start()

    def _lead(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            self.log.append(head.decode("latin-1"))
            host, _, port = head.split()[1].decode().rpartition(":")
            with socket.create_connection((host.strip("[]"), int(port))) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=self._carry, args=(client, server), daemon=True)
                back.start()
                self._carry(server, client, counted=True)
                back.join()

    def _carry(self, source: socket.socket, sink: socket.socket, *, counted: bool = False) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
                self.carried += len(data) if counted else 0
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
