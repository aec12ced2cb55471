"""Many applications on many ports, in one background thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Self

import uvicorn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from starlette.types import ASGIApp

_BACKLOG = 512
_PATIENCE = 1  # seconds an application gets to end after its connections were cut


class Ports:
    """Each of `apps` on its own port of `host`; port 0 takes a free one. A context manager.

    The ports are taken, and connections wait in line, from the moment it is made: nobody needs to poll.

    Raises:
        OSError: A port is taken, or `host` is not an address of this machine.
    """

    def __init__(self, apps: Sequence[ASGIApp], *, host: str = "127.0.0.1", ports: Sequence[int] = ()) -> None:
        wanted = [*ports, *[0] * (len(apps) - len(ports))]
        self._sockets = _bound(host, wanted)
        self._servers = [uvicorn.Server(_configuration(app)) for app in apps]
        self._thread = threading.Thread(target=self._run, name="provision-serve", daemon=True)
        self._loop = asyncio.new_event_loop()
        self.ports = tuple(int(bound.getsockname()[1]) for bound in self._sockets)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join()

    def wait(self) -> None:
        """Returns when the servers have ended; a KeyboardInterrupt passes through."""
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        pairs = zip(self._servers, self._sockets, strict=True)
        await asyncio.gather(*(server.serve(sockets=[bound]) for server, bound in pairs))

    def _stop(self) -> None:
        for server in self._servers:
            for connection in list(server.server_state.connections):
                connection.transport.abort()
            server.should_exit = True


def _configuration(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        interface="asgi3",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_PATIENCE,
    )


def _bound(host: str, ports: Sequence[int]) -> list[socket.socket]:
    """One listening socket for each of `ports`: all, or none and the error."""
    sockets: list[socket.socket] = []
    try:
        for port in ports:
            sockets.append(socket.create_server((host, port), backlog=_BACKLOG))
            # Handed on to every connection; asyncio does it only where a socket names its protocol. Without it a small
            # file waits 40 ms for the client to acknowledge its headers.
            sockets[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        for bound in sockets:
            bound.close()
        raise
    return sockets
