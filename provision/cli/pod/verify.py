"""`provision pod verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from provision.cli import options, settings
from provision.cli.pod import asked as pods
from provision.cli.pod.fill import run
from provision.errors import InputError


@click.command("verify")
@options.projects
@options.manifests
@pods.of_pods
@click.option("--quick", is_flag=True, help="Presence, size, header and receipt only. [default: every byte]")
@click.option("--sample", type=settings.Share(), help="As --quick, and read this share of all pieces, as 5%.")
@click.option(
    "--max-age", type=settings.Duration("7d, 12h or 90m", bare=False), help="What was proven since is not read again."
)
@click.option("--strict", is_flag=True, help="Also report files that nobody promised.")
def command(projects: tuple[str, ...], manifests: str, **flags: Any) -> int | None:
    """Verify network volumes against their locks, in temporary pods. With several volumes: where they differ.

    As `provision pod fill`, but nothing is fetched. Without PROJECT, against the locks of all manifests. Through S3 a
    volume can be verified without a pod, though not in full: `provision verify --volume s3://ID`.
    """
    from provision.pods.job import Task

    quick, sample, max_age, strict = (flags.pop(name) for name in ("quick", "sample", "max_age", "strict"))
    passed = ["--quick"] * quick + ["--strict"] * strict
    if sample is not None:
        passed += ["--sample", str(sample)]
    if max_age is not None:
        passed += ["--max-age", f"{max_age:.0f}s"]
    asked = pods.Asked(projects=projects, manifests=Path(manifests), task=Task.VERIFY, verify=tuple(passed), **flags)
    with options.told_errors(asked.output):
        asked.check()
        if quick and (sample is not None or max_age is not None):
            raise InputError("--quick reads nothing: leave out --sample and --max-age")
        return run(asked)
