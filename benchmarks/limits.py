"""Limits: what the wire and the hash give by themselves, so that a reader sees what holds the others back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench import hashing
from measurement import Command, CommandFailed, Contender, measure, take_turns
from page import Row, Section, rate

if TYPE_CHECKING:
    from bench import Bench
    from measurement import Run

_HERE = Path(__file__).parent

TOLD = """\
{material}. The wire: all files at once from the server of this benchmark (sendfile, a process of its own on the same
cores), received and thrown away. The hash: {hashing} over the same files on all cores. Where a fill is near the wire's
rate, the server holds it back, not the tool. Each turn of the wire also proves the count of what left the server."""


def limits(bench: Bench) -> Section:
    """The wire alone, and sha256 alone."""
    files = bench.material.files
    addresses = [bench.hub.address(path.name) for path in files]
    wire = Command(
        argv=(sys.executable, str(_HERE / "wire.py"), str(len(files)), *addresses),
        cwd=bench.folder,
        environment={"PATH": "/usr/bin"},
    )
    contenders = [
        Contender(name="the wire", work=lambda _: proven(bench, wire)),
        Contender(name="the hash", work=lambda place: measure(bench.hash_all(place, files))),
    ]
    rows = tuple(
        Row(what=f"{taken.name} alone", ours=rate(bench.material.size, taken.seconds), peer=f"{taken.cpu:.2f} s")
        for taken in take_turns(contenders, bench.runs, bench.folder)
    )
    told = TOLD.format(material=bench.material.mebibytes, hashing=hashing().name)
    return Section(title="Limits", told=told, rows=rows, heads=("", "rate", "CPU"))


def proven(bench: Bench, wire: Command) -> Run:
    """One run, which shows that the server counts what it sends: to the byte, since all of it is read.

    Raises:
        CommandFailed: it does not.
    """
    run = bench.counted(wire)
    if run.sent != bench.material.size:
        raise CommandFailed(f"{bench.material.size} bytes were received, the server counted {run.sent}")
    return run
