"""Faults of a byte stream: behaviours for the rules of `MisbehavingHub`, mostly in front of its CDN.

Each stands before the honest application, which keeps doing what it does; only what passes is changed.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from misbehaving_hub import Behaviour, _answer_of, _send, answers
from starlette.datastructures import Headers

from provision import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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
        async with asyncio.timeout(30):
            await barrier.wait()
        await honest(scope, receive, send)

    return meeting


def waits_until(condition: Callable[[], bool], then: Behaviour | None = None) -> Behaviour:
    """As `then`, or honest, once `condition` is true; it is asked every few milliseconds, for half a minute at most."""

    async def waiting(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 - another process makes it true
                await asyncio.sleep(0.02)
        await (then(honest, scope, receive, send) if then else honest(scope, receive, send))

    return waiting


def ignores_range(*, cut: int | None = None) -> Behaviour:
    """The whole file, whatever part of it was asked for; or its first `cut` bytes, before the connection ends."""

    async def whole(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await honest(_asked_for(scope, None), receive, send if cut is None else _first(cut, send))

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


def reports(part: str) -> Behaviour:
    """The honest answer with another Content-Range, made of the numbers of the honest one."""

    async def reporting(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async def reported(message: Message) -> None:
            headers = Headers(raw=message.get("headers", []))
            if "content-range" in headers:
                first, last, size = map(int, re.findall(r"\d+", headers["content-range"]))
                told = part.format(first=first, last=last, size=size, more=size + 1, fewer=size - 1, before=last - 1)
                raw = [pair for pair in message["headers"] if pair[0] != b"content-range"]
                message = {**message, "headers": [*raw, (b"content-range", told.encode())]}
            await send(message)

        await honest(scope, receive, reported)

    return reporting


def flips(at: int, *, of_part: bool = False) -> Behaviour:
    """One bit of byte `at` comes wrong: of the file, or of the part that was asked for."""

    async def flipping(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        where = 0

        async def flipped(message: Message) -> None:
            nonlocal where
            if message["type"] == "http.response.start":
                part = re.match(r"bytes (\d+)-", Headers(raw=message["headers"]).get("content-range", ""))
                where = int(part[1]) if part and not of_part else 0
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
            body, before = message.get("body", b""), left
            left -= len(body)  # before it is sent: others are sent meanwhile
            if left <= 0 <= before and message["type"] == "http.response.body":
                left = -1
                await send({**message, "body": body[:before], "more_body": True})
                act()
                message = {**message, "body": body[before:]}
            await send(message)

        await honest(scope, receive, counted)

    return acting


@dataclass(slots=True)
class Meeting:
    """Nobody is answered before `count` have asked; `clients` are those who did, by the port they came from."""

    count: int
    clients: list[int] = field(default_factory=list)
    _met: asyncio.Event = field(default_factory=asyncio.Event)

    async def join(self, client: int) -> None:
        if not self._met.is_set():
            self.clients.append(client)
            if len(self.clients) == self.count:
                self._met.set()
        async with asyncio.timeout(30):
            await self._met.wait()


def on_piece(
    index: int,
    *once: Behaviour,
    then: Behaviour | None = None,
    others: Behaviour | None = None,
    meeting: Meeting | None = None,
) -> Behaviour:
    """As `others`, or honest, but for requests whose part begins in piece `index`: the first of them meets the first of
    `once`, and so on; those that follow meet `then`, if there is one. Nobody is answered before the `meeting`, if there
    is one.
    """
    coming = iter(once)

    async def one_of_many(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        if meeting:
            await meeting.join(scope["client"][1])
        behaviour = next(coming, then) if _begins(scope) // digest.PIECE_SIZE == index else others
        await (behaviour(honest, scope, receive, send) if behaviour else honest(scope, receive, send))

    return one_of_many


async def honestly(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """As if there were no rule."""
    await honest(scope, receive, send)


def in_turn(behaviours: Iterable[Behaviour]) -> Behaviour:
    """Each request meets the next one."""
    turns = iter(behaviours)

    async def next_one(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        await next(turns)(honest, scope, receive, send)

    return next_one


def drips(count: int, pause: float) -> Behaviour:
    """The honest answer, `count` bytes every `pause` seconds: never silent, never done."""

    async def dripping(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async def drop_by_drop(message: Message) -> None:
            body = message.get("body", b"")
            for at in range(0, len(body), count):
                await send({**message, "body": body[at : at + count], "more_body": True})
                await asyncio.sleep(pause)
            if not body:
                await send(message)

        await honest(scope, receive, drop_by_drop)

    return dripping


def caps(count: int) -> Behaviour:
    """Parts of `count` bytes at most, whatever was asked for."""

    async def capped(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        first, last = map(int, re.findall(r"\d+", Headers(scope=scope)["range"]))
        await honest(_asked_for(scope, f"bytes={first}-{min(last, first + count - 1)}"), receive, send)

    return capped


@dataclass(slots=True)
class Crowd:
    """A behaviour: to `most` requests at once that of `behaviour`, or honesty; those who come on top meet `refusal`.

    `met`: how many were there when each was let in, itself included; `refused`: how many were not.
    """

    most: int
    refusal: Behaviour
    behaviour: Behaviour | None = None
    here: int = 0
    met: list[int] = field(default_factory=list)
    refused: int = 0

    async def __call__(self, honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        if self.here >= self.most:
            self.refused += 1
            return await self.refusal(honest, scope, receive, send)
        self.here += 1
        self.met.append(self.here)
        try:
            if self.behaviour:
                return await self.behaviour(honest, scope, receive, send)
            return await honest(scope, receive, send)
        finally:
            self.here -= 1


def signs_each() -> Behaviour:
    """The honest redirect, to an address that nobody else was given."""
    given = itertools.count()

    async def signing(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async def signed(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = [
                    (name, value + b"&given=%d" % next(given) if name == b"location" else value)
                    for name, value in message["headers"]
                ]
                message = {**message, "headers": told}
            await send(message)

        await honest(scope, receive, signed)

    return signing


def honours(count: int, *, cut: int | None = None) -> Behaviour:
    """Honest to the first `count` requests for each address, or to `cut` bytes of each; then it is over (403). See
    `signs_each`.
    """
    asked: Counter[bytes] = Counter()

    async def honouring(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        asked[scope["query_string"]] += 1
        if asked[scope["query_string"]] > count:
            await answers(403)(honest, scope, receive, send)
        else:
            await honest(scope, receive, send if cut is None else _first(cut, send))

    return honouring


def _first(count: int, send: Send) -> Send:
    """Passes on the start of an answer and `count` bytes of its body; its end, when it has fewer."""
    left = count

    async def limited(message: Message) -> None:
        nonlocal left
        if message["type"] == "http.response.body":
            whole = message.get("body", b"")
            body = whole[:left]
            is_below, left = len(whole) < left, left - len(body)
            if not body and not is_below:
                return
            message = message if is_below else {**message, "body": body, "more_body": True}
        await send(message)

    return limited


def _asked_for(scope: Scope, wanted: str | None) -> Scope:
    kept = [pair for pair in scope["headers"] if pair[0] != b"range"]
    return {**scope, "headers": [*kept, (b"range", wanted.encode())] if wanted else kept}


def _begins(scope: Scope) -> int:
    part = re.match(r"bytes=(\d+)-", Headers(scope=scope).get("range", ""))
    return int(part[1]) if part else 0
