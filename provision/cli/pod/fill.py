"""`provision pod fill`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from provision.cli import clouds, options, settings
from provision.cli.pod import asked as pods
from provision.errors import ExitCode, InputError


@click.command("fill")
@options.projects
@options.manifests
@pods.of_pods
@click.option(
    "--pods",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="So many pods on each volume, each with a share of the files.",
)
@click.option("--connections", "-c", type=click.IntRange(1, 64), help="In the pod, as of `provision fill`.")
@click.option("--per-host", type=click.IntRange(1, 64), help="As of `provision fill`.")
@click.option("--max-rate", type=settings.Size(), help="As of `provision fill`.")
@click.option("--transport", type=click.Choice(["auto", "http", "xet"]), help="As of `provision fill`.")
def command(projects: tuple[str, ...], manifests: str, **flags: Any) -> int | None:
    """Fill network volumes from their locks in temporary pods, and bring back the proof.

    Rents the cheapest machine that can mount the volume, runs `provision fill` and `provision verify` there, shows the
    progress here, writes PROJECT.VOLUME.proof.json beside the manifest, and gives the pod back whatever happens: by
    itself at its deadline, too. Interrupted or killed, the same command resumes. Exit 9 is the loudest: a pod may still
    be billing. Without PROJECT, the volume is filled from the locks of all manifests.
    """
    from provision.pods.job import Task

    passed = [
        text
        for name in ("connections", "per_host", "max_rate", "transport")
        if (value := flags.pop(name)) is not None
        for text in (f"--{name.replace('_', '-')}", str(value))
    ]
    asked = pods.Asked(projects=projects, manifests=Path(manifests), task=Task.FILL, fill=tuple(passed), **flags)
    with options.told_errors(asked.output):
        asked.check()
        if asked.files and asked.pods > 1:
            raise InputError(
                "--report is about a whole volume, --pods makes shares",
                hint="fill first, then provision pod verify --report FILE",
            )
        return run(asked)


def run(asked: pods.Asked) -> int | None:
    """Do what was asked for; the exit code. Raises ProvisionError for what ends it before anything is rented."""
    from provision.cli.pod import estimates
    from provision.cli.pod.errands import Preparation, wanted
    from provision.cli.pod.outcomes import Telling, outcomes, tell
    from provision.cli.pod.running import carried_out, seen_through

    what = wanted(asked)
    cloud = clouds.cloud(asked.cloud)
    prepared = Preparation(asked=asked, cloud=cloud, what=what).errands()
    if asked.dry_run:
        estimates.show(cloud, prepared, asked.output)
        return None
    telling = Telling(cloud=cloud, what=what, output=asked.output, files=asked.files)
    with seen_through() as heard:
        code = tell(telling, outcomes(prepared, carried_out(asked, cloud, prepared)))
        return code or (ExitCode.DONE if heard() else ExitCode.FAULT)
