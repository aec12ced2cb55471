"""Fills against the hubs' own clients, in memory and on a disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from measurement import Command, Contender, measure_all, take_turns
from page import Row, Section, cpu, peak, rate, wall

if TYPE_CHECKING:
    from pathlib import Path

    from bench import Bench
    from measurement import Measurement, Run

TOLD = """\
{material} from loopback, {runs} turns. `provision fill` checks sha256 and safetensors headers; `modelscope download`
checks sha256; `hf download` checks nothing, so `hf cache verify` follows it. {where}"""

ON_DISK = """\
The same on a disk, each followed by `sync -f`: until then the peers' bytes are in the page cache only, while
`provision` has flushed its own before it says that a file is there. The disk sets the pace, so there is no budget."""


def filling(bench: Bench) -> Section:
    """The material, in memory."""
    ours, modelscope, ours_hf, hf = _measured(bench, bench.folder, ())
    size = bench.material.size
    rows = (
        Row(what="rate, from ModelScope", ours=rate(size, ours.seconds), peer=rate(size, modelscope.seconds)),
        wall("wall, from ModelScope", ours, modelscope, 0.8),
        cpu("CPU, from ModelScope", ours, modelscope, 1.0),
        peak("peak memory, from ModelScope", ours, modelscope, 150),
        wall("wall, from Hugging Face", ours_hf, hf, 0.3),
        cpu("CPU, from Hugging Face", ours_hf, hf),
        peak("peak memory, from Hugging Face", ours_hf, hf, 150),
    )
    told = TOLD.format(material=bench.material.mebibytes, runs=bench.runs, where=bench.where)
    return Section(title="Fill", told=told, rows=rows)


def filling_on_disk(bench: Bench) -> Section:
    """The same where flushing costs something."""
    ours, modelscope, ours_hf, hf = _measured(bench, bench.disk, ("sync", "-f", "volume"))
    rows = (
        wall("wall with flush, from ModelScope", ours, modelscope),
        wall("wall with flush, from Hugging Face", ours_hf, hf),
    )
    return Section(title="Fill, on a disk", told=ON_DISK, rows=rows)


def _measured(bench: Bench, below: Path, flush: tuple[str, ...]) -> list[Measurement]:
    def work(place: Path, *commands: Command) -> Run:
        bench.material.warm()
        last = [Command(argv=flush, cwd=place, environment={"PATH": "/usr/bin:/bin"})] if flush else []
        return measure_all([*commands, *last])

    contenders = [
        Contender(name="provision fill", work=lambda place: work(place, bench.fill(place, "modelscope"))),
        Contender(name="modelscope download", work=lambda place: work(place, bench.modelscope(place))),
        Contender(name="provision fill", work=lambda place: work(place, bench.fill(place, "hf"))),
        Contender(
            name="hf download, hf cache verify", work=lambda place: work(place, bench.hf(place), bench.hf_verify(place))
        ),
    ]
    return take_turns(contenders, bench.runs, below)
