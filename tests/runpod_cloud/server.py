"""The stand-in's HTTP: who may ask, what goes wrong, and the answer on the wire."""

from __future__ import annotations

import http.client
import math
import re
import socket
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, urlsplit

from runpod_cloud import queries, rest
from runpod_cloud.answers import Answer, RefusedError, document, graphql_error, page, problem
from runpod_cloud.faults import ANSWERS, GROUPS, Fault
from runpod_cloud.logs import events

if TYPE_CHECKING:
    from runpod_cloud.cloud import RunPodCloud
    from runpod_cloud.pods import Pod

HOP_BY_HOP = {"connection", "keep-alive", "host", "transfer-encoding", "upgrade", "te", "trailer", "content-length"}
RETIRED = ANSWERS["410"]("")
UNLIMITED = 10_000
"""Requests a minute where no dial limits them; the published figure is 60."""

BANNED = Answer(status=403, body=b"error code: 1010", headers={"Content-Type": "text/plain; charset=UTF-8"})
"""Cloudflare's answer to the User-Agent that Python's urllib sends by itself."""


@dataclass(slots=True, kw_only=True)
class Request:
    """One request, and how it was answered so far; `status` 0 is not at all. `by`: account, pod, or nobody."""

    method: str
    path: str
    query: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    operation: str = ""
    by: str = ""
    status: int = 0
    time: float = field(default_factory=time.monotonic)

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode("utf-8", "replace")


class CutError(Exception):
    """The connection ends here."""


