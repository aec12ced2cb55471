"""Both hubs on one port, their CDN on another."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from starlette.datastructures import Headers

from provision.serve.cdn import Signer, cdn_app
from provision.serve.huggingface import HuggingFaceRoutes
from provision.serve.modelscope import ModelScopeRoutes
from provision.serve.ports import Ports
from provision.serve.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from provision.serve.folder import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Where to listen. Port 0 takes a free one. `cdn_name`: the host in redirects; default: the one the client used."""

    host: str = "127.0.0.1"
    port: int = 0
    cdn_port: int = 0
    cdn_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request and how it was answered. The headers may hold a token, so they are not shown by `repr`."""

    place: str
    """`hub` or `cdn`."""
    method: str
    path: str
    query: str = field(repr=False)
    headers: Headers = field(repr=False)
    status: int


class Server:
    """A folder as a hub, as a context manager.

    `hub` and `cdn` are the two ASGI applications. Each may be replaced, at any time, by one that wraps it:
    every request goes through what stands there when it arrives. `observe` is called, in the server's thread,
    with each request that was answered.

    Raises:
        OSError: A port is taken, or the host is not an address of this machine.
    """

    def __init__(
        self,
        folder: Folder,
        settings: Settings | None = None,
        *,
        binding: Binding | None = None,
        observe: Callable[[Visit], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        settings = settings or Settings()
        self._binding = binding or Binding()
        self._signer = Signer(key=secrets.token_bytes(32), clock=clock, lifetime=settings.address_lifetime)
        huggingface = HuggingFaceRoutes(folder, settings, self.signed).app()
        modelscope = ModelScopeRoutes(folder, settings, self.signed).app()
        self.hub: ASGIApp = _by_path(huggingface, modelscope)
        self.cdn: ASGIApp = cdn_app(folder, self._signer)
        self._ports = Ports(
            [_observed("hub", lambda: self.hub, observe), _observed("cdn", lambda: self.cdn, observe)],
            host=self._binding.host,
            ports=[self._binding.port, self._binding.cdn_port],
        )

    def __enter__(self) -> Self:
        self._ports.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ports.__exit__(kind, error, trace)

    def wait(self) -> None:
        """Returns when the server has ended; a KeyboardInterrupt passes through."""
        self._ports.wait()

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT and MODELSCOPE_ENDPOINT take."""
        return _origin(self._binding.host, self._ports.ports[0])

    @property
    def cdn_endpoint(self) -> str:
        """Where large files come from."""
        return _origin(self._binding.cdn_name or self._binding.host, self._ports.ports[1])

    def signed(self, request: Request, path: str) -> str:
        """The address on the CDN of `path`, signed, for whoever made `request`."""
        name = self._binding.cdn_name or request.url.hostname or self._binding.host
        return _origin(name, self._ports.ports[1]) + self._signer.sign(path)


def _by_path(huggingface: ASGIApp, modelscope: ASGIApp) -> ASGIApp:
    async def hub(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        is_modelscope = path.startswith("/api/v1/") or path.endswith(".git/info/refs")
        await (modelscope if is_modelscope else huggingface)(scope, receive, send)

    return hub


def _observed(place: str, app: Callable[[], ASGIApp], observe: Callable[[Visit], None] | None) -> ASGIApp:
    async def observed(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if observe and message["type"] == "http.response.start":
                observe(_visit(place, scope, message["status"]))
            await send(message)

        await app()(scope, receive, sending)

    return observed


def _visit(place: str, scope: Scope, status: int) -> Visit:
    return Visit(
        place=place,
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers=Headers(scope=scope),
        status=status,
    )


def _origin(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
