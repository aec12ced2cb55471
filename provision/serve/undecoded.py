"""Paths as they were sent: `refs%2Fpr%2F1` is one segment, and a router that decodes first cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send


class Undecoded:
    """Middleware: routes are matched against the path as it stood in the request line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands the request on."""
        await self._app({**scope, "path": scope["raw_path"].decode("latin-1")}, receive, send)


def part(request: Request, name: str) -> str:
    """One decoded path parameter; "" where the route has none of that name."""
    return unquote(request.path_params.get(name, ""))
