"""A fill from far away: what distance and loss do to one connection, and how many it takes."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from hub import serving
from longwire import FAR, Wire, build, controls, long_wire, missing
from material import prepare
from measurement import Command, in_fresh_folder, measure
from page import Line, Section, rate
from peers import ARIA2, CURL, HF_ALONE, MODELSCOPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench import Bench
    from longwire import Ends
    from material import Material
    from measurement import Run
    from peers import Tool

SIZES = (192, 64)  # MiB
SMALL = (24, 8)
WIDTHS = (None, 1, 4, 8, 16, 32)
LONGEST = 40.0  # seconds after which a contender is stopped
LOOK = 0.05  # seconds between two looks whether it has ended
WIRE = Wire(rate=10**9, delay=0.015, loss=0.001)
FREE = Wire(rate=10**11, delay=0, loss=0)
CONTROLS = ("cubic", "bbr")
TITLE = "Fill, from far away"

TOLD = """\
{material} over a simulated wide-area link: 1 Gbit/s, 30 ms there and back, of a thousand segments one is lost, each
way. TCP at both ends is the kernel's own; the server's congestion control is CUBIC, the default of Linux, or BBR, which
some CDNs have. One turn each: who has not ended after {longest:.0f} s is stopped, and the rate is of what had left the
server by then. `hf download` proves nothing here. Without delay, loss and limit the same link carries {free}. The
server sent twice: {again}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """Who fetches, and how; `absent` says why not."""

    name: str
    command: Callable[[Bench, Path], Command]
    absent: str | None = None


def wide(bench: Bench) -> Section:
    """Ours with several numbers of connections and the others, under each congestion control."""
    if why := missing():
        return Section(title=TITLE, told=f"Skipped: {why}.", rows=(), heads=("",))
    program = build(bench.folder)
    material = prepare(bench.folder / "wide", SMALL if bench.small else SIZES)
    with _far(bench, material, program, FREE) as (free, _):
        carried = rate(material.size, in_fresh_folder(bench.folder, partial(_trivial, free)).seconds)
    known = [name for name in CONTROLS if name in controls()]
    columns, again = [], []
    for control in known:
        with _far(bench, material, program, WIRE, control) as (far, ends):
            columns.append([_cells(far, one) for one in _contestants()])
            sent, twice = ends.retransmitted()
        again.append(f"{twice / sent:.2%} of {sent:,} segments ({control.upper()})")
    told = TOLD.format(material=material.mebibytes, longest=LONGEST, free=carried, again=", ".join(again))
    rows = tuple(
        Line((one.name, *chain.from_iterable(cells))) for one, *cells in zip(_contestants(), *columns, strict=True)
    )
    heads = ("", *chain.from_iterable((f"{name.upper()}: rate", "wall") for name in known))
    return Section(title=TITLE, told=told, rows=rows, heads=heads)


def _contestants() -> list[Contestant]:
    return [*map(_ours, WIDTHS), *map(_theirs, (MODELSCOPE, HF_ALONE, ARIA2, CURL))]


def _ours(width: int | None) -> Contestant:
    option = "" if width is None else f" --connections {width}"
    return Contestant(
        name=f"**provision fill**{option}",
        command=lambda bench, place: bench.fill(place, "modelscope", width),
    )


def _theirs(tool: Tool) -> Contestant:
    """A tool that does everything in one command."""
    return Contestant(name=tool.name, command=lambda bench, place: tool.commands(bench, place)[0], absent=tool.absent)


@contextmanager
def _far(
    bench: Bench, material: Material, program: Path, wire: Wire, congestion: str = ""
) -> Iterator[tuple[Bench, Ends]]:
    """The bench with its hub at the far end of `wire`, its commands at the near end."""
    with (
        long_wire(program, wire) as ends,
        serving(material.root, host=FAR, congestion=congestion, through=ends.far) as hub,
        bench.elsewhere("wide", material, hub, ends.near) as far,
    ):
        yield far, ends


def _cells(bench: Bench, one: Contestant) -> tuple[str, str]:
    """The rate and the time."""
    if one.absent:
        return one.absent, ""
    run = in_fresh_folder(bench.folder, partial(_at_most, bench, one))
    ended = run.code == 0
    return rate(run.sent, run.seconds), f"{run.seconds:.1f} s" if ended else "stopped"


def _at_most(bench: Bench, one: Contestant, place: Path) -> Run:
    """One run, stopped after LONGEST."""
    command = replace(one.command(bench, place), codes=(0, -signal.SIGKILL))
    bench.material.warm()
    before = bench.hub.sent()
    run = measure(command, _stop_when_late)
    return replace(run, sent=bench.hub.sent() - before)


def _stop_when_late(pid: int) -> None:
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(LOOK)
    os.kill(pid, signal.SIGKILL)


def _trivial(bench: Bench, place: Path) -> Run:
    """The whole material, received and thrown away."""
    addresses = [bench.hub.address(path.name) for path in bench.material.files]
    program = str(Path(__file__).parent / "wire.py")
    argv = (*bench.through, sys.executable, program, str(len(addresses)), *addresses)
    return measure(Command(argv=argv, cwd=place, environment={"PATH": os.environ["PATH"]}))
