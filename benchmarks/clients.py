"""Which HTTP client: each receives the same file and throws it away. Printed, and written to docs/http-clients.md.

Packages that only this needs are installed into a folder that goes away; what cannot be installed is left out, and
said to be.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import textwrap
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from measurement import Command, Contender, measure, take_turns
from page import MIB, Section, load, machine, mib, spread, table
from run import MEMORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from measurement import Measurement, Run

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "http-clients.md"
WIDTH = 120
ONLY_HERE = ("httpx", "pycurl", "aiohttp")
CLIENTS = {
    "provision": ("`provision`: urllib3, read into a buffer", "provision.hubs.http.wire, urllib3"),
    "http_client": ("`http.client` bare, read into a `bytearray`", "http.client, ssl"),
    "urllib3_read1": ("`urllib3`, `read1`", "urllib3"),
    "httpx": ("`httpx`, `iter_raw`", "httpx"),
    "httpx2": ("`httpx2`, `iter_raw`", "httpx2"),
    "pycurl": ("`pycurl`, callback", "pycurl"),
    "aiohttp": ("`aiohttp`, `iter_any`", "aiohttp"),
}
"""How each is called, and what it imports."""

PREAMBLE = """\
# The HTTP client

Written by `python benchmarks/clients.py`, which measures everything below anew. Each client is a process of its own
that receives a file from another process on this machine and throws it away; the numbers hold the start of Python and
the import. Medians of runs that took turns; in brackets the fastest and the slowest.
"""
DECISION = """\
`provision` keeps `urllib3` for everything around a body (pools, proxies, tunnels, certificates, timeouts: what would
have to be written and tested anew over bare sockets) and reads the body itself below it, from the standard library's
answer that `urllib3` reads from as well, into a buffer of the reader's. `http.client`'s own `readinto` waits until the
whole buffer is full and loses what came when it fails; ours gives what is there. `read1` of `urllib3` is as cheap in
this test, where each `bytes` is thrown away at once and the next lies where it was; bytes that are kept until a thread
has hashed and written them are not, and over TLS, as everything from a hub comes, it gives them by the record (16 KiB),
as `httpx` does: so many more hashes and writes. `pycurl` spends less over TLS, but is a C library more, with proxies
and certificates by other rules than the rest of Python, and gives its own `bytes` too. `httpx` and `httpx2` cost more;
`aiohttp` comes close over TLS only, and is a world of its own. So: no new dependency, and no copy.

