"""`provision verify`."""

from __future__ import annotations

import random
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provision.cli import console, options, reports, settings, views
from provision.errors import ExitCode, InputError, LockMissing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provision.lock import Lock
    from provision.verification import Reading, Verification
    from provision.volume.view import View


@click.command("verify")
@options.projects
@options.manifests
@options.view
@click.option("--full", "mode", flag_value="full", help="Read every byte back. [default for a mounted volume]")
@click.option(
    "--quick",
    "mode",
    flag_value="quick",
    help="Presence, size, header and receipt: for a worker's start. [default for s3://]",
)
@click.option(
    "--sample", type=settings.Share(), help="As --quick, and read this share of all pieces, as 5%, at random."
)
@click.option(
    "--max-age", type=settings.Duration(), help="With --full: what was proven since, as 7d, is not read again."
)
@click.option("--anew", is_flag=True, help="With --full: do not go on where one that was cut short has stopped.")
@click.option("--strict", is_flag=True, help="Also report files that nobody promised.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first file that is not as promised.")
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
@options.quiet
def command(projects: tuple[str, ...], manifests: str, **flags: Any) -> int:
    """Prove that a volume holds what its locks promise; offline. Exit 3 when it does not.

    With PROJECT, the lock beside the manifest is the truth. Without, every lock that a fill has left on the volume is
    verified. What --quick cannot vouch for without reading is `unproven`, never `ok`.
    """
    asked = _Asked(**flags)
    with options.told_errors(asked.output):
        return _verify(projects, Path(manifests), asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    volume: str | None
    datacenter: str | None
    endpoint_url: str | None
    mode: str | None
    sample: float | None
    max_age: float | None
    anew: bool
    strict: bool
    fail_fast: bool
    scan_pickles: bool
    jobs: int | None
    output: str
    files: tuple[str, ...]
    quiet: bool


def _verify(projects: Sequence[str], manifests: Path, asked: _Asked) -> int:
    from provision.verification import verify
    from provision.verification.copies import copy_notes

    for path in asked.files:
        reports.form_of(path)
    volume = views.Named(volume=asked.volume, datacenter=asked.datacenter, endpoint_url=asked.endpoint_url)
    is_mounted = not volume.is_bucket
    reading = _reading(asked, is_mounted=is_mounted)
    with views.opened(volume, reading.stop) as (view, mounted):
        named = _named(projects, manifests)
        locks = list(named) if projects else _left(view, is_mounted=is_mounted)
        with views.runs(view) if reading.mode == "full" else nullcontext() as run:
            promised = _further(view) if asked.strict and is_mounted else ()
            verification = verify(view, locks, replace(reading, records=mounted, run=run, promised=promised))
        if projects:
            notes = (*copy_notes(view, locks), *verification.notes)
            verification = replace(verification, notes=notes)
    _report(verification, named or dict.fromkeys(locks), asked)
    return ExitCode.DONE if verification.ok else ExitCode.BYTES


def _reading(asked: _Asked, *, is_mounted: bool) -> Reading:
    from provision.crew import Stop
    from provision.retry import Patience, Retry
    from provision.verification import Mode, Reading

    if asked.sample is not None and asked.mode is not None:
        raise InputError(f"--sample and --{asked.mode} exclude each other", hint="choose one")
    mode = Mode.SAMPLE if asked.sample is not None else Mode(asked.mode or ("full" if is_mounted else "quick"))
    if mode is not Mode.FULL and (asked.max_age is not None or asked.anew):
        raise InputError("--max-age and --anew are about what --full reads again", hint=f"leave out --{mode.value}")
    stop = Stop()
    few = 1 if is_mounted else views.REQUESTS
    return Reading(
        mode=mode,
        files_at_once=asked.jobs or (few if mode is Mode.QUICK else max(settings.cores(), few)),
        progress=console.progress(quiet=asked.quiet or (mode is Mode.QUICK and is_mounted)),
        stop=stop,
        clock=time.time,
        retry=Retry(patience=Patience(attempts=3), sleep=stop.sleep),
        max_age=asked.max_age,
        anew=asked.anew,
        share=asked.sample or 1.0,
        draw=random.SystemRandom(),
        fail_fast=asked.fail_fast,
        strict=asked.strict,
        scan_pickles=asked.scan_pickles,
    )


def _named(projects: Sequence[str], manifests: Path) -> dict[Lock, Path]:
    """The locks beside the manifests of `projects`, and where they are. Raises InputError, LockError."""
    if not projects:
        return {}
    from provision.cli.projects import find, required_lock

    return {required_lock(project): project.lock for project in find(projects, manifests)}


def _left(view: View, *, is_mounted: bool) -> list[Lock]:
    """The locks that fills have left on the volume. Raises InputError, LockError."""
    if not is_mounted:
        raise InputError(
            f"{view.path}: name the projects to verify",
            hint="through S3 a volume is not listed: RunPod would read all of it first",
        )
    from provision.volume.locks import read_locks

    locks = read_locks(view)
    if not locks:
        raise LockMissing(
            f"{view.path} holds no lock: nothing was ever filled here",
            hint="is this the volume? name a project to verify against its own lock, or fill: provision fill PROJECT",
        )
    return locks


def _further(view: View) -> tuple[Lock, ...]:
    """What other projects were promised on the same volume: their files are not unexpected."""
    from provision.volume.locks import read_locks

    return tuple(read_locks(view))


def _report(verification: Verification, locks: Mapping[Lock, Path | None], asked: _Asked) -> None:
    files = {lock.project: path for lock, path in locks.items() if path is not None}
    reported = reports.Reported(verification=verification, locks=tuple(locks), where=options.where(), files=files)
    for path in asked.files:
        reports.write(reported, path)
    reports.show(reported, asked.output)
