"""Fills against everybody else: large files in memory and on a disk, small files, and how many connections are best."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hub import serving
from limits import proven
from material import prepare_small
from measurement import Command, Contender, take_turns
from page import TIMES, Budget, Line, Row, Section, mib, rate, spread, wall
from peers import ARIA2, CURL, CURL_AND_HASH, HF, MODELSCOPE, STREAMS, ours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench import Bench
    from measurement import Measurement, Run
    from peers import Tool

SMALL_FILES, SMALL_SIZE = 2_000, 16 * 1024
WIDTHS = (None, 1, 2, 4, 8, 16)
TURNS = 3  # where it is only about the shape of a curve
OURS = ours("modelscope"), ours("hf")
WALL = {MODELSCOPE.name: 0.8, HF.name: 0.3}  # budgets, as ratios
CPU = {MODELSCOPE.name: 1.0}
PEAK = 150  # MiB
HEADS = ("", "proves", "wall", "CPU", "peak memory", "left the server", "ours/its wall", "ours/its CPU", "budget")

TOLD = """\
{material} from loopback, medians of {runs} turns. Ratios are of `provision fill` from the same hub to the tool of that
line; `aria2c` and `curl` fetch from ModelScope's addresses. `aria2c` has {streams} connections for each file and
`--file-allocation=none`; `curl` has one. CPU and memory are of the tool and its children. {where}"""

TOLD_SMALL = """\
{count:,} files of {size} KiB, medians of {runs} turns. Python serves them, from memory: a trivial client that throws
them away over {streams} kept connections gets {ceiling:,.0f} files a second, which is the most that anyone gets."""

TOLD_WIDTHS = """\
`provision fill --connections N` of {material} from ModelScope's side over loopback, medians of {runs} turns."""

ON_DISK = """\
The same on a disk, each followed by `sync -f`: until then the peers' bytes are in the page cache only, while
`provision` has flushed its own before it says that a file is there. The disk sets the pace, so there is no budget."""


def filling(bench: Bench) -> Section:
    """The material, in memory."""
    tools = (*OURS, MODELSCOPE, HF, ARIA2, CURL, CURL_AND_HASH)
    told = TOLD.format(material=bench.material.mebibytes, runs=bench.runs, streams=STREAMS, where=bench.where)
    return Section(title="Fill", told=told, rows=_lines(_measured(bench, tools), tools, budgets=True), heads=HEADS)


def filling_small(bench: Bench) -> Section:
    """Many small files."""
    count = SMALL_FILES // 10 if bench.small else SMALL_FILES
    material = prepare_small(bench.folder / "small", count, SMALL_SIZE)
    tools = (*OURS, MODELSCOPE, HF, CURL)
    with serving(material.root) as hub, bench.elsewhere("small", material, hub) as small:
        (ceiling,) = take_turns([Contender(name="the wire", work=partial(_trivial, small))], bench.runs, bench.folder)
        measured = _measured(small, tools)
    told = TOLD_SMALL.format(
        count=count, size=SMALL_SIZE // 1024, runs=bench.runs, streams=STREAMS, ceiling=count / ceiling.seconds
    )
    return Section(title="Fill, small files", told=told, rows=_lines(measured, tools, budgets=False), heads=HEADS)


def filling_widths(bench: Bench) -> Section:
    """What the number of connections does where there is no distance."""

    def work(width: int | None, place: Path) -> Run:
        return bench.counted(bench.fill(place, "modelscope", width))

    runs = min(bench.runs, TURNS)
    contenders = [Contender(name=str(width or "by itself"), work=partial(work, width)) for width in WIDTHS]
    rows = tuple(
        Line((taken.name, rate(bench.material.size, taken.seconds), *_figures(taken)))
        for taken in take_turns(contenders, runs, bench.folder)
    )
    told = TOLD_WIDTHS.format(material=bench.material.mebibytes, runs=runs)
    heads = ("--connections", "rate", *HEADS[2:6])
    return Section(title="Fill, by connections", told=told, rows=rows, heads=heads)


def filling_on_disk(bench: Bench) -> Section:
    """The same where flushing costs something."""
    tools = (*OURS, MODELSCOPE, HF)
    measured = _measured(bench, tools, below=bench.disk, flush=("sync", "-f", "volume"))
    pairs = [(_peer_of_ours(tool, measured), measured[tool.name]) for tool in (MODELSCOPE, HF)]
    rows: tuple[Row, ...] = tuple(wall(f"wall with flush, {mine.name}", mine, theirs) for mine, theirs in pairs)
    return Section(title="Fill, on a disk", told=ON_DISK, rows=rows)


def _measured(
    bench: Bench, tools: Sequence[Tool], *, below: Path | None = None, flush: tuple[str, ...] = ()
) -> dict[str, Measurement]:
    """Those of `tools` that can run here, by name."""

    def work(tool: Tool, place: Path) -> Run:
        last = [Command(argv=flush, cwd=place, environment={"PATH": "/usr/bin:/bin"})] if flush else []
        return bench.counted(*tool.commands(bench, place), *last)

    contenders = [Contender(name=tool.name, work=partial(work, tool)) for tool in tools if not tool.absent]
    return {taken.name: taken for taken in take_turns(contenders, bench.runs, below or bench.folder)}


def _peer_of_ours(tool: Tool, measured: dict[str, Measurement]) -> Measurement:
    return measured[next(mine.name for mine in OURS if mine.scheme == tool.scheme)]


def _lines(measured: dict[str, Measurement], tools: Sequence[Tool], *, budgets: bool) -> tuple[Line, ...]:
    return tuple(
        Line((tool.name, tool.absent, *[""] * (len(HEADS) - 2)))
        if tool.absent
        else Line((tool.name, tool.proves, *_figures(measured[tool.name]), *_verdict(tool, measured, budgets=budgets)))
        for tool in tools
    )


def _figures(taken: Measurement) -> tuple[str, ...]:
    return spread(taken), f"{taken.cpu:.2f} s", mib(taken.peak), mib(taken.sent)


def _verdict(tool: Tool, measured: dict[str, Measurement], *, budgets: bool) -> tuple[str, str, str]:
    """How ours compares with `tool`, and the budget."""
    mine, its = _peer_of_ours(tool, measured), measured[tool.name]
    if mine is its:
        bound = Budget(value=its.peak / 2**20, most=PEAK, unit=" MiB")
        return "", "", f"peak {bound.shown}"
    walls, cpus = mine.seconds / its.seconds, mine.cpu / its.cpu
    bounds = [
        f"{what} {Budget(value=value, most=most[tool.name], unit=TIMES).shown}"
        for what, value, most in (("wall", walls, WALL), ("CPU", cpus, CPU))
        if budgets and tool.name in most
    ]
    return f"{walls:.2f}{TIMES}", f"{cpus:.2f}{TIMES}", ", ".join(bounds)


def _trivial(bench: Bench, place: Path) -> Run:
    addresses = [bench.hub.address(path.name) for path in bench.material.files]
    program = str(Path(__file__).parent / "wire.py")
    argv = (sys.executable, program, str(STREAMS), *addresses)
    return proven(bench, Command(argv=argv, cwd=place, environment={"PATH": "/usr/bin:/bin"}))
