"""`provision status`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provision.cli import console, options, settings, views
from provision.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.lock import Lock
    from provision.status import Status


@click.command("status")
@options.projects
@options.manifests
@options.volume
@options.volume_size
@options.output
def command(
    projects: tuple[str, ...], manifests: str, volume: str | None, volume_size: int | None, output: str
) -> None:
    """Show what a volume holds: what was promised, what is there and proven, what else takes room, who is at work.

    With PROJECT, the lock beside the manifest is what was promised. Without, every lock that a fill has left on the
    volume. It reads no weights and judges nothing: exit 0 when it could look. `provision verify` judges.
    """
    with options.told_errors(output):
        if volume is not None and volume.startswith(views.BUCKET):
            raise InputError(
                f"{volume} cannot be walked: listing a volume through S3 takes RunPod minutes",
                hint="mount it, or ask about what was promised: provision verify PROJECT --volume s3://VOLUME_ID",
            )
        found = _status(projects, Path(manifests), settings.volume_path(volume), volume_size)
        _show(found, output)


def _status(projects: Sequence[str], manifests: Path, path: str, size: int | None) -> Status:
    from provision.status import status
    from provision.volume.locks import read_locks
    from provision.volume.mount import Volume

    with Volume.open(path) as volume:
        kept = read_locks(volume)
        named = _named(projects, manifests)
        others = [lock for lock in kept if lock.project not in {one.project for one in named}]
        return status(volume, named or kept, others, time.time(), size)


def _named(projects: Sequence[str], manifests: Path) -> list[Lock]:
    from provision.cli.projects import find, required_lock

    return [required_lock(project) for project in find(projects, manifests)] if projects else []


def _show(found: Status, output: str) -> None:
    from provision.report.paint import Paint
    from provision.report.status import status_document, status_lines

    if output == "json":
        options.show([], status_document(found), "json")
    else:
        options.show(status_lines(found, Paint(enabled=console.colour()), options.commands()), {}, "text")
