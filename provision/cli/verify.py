"""`provision verify`."""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provision.cli import console, options, settings
from provision.errors import ExitCode, LockMissing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.lock import Lock
    from provision.volume.mount import Volume


@click.command("verify")
@options.projects
@options.manifests
@options.volume
@click.option("--full", "mode", flag_value="full", default="full", help="Read every byte back. [default]")
@click.option("--quick", "mode", flag_value="quick", help="Presence, size, header and receipt: for a worker's start.")
@click.option("--jobs", "-j", type=click.IntRange(1, 256), help="Files read at once. [default: one for each core]")
@options.output
@options.quiet
def command(projects: tuple[str, ...], manifests: str, **flags: Any) -> int:
    """Prove that a volume holds what its locks promise; offline. Exit 3 when it does not.

    With PROJECT, the lock beside the manifest is the truth. Without, every lock that a fill has left on the volume is
    verified. What --quick cannot vouch for without reading is `unproven`, never `ok`.
    """
    asked = _Asked(**flags)
    with options.json_errors(asked.output):
        return _verify(projects, Path(manifests), asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    volume: str | None
    mode: str
    jobs: int | None
    output: str
    quiet: bool


def _verify(projects: Sequence[str], manifests: Path, asked: _Asked) -> int:
    from provision.crew import Stop
    from provision.retry import Patience, Retry
    from provision.verification import Mode, Reading, verify
    from provision.volume.mount import Volume

    stop = Stop()
    with Volume.open(str(settings.volume_path(asked.volume))) as volume:
        locks = _locks(projects, manifests, volume)
        reading = Reading(
            mode=Mode(asked.mode),
            files_at_once=asked.jobs or os.cpu_count() or 1,
            progress=console.progress(quiet=asked.quiet or asked.mode == "quick"),
            stop=stop,
            clock=time.time,
            retry=Retry(patience=Patience(attempts=3), sleep=stop.sleep),
        )
        verification = verify(volume, locks, reading)
    _show(verification, asked)
    return ExitCode.DONE if verification.ok else ExitCode.BYTES


def _locks(projects: Sequence[str], manifests: Path, volume: Volume) -> list[Lock]:
    if projects:
        from provision.cli.projects import find, required_lock

        return [required_lock(project) for project in find(projects, manifests)]
    from provision.volume.locks import read_locks

    locks = read_locks(volume)
    if not locks:
        raise LockMissing(
            f"{volume.path} holds no lock: nothing was ever filled here",
            hint="name a project to verify against its own lock, or fill the volume: provision fill PROJECT",
        )
    return locks


def _show(verification: Any, asked: _Asked) -> None:
    if asked.output == "json":
        from provision.report.document import verification_document

        options.show([], verification_document(verification), "json")
    else:
        from provision.report.findings import Paint, verification_lines

        options.show(verification_lines(verification, Paint(enabled=console.colour()), _where()), {}, "text")


def _where() -> str:
    """The volume as it was given on the command line, for the commands that a report proposes."""
    context = click.get_current_context()
    given = context.params["volume"]
    on_command_line = context.get_parameter_source("volume") is click.core.ParameterSource.COMMANDLINE
    return f" --volume {shlex.quote(given)}" if given and on_command_line else ""
