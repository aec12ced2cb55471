"""A content-addressed store as Hugging Face's Xet speaks it, over xorbs that hf_xet itself made, and its faults.

    store = XetStore.build(folder, {"big": data})
    with Cas(store) as cas:
        cas.faults.append(Fault("xorb", stalls, after=100_000))
        ...
        assert cas.bytes_of("xorb") < 200_000

Sources: https://huggingface.co/docs/xet (1.1.0), and `openapi/cas.openapi.yaml` of huggingface/xet-core.
"""

from __future__ import annotations

import json
import os
import re
import select
import struct
import subprocess
import sys
import threading
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

_UPLOAD = """
import json, sys
import hf_xet

with hf_xet.XetSession().new_upload_commit(endpoint="local://" + sys.argv[1]) as commit:
    started = {name: commit.start_upload_file(path) for name, path in json.loads(sys.argv[2]).items()}
print(json.dumps({name: upload.result().xet_info.hash for name, upload in started.items()}))
"""

_END = b"\xff" * 32
_COUNTED = 0x80000000
_DESCRIBED = 0x40000000


@dataclass(frozen=True, slots=True)
class Term:
    """Chunks `first` to `last` (exclusive) of a xorb: the next `length` bytes of a file."""

    xorb: str
    length: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Xorb:
    """A file of compressed chunks. Where chunk N begins: `packed[N]` in the file, `plain[N]` when unpacked."""

    path: Path
    packed: list[int]
    plain: list[int]


@dataclass(frozen=True, slots=True)
class XetStore:
    """What hf_xet wrote into a folder: the hash of each named file, the terms of each hash, and the xorbs."""

    hashes: dict[str, str]
    files: dict[str, list[Term]]
    xorbs: dict[str, Xorb]

    @classmethod
    def build(cls, folder: Path, contents: Mapping[str, Path]) -> Self:
        """Upload files with the unmodified hf_xet into `folder`."""
        named = json.dumps({name: str(path) for name, path in contents.items()})
        mine = os.environ | {"HF_XET_LOG_DEST": os.devnull, "HF_HUB_DISABLE_TELEMETRY": "1"}
        command = [sys.executable, "-c", _UPLOAD, str(folder), named]
        done = subprocess.run(command, env=mine, capture_output=True, text=True, check=True, timeout=100)
        files: dict[str, list[Term]] = {}
        for shard in folder.glob("xet/xorbs/shards/*.mdb"):
            files |= _files(shard.read_bytes())
        xorbs = folder.glob("xet/xorbs/xorbs/default.*")
        read = {path.suffix[1:]: _xorb(path) for path in xorbs if not path.name.endswith(".tagset")}
        return cls(json.loads(done.stdout), files, read)

    def size(self, name: str) -> int:
        return sum(term.length for term in self.files[self.hashes[name]])

    def reconstruction(self, file: str, start: int, end: int) -> tuple[int, list[Term]]:
        """The terms of bytes `start` to `end` of a file, no more chunks than needed, and what to skip of the first."""
        found, offset, skip = [], 0, 0
        for term in self.files[file]:
            plain = self.xorbs[term.xorb].plain
            low, high = max(start - offset, 0), min(end - offset, term.length)
            if low < high:
                base = plain[term.first]
                first = bisect_right(plain, base + low) - 1
                last = bisect_right(plain, base + high - 1)
                skip = skip if found else base + low - plain[first]
                found.append(Term(term.xorb, plain[last] - plain[first], first, last))
            offset += term.length
        return skip, found


def _files(shard: bytes) -> dict[str, list[Term]]:
    """The files of a shard (https://huggingface.co/docs/xet/shard): 48 bytes an entry, after a header of 48."""
    found, at = {}, 48
    while shard[at : at + 32] != _END:
        flags, count = struct.unpack_from("<II", shard, at + 32)
        entries = (struct.unpack_from("<32s4x3I", shard, at + 48 * (number + 1)) for number in range(count))
        found[_hex(shard[at : at + 32])] = [Term(_hex(xorb), *sizes) for xorb, *sizes in entries]
        at += 48 * (1 + count + (count if flags & _COUNTED else 0) + (1 if flags & _DESCRIBED else 0))
    return found


