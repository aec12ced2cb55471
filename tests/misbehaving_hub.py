"""A hub that misbehaves on demand: `provision.serve` behind rules, and a log of what was asked and answered.

    with MisbehavingHub(folder) as hub:
        hub.rules.append(Rule(r"/tree/", answers(503, {"Retry-After": "7"}), times=1))
        ...
        assert [request.status for request in hub.log] == [503, 200]

A rule's behaviour stands in the place of the honest application and may call it: `behaviour(honest, scope, receive,
send)` is ASGI with the application in front. Rules are looked at for each request, first match first; they may be
changed at any time.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from provision.serve.server import Server

if TYPE_CHECKING:
    from provision.serve.folder import Folder
    from provision.serve.settings import Settings

Behaviour = Callable[[ASGIApp, Scope, Receive, Send], Awaitable[None]]


@dataclass(slots=True)
class Rule:
    """What happens to requests whose path and query (`/path?query`) hold `pattern`; None `times`: to all of them."""

    pattern: str
    behaviour: Behaviour
    times: int | None = None
    place: str = "hub"

    def takes(self, place: str, target: str) -> bool:
        """Whether this request is one of its own; counts it when it is."""
        if place != self.place or self.times == 0 or not re.search(self.pattern, target):
            return False
        self.times = None if self.times is None else self.times - 1
        return True


@dataclass(slots=True, kw_only=True)
class Request:
    """One request, and how it was answered so far: `status` 0 is not at all, `sent` counts bytes of the body.

    `client` is the port it came from: the same one means the same connection. `at` is when it came, by the hub's clock.
    """

    place: str
    method: str
    target: str
    headers: Headers = field(repr=False)
    client: int = 0
    at: float = 0.0
    status: int = 0
    sent: int = 0


class MisbehavingHub:
    """A `Server` with rules and a log, as a context manager. `place` is `hub` or `cdn`, as in its own visits."""

    def __init__(self, folder: Folder, settings: Settings | None = None) -> None:
        self.rules: list[Rule] = []
        self.log: list[Request] = []
        self.folder = folder
        self.clock: Callable[[], float] = time.monotonic
        self.server = Server(folder, settings)
        self.server.hub = self._ruled("hub", self.server.hub)
        self.server.cdn = self._ruled("cdn", self.server.cdn)

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.__exit__(*error)

    @property
    def endpoint(self) -> str:
        return self.server.endpoint

    def asked(self, pattern: str, place: str = "hub") -> list[Request]:
        """The requests whose path and query hold `pattern`, in the order in which they came."""
        return [request for request in self.log if request.place == place and re.search(pattern, request.target)]

    def _ruled(self, place: str, honest: ASGIApp) -> ASGIApp:
        async def ruled(scope: Scope, receive: Receive, send: Send) -> None:
            request = _request(place, scope, self.clock())
            self.log.append(request)

            async def counting(message: Message) -> None:
                request.status = message.get("status", request.status)
                await send(message)
                request.sent += len(message.get("body", b""))

            rule = next((rule for rule in self.rules if rule.takes(place, request.target)), None)
            behaviour = rule.behaviour if rule else _honestly
            await behaviour(honest, scope, receive, counting)

        return ruled


def later(honest: int, pattern: str, behaviour: Behaviour, times: int | None = 1) -> list[Rule]:
    """At the CDN, `behaviour` after so many honest answers to requests that hold `pattern`."""
    return [Rule(pattern, _honestly, times=honest, place="cdn"), Rule(pattern, behaviour, times=times, place="cdn")]


def answers(status: int, headers: dict[str, str] | None = None, body: bytes | str = b"") -> Behaviour:
    """This answer and no other."""
    data = body.encode() if isinstance(body, str) else body

    async def answering(_honest: ASGIApp, _scope: Scope, _receive: Receive, send: Send) -> None:
        await _send(send, status, {"Content-Length": str(len(data)), **(headers or {})}, data)

    return answering


def tells(value: object, status: int = 200) -> Behaviour:
    """This value, as JSON."""
    return answers(status, {"Content-Type": "application/json"}, json.dumps(value))


def page(status: int = 200) -> Behaviour:
    """A web page: what log-in portals and wrong endpoints answer."""
    return answers(status, {"Content-Type": "text/html; charset=utf-8"}, "<!doctype html><title>Log in</title>")


def redirects(address: str, status: int = 302) -> Behaviour:
    """A redirect to `address`."""
    return answers(status, {"Location": address})


async def stalls(_honest: ASGIApp, _scope: Scope, receive: Receive, _send: Send) -> None:
    """Nothing, for as long as the client waits."""
    await _left(receive)


async def floods(_honest: ASGIApp, _scope: Scope, receive: Receive, send: Send) -> None:
    """An answer without end: blanks, which JSON allows before its value."""
    leaving = asyncio.create_task(_left(receive))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    while not leaving.done():
        await send({"type": "http.response.body", "body": b" " * 1_000_000, "more_body": True})
        await asyncio.sleep(0)  # sending to one who has left does not give way by itself


def rewrites(change: Callable[[object], object]) -> Behaviour:
    """The honest answer with its JSON changed."""

    async def rewriting(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        status, headers, body = await _answer_of(honest, scope, receive)
        data = json.dumps(change(json.loads(body))).encode()
        await _send(send, status, {**headers, "content-length": str(len(data))}, data)

    return rewriting


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _honestly(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await honest(scope, receive, send)


async def _answer_of(app: ASGIApp, scope: Scope, receive: Receive) -> tuple[int, dict[str, str], bytes]:
    """A whole answer of `app`, kept in memory."""
    messages: list[Message] = []

    async def keeping(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, keeping)
    headers = dict(Headers(raw=messages[0]["headers"]).items())
    return messages[0]["status"], headers, b"".join(message.get("body", b"") for message in messages[1:])


async def _send(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _request(place: str, scope: Scope, at: float) -> Request:
    query = scope["query_string"].decode("latin-1")
    target = scope["path"] + (f"?{query}" if query else "")
    client, headers = scope["client"][1], Headers(scope=scope)
    return Request(place=place, method=scope["method"], target=target, headers=headers, client=client, at=at)
