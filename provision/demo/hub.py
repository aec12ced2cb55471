"""The hub of the story: a served folder, with a witness to the bytes of large files that leave it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from provision.serve import Folder, open_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Tally:
    """Counts the bytes of the large file with one sha256, for the requests that came while it was the hub's tally."""

    def __init__(self, sha256: str) -> None:
        self.sha256 = sha256
        self.sent = 0
        self._is_over = False
        self._limit: int | None = None
        self._call: Callable[[], None] = _nothing

    def when(self, count: int, call: Callable[[], None]) -> None:
        """Have `call` called once, in the hub's thread, when `count` bytes have left; nothing is counted after that."""
        self._limit, self._call = count, call

    def leaving(self, count: int) -> None:
        """`count` more bytes are about to leave: whoever has read them finds them counted."""
        if not self._is_over:
            self.sent += count

    def left(self) -> None:
        """They have left."""
        if not self._is_over and self._limit is not None and self.sent >= self._limit:
            self._is_over = True
            self._call()


class DemoHub:
    """Both hubs for the folder `root`, on free ports of this machine; a context.

    Raises:
        InputError: the extra `serve` is not installed.
    """

    def __init__(self, root: Path) -> None:
        self._server = open_server(Folder(root), host="127.0.0.1", port=0, cdn_port=0)
        self._server.cdn = self._watched(self._server.cdn)
        self._tally = Tally("")

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT and MODELSCOPE_ENDPOINT take."""
        return self._server.endpoint

    def tally(self, sha256: str) -> Tally:
        """Start counting anew. A stream that began before goes on counting where it did."""
        self._tally = Tally(sha256)
        return self._tally

    def _watched(self, app: ASGIApp) -> ASGIApp:
        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            tally = self._tally

            async def sending(message: Message) -> None:
                # The CDN's addresses end in the digest of what they name.
                is_counted = scope["path"].endswith(f"/{tally.sha256}")
                if is_counted:
                    tally.leaving(len(message.get("body", b"")))
                await send(message)
                if is_counted:
                    tally.left()

            await app(scope, receive, sending)

        return watched


def _nothing() -> None:
    """Nobody waits for a count."""
