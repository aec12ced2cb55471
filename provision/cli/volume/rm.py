"""`provision volume rm`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provision.cli import clouds, console, options
from provision.errors import CloudUnavailable, InputError
from provision.names import shown
from provision.report.document import SCHEMA

if TYPE_CHECKING:
    from provision.pods.cloud import Cloud, NetworkVolume

PAUSES = (0.0, 1.0, 2.0, 4.0)
"""Seconds before each look whether it is gone."""


@click.command("rm")
@click.argument("volume_id", metavar="ID")
@click.option("--yes-delete", metavar="NAME", help="The volume's name, for scripts: do not ask for it.")
@options.manifests
@clouds.option
@options.output
def command(volume_id: str, yes_delete: str | None, manifests: str, cloud: str | None, output: str) -> None:
    """Delete the network volume ID and all that is on it, for ever.

    It says what is lost, and asks for the volume's name; without a terminal only --yes-delete will do. A volume that a
    pod uses is not deleted.
    """
    from provision.cli.volume.known import required_volume, volume_document, volume_text

    with options.told_errors(output, "what is left of the volume is then deleted"):
        at = clouds.cloud(cloud)
        volume = required_volume(at, volume_id)
        _check_unused(at, volume)
        price = at.volume_price(volume.size)
        console.say(f"{volume_text(volume, price)}\nall that is on it is lost: {_lost(at, volume, Path(manifests))}")
        _check_meant(volume, yes_delete)
        at.delete_volume(volume.id)
        _confirm_gone(at, volume)
        document = {"schema": SCHEMA, "ok": True, "cloud": at.name, "deleted": volume_document(volume, price)}
        options.show([f"{shown(volume.id)} is deleted"], document, output)


def _check_unused(cloud: Cloud, volume: NetworkVolume) -> None:
    from provision.pods.lease import lease_of

    users = [pod for pod in cloud.pods() if pod.volume_id == volume.id]
    if users:
        ours = [pod.id for pod in users if lease_of(pod.name)]
        raise InputError(
            f"{shown(volume.id)} is used by pod {', '.join(shown(pod.id) for pod in users)}",
            hint=f"give it back first: provision pod rm {' '.join(map(shown, ours))}{clouds.flag(cloud)}"
            if ours
            else "no pod of provision: delete it where it was made",
        )


def _lost(cloud: Cloud, volume: NetworkVolume, manifests: Path) -> str:
    from provision.cli.volume.known import content_text, contents

    now = time.time()
    known = [content_text(content, now) for content in contents(cloud, [volume], manifests)[volume.id]]
    return "; ".join(known) or "nothing is known here of what that is"


def _check_meant(volume: NetworkVolume, given: str | None) -> None:
    """Raise InputError unless a person, or a script, has given the volume's name; of one without a name its id."""
    expected = volume.name or volume.id
    if given is None:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise InputError(
                "there is no terminal to ask whether this is meant",
                hint="give the volume's name: --yes-delete NAME",
            )
        given = click.prompt(
            f"type its name, {shown(expected)}, to delete it", default="", show_default=False, err=True
        )
    if given != expected:
        raise InputError(
            f"`{shown(given)}` is not the name of {shown(volume.id)}; nothing was deleted",
            hint=f"its name is {shown(expected)}",
        )


def _confirm_gone(cloud: Cloud, volume: NetworkVolume) -> None:
    from provision.crew import Stop

    stop = Stop()
    for pause in PAUSES:
        stop.sleep(pause)
        if cloud.volume(volume.id) is None:
            return
    raise CloudUnavailable(
        f"{shown(volume.id)} was deleted, and is still listed: it may still cost money",
        hint="look with `provision volume ls` in a while, then run the same command again",
    )
