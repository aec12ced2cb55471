"""Verification: every byte against `openssl dgst`, near and from afar; a worker's start against `import click`."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import hashing
from material import write_weights
from measurement import Command, Contender, in_fresh_folder, measure, take_turns
from page import Budget, Row, Section, cpu, peak, wall

from provision.lock import HeaderFacts, Lock, LockedFile, LockedModel
from provision.volume.locks import write_lock
from provision.volume.mount import Volume

if TYPE_CHECKING:
    from bench import Bench
    from measurement import Measurement

FEW, MANY = 6, 10_000
SHORT = 4  # times as many turns for what takes a blink

TOLD_FULL = """\
{material} in the page cache, all {cores} cores. `openssl dgst` and `sha256sum` hash each file once and
compare nothing; the hubs' clients ask their hub for what is right."""

TOLD_FAR = """\
The same files, but each reader of one gets {rate} MiB/s and no more, as one does from a network volume: `far.c` makes
every read wait. The peer hashes the files on all cores, each with one read after the other (Python's
`hashlib.file_digest`)."""

NO_COMPILER = "Not measured: `far.c`, which makes files far away, needs Linux and a C compiler (cc)."

FAR_RATE = 767  # MiB/s: what one reader got from RunPod's network volume; sixteen got 3,445

_FAR = Path(__file__).parent / "far.c"
_ONE_BY_ONE = "import hashlib, sys; hashlib.file_digest(open(sys.argv[1], 'rb'), 'sha256')"

TOLD_QUICK = """\
The whole process, from `exec` to exit. {few} files with headers of 90 kB, {many:,} with small ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Files of one kind: `count` of them, each of `tensors` squares of `side` numbers."""

    count: int
    tensors: int
    side: int


def verifying_full(bench: Bench) -> Section:
    """Every byte of the material."""
    ours, openssl, *others = in_fresh_folder(bench.folder, lambda place: _full(bench, place))
    rows = (
        wall("wall", ours, openssl, 1.05),
        *(wall("wall", ours, other) for other in others),
        cpu("CPU", ours, openssl),
        peak("peak memory", ours, openssl, 150),
    )
    told = TOLD_FULL.format(material=bench.material.mebibytes, cores=os.cpu_count())
    return Section(title="Verify, full", told=told, rows=rows)


def _full(bench: Bench, place: Path) -> list[Measurement]:
    measure(bench.fill(place, "modelscope"))
    bench.material.warm()
    files = sorted((place / "volume").rglob("*.safetensors"))
    contenders = [
        Contender(name="provision", work=lambda _: measure(bench.verify(place, "--full", "--quiet"))),
        Contender(name=hashing().name, work=lambda _: measure(bench.hash_all(place, files))),
        Contender(name="sha256sum", work=lambda _: measure(bench.hash_all(place, files, ("sha256sum",)))),
        Contender(name="hf cache verify", work=lambda _: measure(bench.hf_verify(place, folder="volume/weights"))),
        Contender(name="modelscope cache verify", work=lambda _: measure(bench.modelscope_verify(place))),
    ]
    return take_turns(contenders, bench.runs, bench.folder)


def verifying_far(bench: Bench) -> Section:
    """Every byte of the material, where each read has to be waited for."""
    title = "Verify, full, from afar"
    if shutil.which("cc") is None or sys.platform != "linux":
        return Section(title=title, told=NO_COMPILER, rows=())
    ours, peer = in_fresh_folder(bench.folder, lambda place: _far(bench, place))
    rows = wall("wall", ours, peer), cpu("CPU", ours, peer), peak("peak memory", ours, peer, 150)
    return Section(title=title, told=TOLD_FAR.format(rate=FAR_RATE), rows=rows)


