"""Answers abreast: several ranges of one file are open while its bytes come, however fast they come.

A fill opens a second connection to a file only where its first ones leave it time. So the bytes of a few are sent when
those few have asked, and the last byte of each is kept back until another has come in its place.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from provision.digest import piece_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from misbehaving_hub import Behaviour
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(slots=True, kw_only=True)
class Abreast:
    """A behaviour for all requests for a file of `size` bytes: at least `least` are under way from the first byte on,
    until `is_over`, or only their last bytes are left. What begins the file is not the first to end, so that something
    comes before its turn.

    Who fills asks on one connection more than `least`; on as many, when these bring the whole file. `here`: how many
    are under way. `came_late`: it was over before the first byte.
    """

    size: int
    least: int
    is_over: Callable[[], bool] = lambda: False
    here: int = 0
    sent: int = 0
    ended: int = 0
    has_begun: bool = False
    came_late: bool = False

    async def __call__(self, honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self.here += 1
        begin, left = self._part(scope)

        async def all_but_the_last(message: Message) -> None:
            nonlocal left
            body = message.get("body", b"")
            left -= len(body)
            self.sent += len(body)
            if body and not left:
                self.sent -= 1
                await send({**message, "body": body[:-1], "more_body": True})
                await _until(lambda: self._may_end(begin))
                self.here, self.ended, self.sent = self.here - 1, self.ended + 1, self.sent + 1
                message = {**message, "body": body[-1:]}
            await send(message)

        await _until(self._begins)
        await honest(scope, receive, all_but_the_last)

    def _begins(self) -> bool:
        if not self.has_begun and self.here >= min(self.least + 1, piece_count(self.size)):
            self.has_begun, self.came_late = True, self.is_over()
        return self.has_begun

    def _may_end(self, begin: int) -> bool:
        in_turn = begin > 0 or self.ended > 0 or not self.least
        return (self.here > self.least and in_turn) or self.sent >= self.size - self.here or self.is_over()

    def _part(self, scope: Scope) -> tuple[int, int]:
        """Where it begins, and how many bytes it has."""
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", Headers(scope=scope).get("range", ""))
        first, last = map(int, part.groups()) if part else (0, self.size - 1)
        return first, last - first + 1


def through(outer: Behaviour, inner: Behaviour) -> Behaviour:
    """`outer`, with `inner` in the place of the honest application."""

    async def both(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async def behind(scope: Scope, receive: Receive, send: Send) -> None:
            await inner(honest, scope, receive, send)

        await outer(behind, scope, receive, send)

    return both


async def _until(condition: Callable[[], bool]) -> None:
    """Asked every few milliseconds, for half a minute at most: another process may make it true."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)
