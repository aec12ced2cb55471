"""`provision volume resize`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from provision.cli import clouds, console, options, settings
from provision.errors import InputError
from provision.names import shown
from provision.report.document import SCHEMA

if TYPE_CHECKING:
    from provision.pods.cloud import Cloud, NetworkVolume


@click.command("resize")
@click.argument("volume_id", metavar="ID")
@click.argument("size", type=settings.Gigabytes())
@clouds.option
@options.output
def command(volume_id: str, size: int, cloud: str | None, output: str) -> None:
    """Grow the network volume ID to SIZE, as 100G or a number of GB. Volumes only grow: a smaller size is refused.

    What it holds stays. It costs more from then on, and cannot be made smaller again: less needs a new volume.
    """
    from provision.cli.volume.known import required_volume, volume_document, volume_text

    with options.told_errors(output, "it goes on as if nothing had happened"):
        at = clouds.cloud(cloud)
        volume = _grown(at, required_volume(at, volume_id), size)
        price = at.volume_price(volume.size)
        document = {"schema": SCHEMA, "ok": True, "cloud": at.name, "volume": volume_document(volume, price)}
        options.show([volume_text(volume, price)], document, output)


def _grown(cloud: Cloud, volume: NetworkVolume, size: int) -> NetworkVolume:
    from provision.pods.sizing import check_size, whole_gb

    wanted = whole_gb(size)
    if wanted < volume.size:
        raise InputError(
            f"volumes only grow: {shown(volume.id)} has {volume.size} GB, and cannot be made {wanted} GB",
            hint="create a smaller one with `provision volume create`, fill it, then delete this one",
        )
    if wanted == volume.size:
        console.say(f"{shown(volume.id)} has {wanted} GB already")
        return volume
    check_size(wanted)
    return cloud.resize_volume(volume.id, wanted)