def _far(bench: Bench, place: Path) -> list[Measurement]:
    measure(bench.fill(place, "modelscope"))
    shim = place / "far.so"
    words = ("cc", "-O2", "-shared", "-fPIC", "-o", str(shim), str(_FAR), "-ldl")
    measure(Command(argv=words, cwd=place, environment={"PATH": os.environ["PATH"]}))
    bench.material.warm()
    files = sorted((place / "volume").rglob("*.safetensors"))
    one_by_one = bench.hash_all(place, files, (sys.executable, "-c", _ONE_BY_ONE))
    contenders = [
        Contender(name="provision", work=lambda _: measure(_from_afar(bench.verify(place, "--full", "--quiet"), shim))),
        Contender(name="one by one", work=lambda _: measure(_from_afar(one_by_one, shim))),
    ]
    return take_turns(contenders, bench.runs, bench.folder)


def _from_afar(command: Command, shim: Path) -> Command:
    far = {"LD_PRELOAD": str(shim), "FAR_RATE": str(FAR_RATE)}
    return replace(command, environment={**command.environment, **far})


def verifying_quick(bench: Bench) -> Section:
    """A worker's start, and ten thousand files."""
    few = Kind(count=FEW, tensors=1_000, side=8)
    many = Kind(count=MANY, tensors=2, side=1)
    ours, click = in_fresh_folder(bench.folder, lambda place: _quick(bench, place, few))
    ours_many, _ = in_fresh_folder(bench.folder, lambda place: _quick(bench, place, many))
    budget = Budget(value=ours_many.seconds, most=1.5, unit=" s")
    rows = (
        wall(f"wall, {FEW} files", ours, click, 2.0),
        cpu(f"CPU, {FEW} files", ours, click),
        Row(what=f"wall, {MANY:,} files", ours=f"{ours_many.seconds:.2f} s", budget=budget),
        Row(what=f"peak memory, {MANY:,} files", ours=f"{ours_many.peak / 2**20:.1f} MiB"),
    )
    return Section(title="Verify, quick", told=TOLD_QUICK.format(few=FEW, many=MANY), rows=rows)


def _quick(bench: Bench, place: Path, kind: Kind) -> list[Measurement]:
    _make_volume(place / "volume", kind)
    measure(bench.verify(place, "--full", "--quiet"))  # leaves the receipts
    click = bench.command(place, "python", "-c", "import click")
    contenders = [
        Contender(name="provision", work=lambda _: measure(bench.verify(place, "--quick"))),
        Contender(name="import click", work=lambda _: measure(click)),
    ]
    return take_turns(contenders, SHORT * bench.runs, bench.folder)


def _make_volume(root: Path, kind: Kind) -> None:
    """A volume with files of one kind and their lock, a hundred in a folder."""
    first = root / "0" / "0.safetensors"
    first.parent.mkdir(parents=True)
    write_weights(first, kind.tensors, kind.side)
    targets = [f"{index // 100}/{index}.safetensors" for index in range(kind.count)]
    for target in targets[1:]:
        (root / target).parent.mkdir(exist_ok=True)
        shutil.copyfile(first, root / target)
    with Volume.open(str(root)) as volume:
        write_lock(volume, _lock(first.read_bytes(), targets, kind))


def _lock(data: bytes, targets: list[str], kind: Kind) -> Lock:
    length = 8 + int.from_bytes(data[:8], "little")
    parameters = kind.tensors * kind.side**2
    header = HeaderFacts(
        sha256=hashlib.sha256(data[:length]).hexdigest(),
        tensors=kind.tensors,
        parameters=parameters,
        dtypes=(("F32", parameters),),
    )
    sha256 = hashlib.sha256(data).hexdigest()
    model = LockedModel(
        name="weights",
        source="hf://acme/weights",
        revision="main",
        commit=None,
        layout="tree",
        license=None,
        meaning_sha256="0" * 64,
        files=tuple(
            LockedFile(path=target, target=target, size=len(data), sha256=sha256, header=header) for target in targets
        ),
    )
    return Lock(project="bench", root="", manifest_sha256="0" * 64, models=(model,))
