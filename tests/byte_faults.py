"""Faults of a byte stream: behaviours for the rules of `MisbehavingHub`, mostly in front of its CDN.

Each stands before the honest application, which keeps doing what it does; only what passes is changed.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from misbehaving_hub import Behaviour, _answer_of, _send
from starlette.datastructures import Headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send


def cuts_after(count: int) -> Behaviour:
    """The first `count` bytes of the body; then the connection ends."""

    async def cutting(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await honest(scope, receive, _first(count, send))  # an unfinished answer makes the server hang up

    return cutting


def stalls_after(count: int, act: Callable[[], None] = lambda: None) -> Behaviour:
    """The first `count` bytes of the body; then `act`, and nothing for as long as the client waits."""

    async def stalling(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await honest(scope, receive, _first(count, send))
        act()
        while (await receive())["type"] != "http.disconnect":
            pass

    return stalling


def meets(count: int) -> Behaviour:
    """Honest, but nobody is answered before `count` have asked."""
    barrier = asyncio.Barrier(count)

    async def meeting(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await barrier.wait()
        await honest(scope, receive, send)

    return meeting


def waits_until(condition: Callable[[], bool]) -> Behaviour:
    """Honest, once `condition` is true; it is asked every few milliseconds, for half a minute at most."""

    async def waiting(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 - another process makes it true
                await asyncio.sleep(0.02)
        await honest(scope, receive, send)

    return waiting


def ignores_range() -> Behaviour:
    """The whole file, whatever part of it was asked for."""

    async def whole(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await honest(_asked_for(scope, None), receive, send)

    return whole


def shifts_range(by: int) -> Behaviour:
    """Another part than the one asked for: it begins `by` bytes further on."""

    async def shifted(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        first, last = re.findall(r"\d+", Headers(scope=scope)["range"])
        await honest(_asked_for(scope, f"bytes={int(first) + by}-{last}"), receive, send)

    return shifted


def announces(headers: dict[str, str | None]) -> Behaviour:
    """The honest answer under other headers; None takes one away. Without a Content-Length it comes in chunks."""

    async def announcing(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async def announced(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = {name: value for name, value in Headers(raw=message["headers"]).items() if name not in headers}
                told = kept | {name: value for name, value in headers.items() if value is not None}
                pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told.items()]
                message = {**message, "headers": pairs}
            await send(message)

        await honest(scope, receive, announced)

    return announcing


def bodies(change: Callable[[bytes], bytes], *, chunked: bool) -> Behaviour:
    """The honest answer with another body, which ends cleanly: in chunks, or under the length that it then has."""

    async def changing(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        status, headers, body = await _answer_of(honest, scope, receive)
        headers.pop("content-length")
        body = change(body)
        await _send(send, status, headers if chunked else {**headers, "content-length": str(len(body))}, body)

    return changing


def flips(at: int) -> Behaviour:
    """One bit of the file's byte `at` comes wrong."""

    async def flipping(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        where = 0

        async def flipped(message: Message) -> None:
            nonlocal where
            if message["type"] == "http.response.start":
                part = re.match(r"bytes (\d+)-", Headers(raw=message["headers"]).get("content-range", ""))
                where = int(part[1]) if part else 0
            else:
                data = bytearray(message.get("body", b""))
                if where <= at < where + len(data):
                    data[at - where] ^= 1
                where += len(data)
                message = {**message, "body": bytes(data)}
            await send(message)

        await honest(scope, receive, flipped)

    return flipping


def acts_after(count: int, act: Callable[[], None]) -> Behaviour:
    """The honest answer; when `count` bytes have been sent, over all requests, `act` is called once, here and then."""
    left = count

    async def acting(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            nonlocal left
            body = message.get("body", b"")
            if left >= 0 and len(body) >= left and message["type"] == "http.response.body":
                first, body, left = body[:left], body[left:], -1
                await send({**message, "body": first, "more_body": True})
                act()
                message = {**message, "body": body}
            left -= len(body) if left >= 0 else 0
            await send(message)

        await honest(scope, receive, counted)

    return acting


def _first(count: int, send: Send) -> Send:
    """Passes on the start of an answer and `count` bytes of its body, and never its end."""
    left = count

    async def limited(message: Message) -> None:
        nonlocal left
        if message["type"] == "http.response.body":
            body = message.get("body", b"")[:left]
            left -= len(body)
            if not body:
                return
            message = {**message, "body": body, "more_body": True}
        await send(message)

    return limited


def _asked_for(scope: Scope, wanted: str | None) -> Scope:
    kept = [pair for pair in scope["headers"] if pair[0] != b"range"]
    return {**scope, "headers": [*kept, (b"range", wanted.encode())] if wanted else kept}
