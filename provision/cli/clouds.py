"""Clouds: the one that is named on the command line, reached as the environment says."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from provision.cli import console

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.pods.cloud import Cloud

C = TypeVar("C", bound="Callable[..., Any]")

CLOUDS = ("runpod", "local")

option = click.option(
    "--cloud",
    type=click.Choice(CLOUDS),
    envvar="PROVISION_CLOUD",
    help="Where pods and volumes are. local: processes and folders on this machine. "
    "[default: runpod where there is a key for it, else local]",
)


def cloud(name: str | None) -> Cloud:
    """The cloud called `name`; without a name RunPod where there is a key for it, else this machine.

    Raises:
        InputError: there is no key for it, or what is configured cannot be used.
    """
    from provision.pods.runpod.key import find_key

    key = find_key(os.environ, Path.home()) if name != "local" else None
    if name is None and key is None:
        console.say("no API key for RunPod is set: this is about this machine, as --cloud local")
        return _local()
    return _local() if name == "local" else _runpod(key)


def flag(cloud: Cloud) -> str:
    """What a command that is proposed needs to find the same cloud; "" for RunPod."""
    return "" if cloud.name == CLOUDS[0] else f" --cloud {cloud.name}"


def _local() -> Cloud:
    from provision.pods.local import Local

    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    return Local(state / "provision/cloud", environment=os.environ, clock=time.time)


def _runpod(key: str | None) -> Cloud:
    from provision.cli import settings
    from provision.errors import InputError
    from provision.pods.runpod import RunPod, RunPodSettings

    if key is None:
        raise InputError(
            "there is no API key for RunPod",
            hint="make one at https://console.runpod.io/user/settings, then export RUNPOD_API_KEY=…",
        )
    return RunPod(
        RunPodSettings(
            key=key,
            base_url=os.environ.get("RUNPOD_API_BASE_URL") or "https://api.runpod.io",
            pod_url=os.environ.get("PROVISION_POD_URL") or "https://{pod}-{port}.proxy.runpod.net",
            http=settings.http_settings(settings.Limits()),
        )
    )
