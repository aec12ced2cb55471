"""`provision verify`."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from provision.cli import console, options, reports, settings, views
from provision.errors import ExitCode, InputError, LockMissing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from provision.lock import Lock
    from provision.shard import Shard
    from provision.verification import Reading
    from provision.volume.view import View


@click.command("verify")
@options.projects
@options.manifests
@options.view
@click.option("--full", is_flag=True, help="Read every byte back. [default for a mounted volume]")
@click.option(
    "--quick", is_flag=True, help="Presence, size, header and receipt: for a worker's start. [default for s3://]"
)
@click.option(
    "--sample", type=settings.Share(), help="As --quick, and read this share of all pieces, as 5%, at random."
)
@click.option(
    "--max-age",
    type=settings.Duration("7d, 12h or 90m", bare=False),
    help="With --full: what was proven since, as 7d, is not read again.",
)
@click.option("--anew", is_flag=True, help="With --full: do not go on where one that was cut short has stopped.")
@click.option("--strict", is_flag=True, help="Also report files that nobody promised.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first file that is not as promised.")
@click.option(
    "--shard", type=settings.ShardType(), help="Only this share of all files, by bytes: 2/8 is the second of eight."
)
@click.option("--scan-pickles", is_flag=True, help="Look into pickles for what they would run (needs picklescan).")
@click.option("--jobs", "-j", type=click.IntRange(1, 256), help="Files read at once. [default: one for each core]")
@click.option(
    "--format",
    "output",
    type=click.Choice(reports.FORMATS),
    default="text",
    show_default=True,
    help="The report on stdout; github: annotations, and the step's summary.",
)
@click.option(
    "--report",
    "files",
    metavar="FILE",
    multiple=True,
    help="Write the report to FILE as well: .txt .json .xml (JUnit) .html .md; may be given more than once.",
)
@options.progress_file
@options.quiet
def command(projects: tuple[str, ...], manifests: str, **flags: Any) -> int:
    """Prove that a volume holds what its locks promise; offline. Exit 3 when it does not.

    With PROJECT, the lock beside the manifest is the truth. Without, every lock that a fill has left on the volume is
    verified. What --quick cannot vouch for without reading is `unproven`, never `ok`.
    """
    asked = _Asked(**flags)
    with options.told_errors(asked.output, "files that were read to their end are not read again"):
        return _verify(projects, manifests, asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    volume: str | None
    datacenter: str | None
    endpoint_url: str | None
    full: bool
    quick: bool
    sample: float | None
    max_age: float | None
    anew: bool
    strict: bool
    fail_fast: bool
    shard: Shard | None
    scan_pickles: bool
    jobs: int | None
    output: str
    files: tuple[str, ...]
    progress_file: str | None
    quiet: bool


def _verify(projects: Sequence[str], manifests: str, asked: _Asked) -> int:
    from provision.verification import verify
    from provision.verification.copies import copy_notes

    for path in asked.files:
        reports.check(path)
    volume = views.Named(volume=asked.volume, datacenter=asked.datacenter, endpoint_url=asked.endpoint_url)
    is_mounted = not volume.is_bucket
    reading = _reading(asked, is_mounted=is_mounted)
    with views.opened(volume, reading.stop) as (view, mounted):
        named = _named(projects, manifests)
        commands = options.commands(is_mounted=is_mounted)
        locks = list(named) if projects else _left(view, is_mounted=is_mounted)
        with views.runs(view) if reading.mode == "full" else nullcontext() as run:
            promised = _further(view) if asked.strict and is_mounted else ()
            verification = verify(view, locks, replace(reading, records=mounted, run=run, promised=promised))
        if projects:
            notes = (*copy_notes(view, locks), *verification.notes)
            verification = replace(verification, notes=notes)
    files = {lock.project: path for lock, path in named.items()}
    reported = tuple(locks) if asked.shard is None else _shared(locks, asked.shard)
    _report(reports.Reported(verification=verification, locks=reported, commands=commands, files=files), asked)
    return ExitCode.DONE if verification.ok else ExitCode.BYTES


def _reading(asked: _Asked, *, is_mounted: bool) -> Reading:
    from provision.crew import Stop
    from provision.retry import Patience, Retry
    from provision.verification import Mode, Reading

    modes = {Mode.FULL: asked.full, Mode.QUICK: asked.quick, Mode.SAMPLE: asked.sample is not None}
    chosen = [mode for mode, is_chosen in modes.items() if is_chosen]
    if len(chosen) > 1:
        raise InputError(f"--{chosen[0].value} and --{chosen[1].value} exclude each other", hint="choose one")
    mode = chosen[0] if chosen else Mode.FULL if is_mounted else Mode.QUICK
    if mode is not Mode.FULL and (asked.max_age is not None or asked.anew):
        raise InputError("--max-age and --anew are about what --full reads again", hint=f"leave out --{mode.value}")
    if asked.shard is not None and asked.strict:
        raise InputError("--strict looks at the whole volume, --shard at a share", hint="run --strict without --shard")
    stop = Stop()
    few = 1 if is_mounted else views.REQUESTS
    return Reading(
        mode=mode,
        files_at_once=asked.jobs or (few if mode is Mode.QUICK else max(settings.cores(), few)),
        progress=console.progress(quiet=asked.quiet or (mode is Mode.QUICK and is_mounted), file=asked.progress_file),
        stop=stop,
        clock=time.time,
        retry=Retry(patience=Patience(attempts=3), sleep=stop.sleep),
        max_age=asked.max_age,
        anew=asked.anew,
        share=asked.sample or 1.0,
        fail_fast=asked.fail_fast,
        strict=asked.strict,
        scan_pickles=asked.scan_pickles,
        shard=asked.shard,
    )


def _named(projects: Sequence[str], manifests: str) -> dict[Lock, Path]:
    """The locks beside the manifests of `projects`, and where they are. Raises InputError, LockError."""
    if not projects:
        return {}
    from pathlib import Path

    from provision.cli.projects import find, required_lock

    return {required_lock(project): project.lock for project in find(projects, Path(manifests))}


def _left(view: View, *, is_mounted: bool) -> list[Lock]:
    """The locks that fills have left on the volume. Raises InputError, LockError, VolumeAbsent."""
    if not is_mounted:
        raise InputError(
            f"{view.path}: name the projects to verify",
            hint="through S3 a volume is not listed: RunPod would read all of it first",
        )
    from provision.volume.locks import read_locks

    locks = read_locks(view)
    if not locks:
        from provision.verification.absence import check_attached

        check_attached(view)
        raise LockMissing(
            f"{view.path} holds no lock: nothing was ever filled here",
            hint="is this the volume? name a project to verify against its own lock, or fill: provision fill PROJECT",
        )
    return locks


def _shared(locks: Sequence[Lock], shard: Shard) -> tuple[Lock, ...]:
    """The locks with the files of `shard` alone: what a report of it is about."""
    from provision.shard import share

    return tuple(lock.only(share(locks, shard)) for lock in locks)


def _further(view: View) -> tuple[Lock, ...]:
    """What other projects were promised on the same volume: their files are not unexpected."""
    from provision.volume.locks import read_locks

    return tuple(read_locks(view))


def _report(reported: reports.Reported, asked: _Asked) -> None:
    reports.show(reported, asked.output)
    for path in asked.files:
        reports.write(reported, path)
