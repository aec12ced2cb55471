"""The bytes of one file as an answer: whole or a range, in pieces large enough to be fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import FileResponse

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from starlette.types import Receive, Scope, Send


class ByteStream(FileResponse):
    """The file `source` with its `etag`; 206, 416 and HEAD as RFC 9110 has them. With `ranged` off, Range is ignored.

    Raises, when it is sent:
        FileNotFoundError: The file has gone since it was listed.
    """

    chunk_size = 1 << 20  # each piece costs a hop to a thread: with 64 KiB a stream is five times slower

    def __init__(
        self, source: Path, *, etag: str, ranged: bool = True, headers: Mapping[str, str] | None = None
    ) -> None:
        own = {"ETag": f'"{etag}"', "Accept-Ranges": "bytes" if ranged else "none"}
        status: os.stat_result = source.stat()
        super().__init__(
            source, headers={**own, **(headers or {})}, media_type="application/octet-stream", stat_result=status
        )
        self._ranged = ranged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the answer."""
        if not self._ranged:
            scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"range"]}
        await super().__call__(scope, receive, send)
