"""Bytes that move twice: after a kill half way, and to mend one flipped byte. Counted where they leave the server."""

from __future__ import annotations

import filecmp
import os
import signal
import statistics
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from material import MIB
from measurement import CommandFailed, in_fresh_folder, measure
from page import Budget, Row, Section, mib
from peers import ARIA2, aria2

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench import Bench
    from hub import Hub
    from measurement import Command

PIECE = 16 * MIB
STREAMS = 8  # of `provision fill`, so that the budget is known
TURNS = 3  # bytes scatter little
LOOK = 0.002  # seconds between two looks at the server's count
QUIET = 0.1  # seconds in which nothing leaves the server any more

TOLD_KILLED = """\
kill -9 when half of {material} has left the server, then the same command again to its end. Told is what was fetched
twice: all that the two runs read from their connections, less one whole copy. `provision fill` has {streams}
connections, and a budget of one piece of 16 MiB for each. `aria2c` notes its place once a minute unless
`--auto-save-interval` says otherwise.{skipped}"""

TOLD_FLIPPED = """\
One byte in the middle of the largest file ({largest}) is flipped, length and time stamp as before. `provision verify`
and `hf cache verify` find it; then `provision fill`, `modelscope download`, `hf download --force-download` of that file
and `aria2c --check-integrity` mend it. Told is what left the server.{skipped}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """How one tool fetches, finds damage (None: while it fetches), and fetches the file `name` again."""

    name: str
    fetch: Callable[[Path], Command]
    find: Callable[[Path], Command] | None
    mend: Callable[[Path, str], Command]


def killed(bench: Bench) -> Section:
    """What is fetched twice after kill -9."""
    tools = [*_clients(bench), *_aria2(bench, "-c"), *_aria2(bench, "-c", "--auto-save-interval=1")]
    twice = _medians(bench, tools, _fetched_twice)
    told = TOLD_KILLED.format(material=bench.material.mebibytes, streams=STREAMS, skipped=_skipped())
    return Section(title="Killed half way", told=told, rows=_rows("fetched twice", twice, STREAMS * PIECE))


def flipped(bench: Bench) -> Section:
    """What is fetched to mend one byte."""
    fetched = _medians(bench, [*_clients(bench), *_aria2(bench, "--check-integrity=true")], _fetched_to_mend)
    told = TOLD_FLIPPED.format(largest=mib(bench.material.files[0].stat().st_size), skipped=_skipped())
    return Section(title="One flipped byte", told=told, rows=_rows("fetched", fetched, PIECE))


def _aria2(bench: Bench, *options: str) -> list[Tool]:
    """aria2c with `options`, where it is installed."""
    if ARIA2.absent:
        return []
    name = " ".join(["aria2c", *options])
    return [
        Tool(
            name=name,
            fetch=lambda place: aria2(bench, place, *options),
            find=None,
            mend=lambda place, _: aria2(bench, place, *options),
        )
    ]


def _skipped() -> str:
    return f" aria2c is {ARIA2.absent}." if ARIA2.absent else ""


def _clients(bench: Bench) -> list[Tool]:
    ours = Tool(
        name="provision",
        fetch=lambda place: bench.fill(place, "modelscope", STREAMS),
        find=lambda place: bench.verify(place, code=3),
        mend=lambda place, _: bench.fill(place, "modelscope", STREAMS),
    )
    modelscope = Tool(
        name="modelscope download",
        fetch=bench.modelscope,
        find=None,
        mend=lambda place, _: bench.modelscope(place),
    )
    hf = Tool(
        name="hf download",
        fetch=bench.hf,
        find=lambda place: bench.hf_verify(place, code=1),
        mend=lambda place, name: bench.hf(place, name, "--force-download"),
    )
    return [ours, modelscope, hf]


def _medians(bench: Bench, tools: list[Tool], count: Callable[[Bench, Tool, Path], int]) -> dict[str, float]:
    counts: dict[str, list[int]] = {tool.name: [] for tool in tools}
    for _ in range(min(bench.runs, TURNS)):
        for tool in tools:
            counts[tool.name].append(in_fresh_folder(bench.folder, partial(count, bench, tool)))
    return {name: statistics.median(values) for name, values in counts.items()}


def _rows(what: str, counts: dict[str, float], most: int) -> tuple[Row, ...]:
    (_, ours), *peers = counts.items()
    budget = Budget(value=ours / MIB, most=most / MIB, unit=" MiB")
    return tuple(
        Row(
            what=f"{what}, against {name}",
            ours=mib(ours),
            peer=f"{mib(theirs)} {name}",
            ratio=ours / theirs if theirs else None,
            budget=budget,
        )
        for name, theirs in peers
    )


def _fetched_twice(bench: Bench, tool: Tool, place: Path) -> int:
    began = bench.hub.sent()
    command = tool.fetch(place)
    unread = 0

    def kill(pid: int) -> None:
        nonlocal unread
        _when_sent(bench.hub, began + bench.material.size // 2, pid)
        os.kill(pid, signal.SIGSTOP)  # so that what is under way stays there, to be counted
        _settled(bench.hub)
        unread = _unread(bench.hub)
        os.kill(pid, signal.SIGKILL)

    measure(replace(command, codes=(-signal.SIGKILL,)), kill)
    _settled(bench.hub)
    measure(command)
    return bench.hub.sent() - began - unread - bench.material.size


def _when_sent(hub: Hub, count: int, pid: int) -> None:
    """Return when `count` bytes have left.

    Raises:
        CommandFailed: the process ended before.
    """
    while hub.sent() < count:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            raise CommandFailed("it ended before it could be killed half way")
        time.sleep(LOOK)


def _settled(hub: Hub) -> None:
    """Return when nothing leaves any more."""
    before = -1
    while before != (now := hub.sent()):
        before = now
        time.sleep(QUIET)


def _unread(hub: Hub) -> int:
    """Bytes from the server that nobody has read: in its own send queues and in the receive queues of its clients.

    From /proc/net/tcp (proc(5)): addresses as HEX:PORT, then the queues as TX:RX. Where there is none: 0, and what is
    told is more than was fetched twice.
    """
    port = int(hub.files.rpartition(":")[2])
    try:
        lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return 0
    total = 0
    for local, remote, _, queues in (line.split()[1:5] for line in lines):
        sending, receiving = (int(number, 16) for number in queues.split(":"))
        total += sending if _port(local) == port else receiving if _port(remote) == port else 0
    return total


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _fetched_to_mend(bench: Bench, tool: Tool, place: Path) -> int:
    measure(tool.fetch(place))
    source = bench.material.files[0]
    standing = next((place / "volume").rglob(source.name))
    _flip(standing)
    if tool.find is not None:
        measure(tool.find(place))
    began = bench.hub.sent()
    measure(tool.mend(place, source.name))
    fetched = bench.hub.sent() - began
    if not filecmp.cmp(source, standing, shallow=False):
        raise CommandFailed(f"{tool.name} did not mend the file")
    return fetched


def _flip(path: Path) -> None:
    """Change one byte in the middle; length and time stamp stay."""
    stat = path.stat()
    with path.open("r+b") as stream:
        stream.seek(stat.st_size // 2)
        (byte,) = stream.read(1)
        stream.seek(stat.st_size // 2)
        stream.write(bytes([byte ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
