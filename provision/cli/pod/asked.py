"""What is asked of a pod on the command line: shared by `pod fill` and `pod verify`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from provision.cli import clouds, options, reports, settings
from provision.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from provision.pods.job import Task

C = TypeVar("C", bound="Callable[..., Any]")

WAIT = 600.0
"""Seconds to go round the machines while none is free."""

_OPTIONS = (
    clouds.option,
    click.option(
        "--volume-id",
        "volumes",
        metavar="ID",
        multiple=True,
        help="The network volume; given again, each of them in a pod of its own. [default: the only one there is]",
    ),
    click.option(
        "--datacenter",
        "datacenters",
        metavar="ID",
        multiple=True,
        help="Where the volume is: EU-RO-1. Without --volume-id the only volume there is meant.",
    ),
    click.option("--cpu", metavar="ID|any", default="", help="Only this CPU instance (cpu3g-4-16), or any."),
    click.option("--gpu", metavar="ID|any", default="", help="Only this type of GPU, or any. [default: a CPU first]"),
    click.option("--max-price", type=click.FloatRange(min=0, min_open=True), help="Most USD an hour for one pod."),
    click.option(
        "--wait",
        type=settings.Duration(),
        default=WAIT,
        help="How long to try while no machine is free. [default: 10m]",
    ),
    click.option(
        "--max-time",
        type=settings.Duration("4h, 90m or 300s", bare=False),
        help="The lease: by then the pod is gone, whatever happens. [default: 15m and three times the estimate]",
    ),
    click.option(
        "--image", default="python:3.12-slim", show_default=True, help="The container image: any with Python 3.11."
    ),
    click.option(
        "--package",
        envvar="PROVISION_PACKAGE",
        help="What the pod installs: whatever pip takes; a wheel that lies here travels along. [default: this release]",
    ),
    click.option(
        "--secret",
        "secrets",
        metavar="NAME=SECRET",
        multiple=True,
        help="The variable NAME has the value of RunPod's secret SECRET: HF_TOKEN=my_token.",
    ),
    click.option(
        "--env",
        "variables",
        metavar="NAME[=VALUE]",
        multiple=True,
        help="A further variable for the pod; without VALUE as it is here.",
    ),
    click.option("--dry-run", is_flag=True, help="Show pod, bytes, minutes, dollars and requests; rent nothing."),
    click.option(
        "--detach", is_flag=True, help="Return when the pod is at work; it gives itself back when it is done."
    ),
    click.option(
        "--report",
        "files",
        metavar="FILE",
        multiple=True,
        help="Write the verification's report to FILE as well: .txt .json .xml .html .md",
    ),
    options.output,
    options.quiet,
)


def of_pods(command: C) -> C:
    """The options that `pod fill` and `pod verify` share."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for. `fill` and `verify` are arguments for the commands in the pod."""

    projects: tuple[str, ...]
    manifests: Path
    cloud: str | None
    volumes: tuple[str, ...]
    datacenters: tuple[str, ...]
    cpu: str
    gpu: str
    max_price: float | None
    wait: float
    max_time: float | None
    image: str
    package: str | None
    secrets: tuple[str, ...]
    variables: tuple[str, ...]
    dry_run: bool
    detach: bool
    files: tuple[str, ...]
    output: str
    quiet: bool
    task: Task
    pods: int = 1
    fill: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise InputError for what is wrong whatever the cloud says."""
        for path in self.files:
            reports.check(path)
        endings = [os.path.splitext(path)[1] for path in self.files]  # noqa: PTH122 - as in reports
        if len(set(endings)) < len(endings):
            raise InputError("two --report files of one kind", hint="a pod brings back one of each")


def environment(asked: Asked, caller: Mapping[str, str]) -> dict[str, str]:
    """The variables that --secret and --env ask for. Raises InputError."""
    found = {}
    for text in asked.secrets:
        name, _, secret = text.partition("=")
        if not (_is_name(name) and secret and secret.replace("_", "a").isalnum()):
            raise InputError(
                f"--secret is NAME=SECRET, not `{name}`…", hint="--secret HF_TOKEN=my_token: both are names"
            )
        found[name] = f"{{{{ RUNPOD_SECRET_{secret} }}}}"
    for text in asked.variables:
        name, has_value, value = text.partition("=")
        if not _is_name(name) or name.startswith(("PROVISION_", "RUNPOD_")):
            raise InputError(f"--env takes NAME or NAME=VALUE, and no name of ours or RunPod's: not `{name}`")
        if not has_value and name not in caller:
            raise InputError(f"--env {name}: there is no such variable here", hint=f"--env {name}=VALUE")
        found[name] = value if has_value else caller[name]
    return found


def _is_name(text: str) -> bool:
    return text.isidentifier() and text.isascii()
