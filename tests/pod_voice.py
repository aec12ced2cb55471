# ruff: noqa: ARG002 - the protocol's shape
"""A pod that can be heard: by real HTTP on loopback, by a log, by what it leaves on a volume. Each can be closed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from pod_bed import START, Bed, ScriptedCloud

from provision.errors import CloudRefused, VolumeAbsent
from provision.hubs.http import HttpSettings
from provision.hubs.http.pools import Pools
from provision.pods.cloud import LogLine, Pod, State
from provision.pods.status import Phase, Status, status_document

NAME = "provision-p-20270115T080000Z-3600s-00000000"
POD = Pod(id="pod0", name=NAME, state=State.RUNNING, is_up=True, price=0.06)
TOKEN = "status-token"


def status(phase: Phase = Phase.FILLING, **changes: Any) -> Status:
    plain = Status(lease=NAME, phase=phase, began=START, now=START, deadline=START + 3600)
    return replace(plain, **changes)


def text(said: Status) -> bytes:
    return json.dumps(status_document(said)).encode()


@dataclass
class Voice:
    """What the pod's address answers: `status` and `result` are bodies, `code` the status of every answer."""

    status: bytes = b""
    result: bytes | None = None
    code: int = 200
    location: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)  # (request, authorization)

    def __enter__(self) -> Self:
        voice = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                voice.asked.append((f"{self.command} {self.path}", self.headers.get("Authorization", "")))
                body = voice.result if self.path == "/result" else voice.status if self.path == "/status" else b"{}"
                self.send_response(voice.code if body is not None else 404)
                if voice.location:
                    self.send_header("Location", voice.location)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            do_GET = do_POST = answer  # noqa: N815 - the shape of http.server

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"


@dataclass
class HeardCloud(ScriptedCloud):
    """`lines` is the log, None where it cannot be had; `where` the pod's address."""

    lines: list[str] | None = None
    where: str = ""
    asked_logs: int = 0

    def logs(self, pod_id: str, after: str) -> Sequence[LogLine]:
        self.asked_logs += 1
        if self.lines is None:
            raise CloudRefused("no logs here")
        return [
            LogLine(id=str(number), text=line) for number, line in enumerate(self.lines, 1) if number > int(after or 0)
        ]

    def address(self, pod_id: str, port: int) -> str:
        return self.where


def heard_bed() -> tuple[Bed, HeardCloud]:
    """A rental's bed with one pod that is there."""
    bed = Bed()
    cloud = HeardCloud(bed.time, bed.points)
    bed.cloud = cloud
    cloud.there[POD.id], cloud.born[POD.id] = POD, -100.0
    return bed, cloud


def pools() -> Pools:
    return Pools(HttpSettings(user_agent="provision/test", now=time.time))


class Volume:
    """A volume as it is seen from here; closed until there is something."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked = 0
        self.is_closed = False

    def __call__(self, name: str) -> bytes | None:
        self.asked += 1
        if self.is_closed:
            raise VolumeAbsent("no S3 there")
        return self.files.get(name)