Where a buffer begins matters as much as the client. A large `bytearray` begins 16 bytes into a page, and to there AMD's
Zen copies at a third of its speed: without TLS the row of `http.client` shows it. Ours begins 64 bytes into one.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of a table, as it is shown."""

    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """What all of them share: the `size` that is received, where packages lie, how often each takes its turn."""

    folder: Path
    packages: Path
    clients: tuple[str, ...]
    size: int
    runs: int

    @property
    def environment(self) -> Mapping[str, str]:
        return {"PATH": os.environ["PATH"], "PYTHONPATH": f"{HERE.parent}{os.pathsep}{self.packages}"}

    def python(self, *arguments: str) -> Run:
        command = Command(argv=(sys.executable, *arguments), cwd=self.folder, environment=self.environment)
        return measure(command)

    def received(self, client: str, url: str, connections: int, ca: str) -> Run:
        words = [client, url, str(self.size), str(connections), *([ca] if ca else [])]
        return self.python(str(HERE / "receiving.py"), *words)

    def taking_turns(self, url: str, connections: int, ca: str = "") -> list[Measurement]:
        contenders = [
            Contender(name=client, work=lambda _, client=client: self.received(client, url, connections, ca))
            for client in self.clients
        ]
        return take_turns(contenders, self.runs, self.folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="turns of each client (default: 5)")
    parser.add_argument("--size", type=int, default=1024, help="MiB received (default: 1024); others write no page")
    arguments = parser.parse_args()
    facts, size = machine(), arguments.size * MIB
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        arena = _arena(Path(folder), size, arguments.runs)
        text = _page(arena, facts)
    print(text)
    if arguments.size == parser.get_default("size"):
        PAGE.write_text(text, encoding="utf-8")
    return 0


def _arena(folder: Path, size: int, runs: int) -> Arena:
    packages = folder / "packages"
    missing = {package for package in ONLY_HERE if not _installed(package, packages)}
    clients = tuple(client for client in CLIENTS if client not in missing)
    return Arena(folder=folder, packages=packages, clients=clients, size=size, runs=runs)


def _installed(package: str, folder: Path) -> bool:
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--target", folder, package]
    return subprocess.run(argv, check=False, stderr=subprocess.DEVNULL).returncode == 0


def _page(arena: Arena, facts: list[str]) -> str:
    left_out = [CLIENTS[client][0] for client in CLIENTS if client not in arena.clients]
    facts += [f"left out, since it cannot be installed here: {name}" for name in left_out]
    sections = [table(section) for section in (*_plain(arena), _secure(arena), _imports(arena))]
    facts = [*facts, f"at the end, {load()}"]
    listed = "\n".join(textwrap.fill(f"- {fact}", WIDTH, subsequent_indent="  ") for fact in facts)
    return "\n".join([PREAMBLE, listed, "", *sections, "## The decision\n", DECISION])


def _plain(arena: Arena) -> Iterator[Section]:
    file = arena.folder / "file"
    with file.open("wb") as sink:
        for _ in range(arena.size // MIB):
            sink.write(os.urandom(MIB))
    with _sending(file) as url:
        for connections, words in ((1, "One connection"), (4, "Four connections")):
            told = f"{mib(arena.size)}, sent by sendfile(2)."
            yield _section(words, told, arena.taking_turns(url, connections))
    file.unlink()
    file.touch()
    os.truncate(file, arena.size)


def _secure(arena: Arena) -> Section:
    """As what hubs send: their bytes come by TLS."""
    names = arena.folder / "certificate.pem", arena.folder / "key.pem"
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=bench"
    made = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(names[0]), "-keyout", str(names[1])]
    subprocess.run([*words.split(), *made], check=True, capture_output=True)
    told = (
        f"{mib(arena.size)} through one connection. The sender encrypts in Python: its speed is the limit, CPU tells."
    )
    with _sending(arena.folder / "file", *map(str, names)) as url:
        return _section("One connection, TLS", told, arena.taking_turns(url, 1, str(names[0])))


def _section(title: str, told: str, measured: list[Measurement]) -> Section:
    ours = measured[0].cpu
    lines = [
        Line(cells=(CLIENTS[one.name][0], spread(one), f"{one.cpu:.2f} s", f"{one.cpu / ours:.2f}", mib(one.peak)))
        for one in measured
    ]
    return Section(title=title, told=told, rows=tuple(lines), heads=("client", "wall", "CPU", "CPU, ours = 1", "peak"))


def _imports(arena: Arena) -> Section:
    contenders = [Contender(name="", work=lambda _: arena.python("-c", "pass"))]
    for client in arena.clients:
        code = f"import {CLIENTS[client][1]}"
        contenders.append(Contender(name=client, work=lambda _, code=code: arena.python("-c", code)))
    nothing, *measured = take_turns(contenders, arena.runs, arena.folder)
    lines = [Line(cells=(CLIENTS[one.name][0], f"{(one.seconds - nothing.seconds) * 1000:.0f} ms")) for one in measured]
    told = "What importing it adds to a Python that does nothing."
    return Section(title="Import", told=told, rows=tuple(lines), heads=("client", "wall"))


@contextmanager
def _sending(*words: object) -> Iterator[str]:
    argv = [sys.executable, str(HERE / "sending.py"), *map(str, words)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


if __name__ == "__main__":
    sys.exit(main())