def _hex(digest: bytes) -> str:
    """A Xet hash as it is written: four numbers, least byte first."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", digest))


def _xorb(path: Path) -> Xorb:
    """Chunk headers, up to the footer: version, packed length, compression, plain length."""
    packed, plain = [0], [0]
    with path.open("rb") as file:
        while (header := file.read(8)) and header[0] == 0:
            length = int.from_bytes(header[1:4], "little")
            file.seek(length, os.SEEK_CUR)
            packed.append(packed[-1] + 8 + length)
            plain.append(plain[-1] + int.from_bytes(header[5:8], "little"))
    return Xorb(path, packed, plain)


@dataclass(slots=True, kw_only=True)
class Asked:
    """One request: `kind` is `reconstruction`, `xorb` or `other`; `sent` counts bytes of the body."""

    kind: str
    path: str
    range: tuple[int, int] | None
    token: str
    host: str = ""
    status: int = 0
    sent: int = 0


Spoil = Callable[["_Handler", memoryview], None]


@dataclass(slots=True)
class Fault:
    """What happens to answers of a `kind` once `after` bytes of them went out honestly; None `times`: to all."""

    kind: str
    spoil: Spoil
    after: int = 0
    times: int | None = None

    def takes(self, kind: str) -> bool:
        if kind != self.kind or self.times == 0:
            return False
        self.times = None if self.times is None else self.times - 1
        return True


def stalls(handler: _Handler, _rest: memoryview) -> None:
    """Nothing more, for as long as the client waits and the store stands."""
    while not handler.cas.closing.is_set() and not select.select([handler.connection], [], [], 0.1)[0]:
        pass
    handler.close_connection = True


def cuts(handler: _Handler, _rest: memoryview) -> None:
    """The connection ends."""
    handler.close_connection = True


def flips(handler: _Handler, rest: memoryview) -> None:
    """One wrong byte in the middle of what is left."""
    spoilt = bytearray(rest)
    spoilt[len(spoilt) // 2] ^= 1
    handler.give(memoryview(spoilt))


def trickles(handler: _Handler, rest: memoryview) -> None:
    """Four bytes a second."""
    for at in range(0, len(rest), 2):
        if handler.cas.closing.wait(0.5):
            return
        handler.give(rest[at : at + 2])


def refuses(status: int, body: bytes = b"") -> Spoil:
    """This status instead of an answer; only for faults after 0 bytes."""

    def refusing(handler: _Handler, _rest: memoryview) -> None:
        handler.begin(status, len(body))
        handler.give(memoryview(body))

    refusing.before = True  # type: ignore[attr-defined]
    return refusing


@dataclass(slots=True)
class Cas:
    """The store behind HTTP on 127.0.0.1, as a context manager. `routes`: the versions of its API that it knows.

    `latency`: seconds until an answer begins.
    """

    store: XetStore
    routes: tuple[str, ...] = ("v1", "v2")
    token: str | None = None
    latency: float = 0.0
    faults: list[Fault] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    closing: threading.Event = field(default_factory=threading.Event)
    _server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"cas": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.set()
        assert self._server
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        assert self._server
        return f"http://127.0.0.1:{self._server.server_port}"

    def of(self, kind: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.kind == kind]

    def bytes_of(self, kind: str) -> int:
        return sum(asked.sent for asked in self.of(kind))


class _Handler(BaseHTTPRequestHandler):
    cas: Cas
    protocol_version = "HTTP/1.1"
    wbufsize = 0
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        match = re.fullmatch(r"/(?:(v1|v2)/reconstructions|(xorbs))/([0-9a-f]{64})", path)
        version, xorb, name = match.groups() if match else (None, None, "")
        kind = "xorb" if xorb else "reconstruction" if version else "other"
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self._asked = Asked(kind=kind, path=path, range=self._range(), token=token, host=self.headers["Host"])
        self.cas.asked.append(self._asked)
        self.cas.closing.wait(self.cas.latency)
        fault = next((fault for fault in self.cas.faults if fault.takes(kind)), None)
        if kind == "other" or (version and version not in self.cas.routes):
            self._refuse(404)
        elif version and self.cas.token is not None and token != self.cas.token:
            self._refuse(401)
        elif fault and hasattr(fault.spoil, "before"):
            fault.spoil(self, memoryview(b""))
        elif xorb:
            self._xorb(name, fault)
        else:
            self._reconstruction(version or "", name, fault)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._asked = Asked(kind="other", path=self.path, range=None, token="")
        self.cas.asked.append(self._asked)
        self._refuse(404)

    def _range(self) -> tuple[int, int] | None:
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        return (int(match[1]), int(match[2]) + 1) if match else None

    def _xorb(self, name: str, fault: Fault | None) -> None:
        with self.cas.store.xorbs[name].path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start, end = self._asked.range or (0, size)
            self.begin(206, end - start, {"Content-Range": f"bytes {start}-{end - 1}/{size}"})
            if fault is None:
                self._asked.sent += os.sendfile(self.connection.fileno(), file.fileno(), start, end - start)
                while self._asked.sent < end - start:
                    at = start + self._asked.sent
                    self._asked.sent += os.sendfile(self.connection.fileno(), file.fileno(), at, end - at)
            else:
                file.seek(start)
                self._spoilt(file.read(end - start), fault)

    def _reconstruction(self, version: str, file: str, fault: Fault | None) -> None:
        file = self.cas.aliases.get(file, file)
        if file not in self.cas.store.files:
            return self._refuse(404)
        size = sum(term.length for term in self.cas.store.files[file])
        start, end = self._asked.range or (0, size)
        if start >= size:
            return self._refuse(416)
        skip, terms = self.cas.store.reconstruction(file, start, min(end, size))
        told = {"offset_into_first_range": skip, "terms": [_term(term) for term in terms]}
        body = json.dumps(told | self._fetches(version, terms)).encode()
        self.begin(200, len(body), {"Content-Type": "application/json"})
        return self._spoilt(body, fault) if fault else self.give(memoryview(body))

    def _fetches(self, version: str, terms: list[Term]) -> dict[str, Any]:
        """Where the chunks of all terms are: neighbours of one xorb in one range, none of them twice."""
        ranges: dict[str, list[tuple[int, int]]] = {}
        for term in sorted(terms, key=lambda term: term.first):
            known = ranges.setdefault(term.xorb, [])
            if known and term.first <= known[-1][1]:
                known[-1] = known[-1][0], max(known[-1][1], term.last)
            else:
                known.append((term.first, term.last))
        if version == "v2":
            return {"xorbs": {xorb: [self._fetch(xorb, spans)] for xorb, spans in ranges.items()}}
        return {"fetch_info": {xorb: [self._fetch_v1(xorb, span) for span in spans] for xorb, spans in ranges.items()}}

    def _fetch(self, xorb: str, spans: list[tuple[int, int]]) -> dict[str, Any]:
        told = [{"chunks": _span(*span), "bytes": self._packed(xorb, span)} for span in spans]
        return {"url": f"{self.cas.endpoint}/xorbs/{xorb}?signature=s3cret", "ranges": told}

    def _fetch_v1(self, xorb: str, span: tuple[int, int]) -> dict[str, Any]:
        url = f"{self.cas.endpoint}/xorbs/{xorb}?signature=s3cret"
        return {"range": _span(*span), "url": url, "url_range": self._packed(xorb, span)}

    def _packed(self, xorb: str, span: tuple[int, int]) -> dict[str, int]:
        packed = self.cas.store.xorbs[xorb].packed
        return _span(packed[span[0]], packed[span[1]] - 1)

    def _refuse(self, status: int) -> None:
        self.begin(status, 0)

    def begin(self, status: int, length: int, headers: Mapping[str, str] | None = None) -> None:
        self._asked.status = status
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def give(self, data: memoryview) -> None:
        self.connection.sendall(data)
        self._asked.sent += len(data)

    def _spoilt(self, body: bytes, fault: Fault) -> None:
        honest = min(fault.after, len(body))
        self.give(memoryview(body)[:honest])
        fault.spoil(self, memoryview(body)[honest:])

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True  # the client has left

    def log_message(self, *_arguments: object) -> None:
        """Nothing: what was asked is kept in `asked`."""


def _term(term: Term) -> dict[str, Any]:
    return {"hash": term.xorb, "unpacked_length": term.length, "range": _span(term.first, term.last)}


def _span(start: int, end: int) -> dict[str, int]:
    return {"start": start, "end": end}
