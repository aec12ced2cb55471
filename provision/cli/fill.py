"""`provision fill`."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provision.cli import console, options, settings
from provision.cli.projects import Project, check_fresh, find, read_lock, read_manifest, required_lock, write_lock
from provision.errors import InputError, VerificationFailed, worst
from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from provision.crew import Stop
    from provision.lock import Lock
    from provision.shard import Shard
    from provision.transfer.fill import Means, Prospect
    from provision.transfer.outcome import Filling
    from provision.verification.findings import ModelMisfit
    from provision.volume.mount import Volume

CONNECTIONS, MOST = 8, 32
"""How many a fill begins with, and to how many it goes by itself. By measurement: docs/engine.md."""

ENOUGH, LEAST = 4_000_000, 1_000_000
"""Bytes a second that one connection brings on most lines, and those for which another is worth while."""


@click.command("fill")
@options.projects
@options.manifests
@options.volume
@options.volume_size
@click.option("--locked", is_flag=True, help="Exit 4 if a lock is missing, instead of making it.")
@click.option("--frozen", is_flag=True, help="Use the locks as they are; manifests are not even read.")
@click.option("--dry-run", is_flag=True, help="Show what would be done; change nothing on the volume.")
@click.option(
    "--connections",
    "-c",
    type=click.IntRange(1, 64),
    help="Connections at once, for all files together. "
    f"[default: {CONNECTIONS}, and up to {MOST} while more of them bring more]",
)
@click.option("--per-host", type=click.IntRange(1, 64), help="Of these, to one host. [default: all]")
@click.option(
    "--max-rate", type=settings.Size(), help="Take no more bytes a second from the network, all connections together."
)
@click.option(
    "--shard", type=settings.ShardType(), help="Only this share of all files, by bytes: 2/8 is the second of eight."
)
@click.option(
    "--max-time",
    type=settings.Duration(empty=False),
    help="Stop after so long, as 90m or 1h30m; the next run resumes.",
)
@click.option(
    "--transport",
    type=click.Choice(["auto", "http", "xet"]),
    default="auto",
    show_default=True,
    help="How files come from Hugging Face: over plain HTTP, or from its Xet storage. auto: http.",
)
@options.output
@options.progress_file
@options.quiet
def command(projects: tuple[str, ...], manifests: str, **flags: Any) -> int | None:
    """Bring a volume to its locks: fetch what is missing, resume what was cut, repair what is damaged.

    A file gets its name only when its length, sha256 and safetensors header are as locked. Interrupted or killed, the
    same command goes on where it stopped; nothing that is proven is fetched twice. A missing lock is made first; a lock
    that does not belong to its manifest any more is refused. Without PROJECT, every manifest's lock is filled.
    """
    asked = _Asked(**flags)
    with options.told_errors(asked.output):
        if asked.locked and asked.frozen:
            raise InputError("--locked checks the locks against their manifests, --frozen does not: choose one")
        return _fill(projects, Path(manifests), asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    volume: str | None
    volume_size: int | None
    locked: bool
    frozen: bool
    dry_run: bool
    connections: int | None
    per_host: int | None
    max_rate: int | None
    max_time: float | None
    shard: Shard | None
    transport: str
    output: str
    progress_file: str | None
    quiet: bool


def _fill(projects: Sequence[str], manifests: Path, asked: _Asked) -> int | None:
    from provision.cli import logins
    from provision.crew import Stop
    from provision.report import document, text
    from provision.report.paint import Paint
    from provision.transfer.fill import fill, look_ahead
    from provision.volume.mount import Volume

    if asked.transport == "xet":
        _prepare_xet()
    stop = Stop()
    _expire(stop, asked.max_time)
    with Volume.open(settings.volume_path(asked.volume)) as volume:
        locks = _locks(projects, manifests, volume, lambda project: _lock(project, asked, stop))
        ahead = look_ahead(volume, locks, time.time(), asked.shard)
        for hub in ahead.plan.hubs:
            logins.check_endpoint(hub)
        if asked.dry_run:
            _show_plan(volume, ahead, asked)
            return None
        filling = fill(volume, ahead, _means(asked, stop))
        misfits = _misfits(volume, locks, filling)
        paint = Paint(enabled=console.colour())
        if asked.output == "json":
            options.show([], document.filling_document(filling, volume.path, misfits), "json")
        else:
            options.show(text.filling_lines(filling, paint), {}, "text")
    if not asked.quiet:
        for line in text.misfit_lines(misfits):
            console.say(line)
    errors = [*filling.errors, *_unfit(misfits)]
    if not errors:
        return None
    error = worst(errors)
    if asked.output == "text":
        console.show_error(error)
    return error.exit_code


def _show_plan(volume: Volume, ahead: Prospect, asked: _Asked) -> None:
    """What does not fit is shown all the same, but not as JSON: there the error is the one document."""
    from provision.report import document, text
    from provision.transfer.fill import check_fits
    from provision.volume.writer import new_writer

    if asked.output == "text":
        options.show([f"{volume.path}:", *text.plan_lines(ahead.plan)], {}, "text")
    check_fits(volume, ahead, new_writer(), time.time(), asked.volume_size)
    if asked.output == "json":
        options.show([], document.plan_document(ahead.plan, volume.path), "json")


def _misfits(volume: Volume, locks: Sequence[Lock], filling: Filling) -> list[ModelMisfit]:
    """What does not fit together in the models of which all stands, fetched now or before: one fill, one verdict."""
    from provision.verification.fit import misfits_of

    return misfits_of(
        volume, locks, {outcome.step.file.target for outcome in filling.outcomes if outcome.error is None}
    )


def _unfit(misfits: Sequence[ModelMisfit]) -> list[VerificationFailed]:
    """Locks refuse such models, but an older release did not, and nobody has said that it may be so."""
    grave = {f"{found.project}/{found.model}": found for found in misfits if found.misfit.grave}
    if not grave:
        return []
    first = next(iter(grave.values()))
    told = f"{shown(first.misfit.path)}: {first.misfit.detail}"
    more = f"; {len(grave) - 1} more" if len(grave) > 1 else ""
    return [
        VerificationFailed(
            f"{next(iter(grave))} is as promised, and does not fit together: {told}{more}",
            hint="change its entry in the manifest, or set `allow_incomplete: true` there; "
            f"then provision lock {first.project}",
        )
    ]


def _connections(asked: _Asked) -> tuple[int, int]:
    """How many to begin with, and how many at most: as asked for, and no more than are of use. A low rate needs few,
    and each has a piece to lose.
    """
    first, most = (asked.connections, asked.connections) if asked.connections else (CONNECTIONS, asked.per_host or MOST)
    if asked.max_rate is not None:
        first, most = max(1, min(first, asked.max_rate // ENOUGH)), max(1, min(most, asked.max_rate // LEAST))
    if asked.transport == "xet":
        from provision.hubs.xet import STREAMS

        most = min(most, STREAMS)
    return min(first, most), most


def _prepare_xet() -> None:
    """What has to be done before hf_xet is imported and threads are started."""
    from provision.hubs.xet import share_heaps

    os.environ.setdefault("HF_XET_LOG_DEST", os.devnull)  # else its import makes a log in HF_HOME
    share_heaps()


def _expire(stop: Stop, seconds: float | None) -> None:
    """Ask for a stop when `seconds` are over, counted from now."""
    if seconds is not None:
        timer = threading.Timer(seconds, stop.expire)
        timer.daemon = True
        timer.start()


def _locks(projects: Sequence[str], manifests: Path, volume: Volume, lock_of: Callable[[Project], Lock]) -> list[Lock]:
    """The locks of `projects`. One that is not known here, but was filled before, is filled from the volume's copy:
    a worker has no manifests.
    """
    from provision.volume.locks import read_lock as read_copy

    if not projects:
        return [lock_of(project) for project in find([], manifests)]
    locks = []
    for name in projects:
        try:
            found = find([name], manifests)
        except InputError:
            copy = None if "/" in name else read_copy(volume, name)
            if copy is None:
                raise
            console.say(f"{name}: no manifest here; its lock on the volume is used")
            locks.append(copy)
        else:
            locks += [lock_of(project) for project in found]
    return locks


def _lock(project: Project, asked: _Asked, stop: Stop) -> Lock:
    """The project's lock: as it is (frozen), fresh or refused (locked), made when there is none."""
    if asked.frozen:
        return required_lock(project)
    known = required_lock(project) if asked.locked else read_lock(project)
    if known is not None:
        check_fresh(project, known)
        return known
    from provision.cli.supplies import supply
    from provision.resolution import Request, resolve

    tell = (lambda _: None) if asked.quiet else console.say
    made = resolve(Request(manifest=read_manifest(project), known=None), supply(stop, tell), stop, tell)
    if not asked.dry_run:
        write_lock(project, made)
        tell(f"made {project.lock}: commit it")
    return made


def _means(asked: _Asked, stop: Stop) -> Means:
    from provision.cli.supplies import supply
    from provision.transfer.fill import Means
    from provision.transfer.rate import Rate
    from provision.transfer.width import Machine, Width
    from provision.volume.writer import new_writer

    first, most = _connections(asked)
    limits = settings.Limits(connections=most, per_host=asked.per_host or most)
    machine = Machine(clock=time.monotonic, used=time.process_time, cores=settings.cores())
    progress = console.progress(quiet=asked.quiet, file=asked.progress_file)
    return Means(
        supply=supply(stop, progress.note, limits),
        writer=new_writer(),
        progress=progress,
        stop=stop,
        clock=time.time,
        width=Width(first, most, machine, stop),
        rate=Rate(asked.max_rate, time.monotonic, stop.sleep),
        xet=asked.transport == "xet",
        volume_size=asked.volume_size,
    )