class Server(ThreadingHTTPServer):
    """Listens on any free port of 127.0.0.1."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, cloud: RunPodCloud) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cloud = cloud
        self.recent: deque[float] = deque()
        self.lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the server's shape
        """A mistake of the stand-in's is shown when it closes; that a client went away is none."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self.cloud.mistakes.append(error)

    def spent(self) -> tuple[int, int]:
        """Requests in the last minute, this one too, and in how many seconds the first of them does not count."""
        with self.lock:
            now = time.monotonic()
            self.recent.append(now)
            while self.recent[0] < now - 60:
                self.recent.popleft()
            return len(self.recent), math.ceil(60 - (now - self.recent[0]))


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "cloudflare", ""
    disable_nagle_algorithm = True

    @property
    def cloud(self) -> RunPodCloud:
        """Whose it is."""
        return cast("Server", self.server).cloud

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        """Any method comes here."""
        size = int(self.headers.get("Content-Length") or 0)
        address = urlsplit(self.path)
        request = Request(
            method=self.command, path=address.path, query=address.query, body=self.rfile.read(size),
            headers={name.lower(): value for name, value in self.headers.items()},
        )  # fmt: skip
        self.cloud.requests.append(request)
        try:
            self._send(request, self._answer(request))
        except (CutError, ConnectionError, TimeoutError):
            self._cut()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET  # noqa: N815 - the handler's shape

    # What to say

    def _answer(self, request: Request) -> Answer | rest.Stream:
        if request.path.startswith("/proxy/"):
            request.operation = "proxy"
            return self._with_faults(request, "", self._proxied)
        if request.headers.get("user-agent", "").startswith("Python-urllib"):
            return BANNED
        if request.path.startswith("/v1/") or (request.path == "/graphql" and self.cloud.dials.is_graphql_retired):
            return RETIRED
        key = self._key(request)
        request.by = "account" if key in self.cloud.keys else "pod" if self._pod_of(key) else ""
        if not request.by:
            return problem(401, "missing bearer token" if not key else "invalid API key")
        limits, is_over = self._limits()
        if is_over:
            return replace(ANSWERS["429"](""), headers={**ANSWERS["429"]("").headers, **limits})
        answer = self._graphql(request, key) if request.path == "/graphql" else self._rest(request, key)
        return replace(answer, headers={**limits, **answer.headers}) if isinstance(answer, Answer) else answer

    def _graphql(self, request: Request, key: str) -> Answer | rest.Stream:
        asked = queries.read(request.body)
        if isinstance(asked, Answer):
            return asked
        request.operation = asked.name
        pod = self._pod_of(key)
        fields = asked.operation.fields

        def honest(_: Request, fault: Fault | None) -> Answer:
            is_own = all(
                one.name == "podTerminate" and queries.given(one, asked.variables)["input"]["podId"] == pod.id
                for one in fields
            ) if pod else True  # fmt: skip
            if not is_own:
                return graphql_error("access denied", "FORBIDDEN", data={one.alias: None for one in fields})
            return queries.answer(self.cloud.account, asked, lambda made: self._misfortune(made, fault))

        return self._with_faults(request, asked.operation.fields[0].alias, honest)

    def _rest(self, request: Request, key: str) -> Answer | rest.Stream:
        found = rest.route(request.method, request.path)
        if isinstance(found, Answer):
            return found
        request.operation, target = found
        pod = self._pod_of(key)

        def honest(_: Request, fault: Fault | None) -> Answer | rest.Stream:
            if pod and (request.operation not in GROUPS["delete"] or target != pod.id):
                return problem(403, "access denied")
            call = rest.Call(
                operation=request.operation, id=target, query=parse_qs(request.query), headers=request.headers,
                body=request.body, made=lambda made: self._misfortune(made, fault),
            )  # fmt: skip
            try:
                return rest.answer(self.cloud.account, call)
            except RefusedError as error:
                return problem(error.status, error.detail, error.errors)

        return self._with_faults(request, "", honest)

    def _with_faults(self, request: Request, field_name: str, honest: Any) -> Answer | rest.Stream:
        fault = self.cloud.faults.pick(request.operation, request.by)
        if fault is None or fault.is_misfortune:
            return cast("Answer | rest.Stream", honest(request, fault))
        if fault.kind == "lie":
            return document({"data": {field_name: None}}) if field_name else Answer(status=204)
        if fault.kind == "late":
            self.cloud.later(fault.seconds, lambda: honest(request, None))
            raise CutError
        if fault.kind in ("hang", "slow"):
            self.cloud.closed.wait(0 if fault.after else fault.seconds)
        answer = honest(request, None) if fault.after or fault.kind in ("slow", "torn") else Answer()
        if fault.kind in ("hang", "slow") and fault.after:
            self.cloud.closed.wait(fault.seconds)
        if fault.kind in ANSWERS:
            return ANSWERS[fault.kind](field_name)
        if fault.kind == "slow":
            return cast("Answer | rest.Stream", answer)
        if fault.kind == "torn" and isinstance(answer, Answer) and answer.body:
            return replace(answer, body=answer.body[: len(answer.body) // 2], promised=len(answer.body))
        raise CutError

    def _misfortune(self, pod: Pod, fault: Fault | None) -> bool:
        """Let it come over a new pod; whether the pod may start at all."""
        if fault is None:
            return True
        if fault.kind == "late-mount" and pod.volume:
            pod.volume.unmount()
            self.cloud.later(fault.seconds, pod.volume.mount)
        doings = {
            "crash": pod.container.crash, "vanish": lambda: self.cloud.vanish(pod.id),
            "exit": lambda: self.cloud.account.stop(pod.id), "unmount": pod.volume.unmount if pod.volume else None,
        }  # fmt: skip
        doing = doings.get(fault.kind)
        if doing:
            self.cloud.later(fault.seconds, doing)
        return fault.kind != "bad-host"

    def _key(self, request: Request) -> str:
        told = request.headers.get("authorization", "")
        return told.removeprefix("Bearer ") if told else parse_qs(request.query).get("api_key", [""])[0]

    def _pod_of(self, key: str) -> Pod | None:
        account = self.cloud.account
        with account.lock:
            return next((pod for pod in [*account.pods.values(), *account.former] if pod.key == key), None)

    def _limits(self) -> tuple[dict[str, str], bool]:
        """The headers that tell how much one may still ask, and whether this was too much."""
        most, (spent, reset) = self.cloud.dials.requests_a_minute or UNLIMITED, cast("Server", self.server).spent()
        headers = {
            "RateLimit": f'"minute";r={max(0, most - spent)};t={reset}, "hour";r=90000;t=1812, "day";r=990000;t=45012',
            "RateLimit-Policy": f'"minute";q={most};w=60, "hour";q=100000;w=3600, "day";q=1000000;w=86400',
            "x-request-id": f"req_{time.monotonic_ns():x}",
        }
        return headers | ({"Retry-After": str(reset)} if spent > most else {}), spent > most

    # The proxy

    def _proxied(self, request: Request, _: Fault | None) -> Answer:
        match = re.fullmatch(r"/proxy/([^/]+)/(\d+)(/.*)?", request.path)
        pod = self.cloud.account.pod(match[1]) if match else None
        is_known = pod and time.monotonic() - pod.rented >= self.cloud.dials.edge_seconds
        place = pod.places.get(int(match[2])) if pod and match else None
        if not match or not is_known or place is None:
            return page(404, "Not found")
        target = (match[3] or "/") + (f"?{request.query}" if request.query else "")
        headers = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP}
        line = http.client.HTTPConnection("127.0.0.1", place, timeout=self.cloud.dials.proxy_seconds)
        try:
            line.request(request.method, target, body=request.body or None, headers=headers)
            told = line.getresponse()
            kept = {name: value for name, value in told.getheaders() if name.lower() not in HOP_BY_HOP}
            return Answer(status=told.status, body=told.read(), headers=kept)
        except TimeoutError:
            return page(524, "A timeout occurred")
        except (OSError, http.client.HTTPException):
            return page(502, "Bad gateway")
        finally:
            line.close()

    # The wire

    def _send(self, request: Request, answer: Answer | rest.Stream) -> None:
        if isinstance(answer, rest.Stream):
            self._stream(request, answer)
            return
        request.status = answer.status
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body) if answer.promised is None else answer.promised))
        self.end_headers()
        if request.method != "HEAD":
            self.wfile.write(answer.body)
        if answer.promised is not None:
            raise CutError

    def _stream(self, request: Request, stream: rest.Stream) -> None:
        request.status = 200
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Connection", "close")
        self.end_headers()
        for event in events(stream.pod.container.log, stream.wish, self.cloud.closed):
            self.wfile.write(event)
            self.wfile.flush()

    def _cut(self) -> None:
        self.close_connection = True
        try:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
