"""`provision volume create`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provision.cli import clouds, console, options, settings
from provision.errors import CloudUnavailable, InputError, ProvisionError
from provision.names import shown
from provision.report.document import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.pods.cloud import Cloud, NetworkVolume

AUTO = "auto"
LOOKS = (2.0, 5.0, 10.0)
"""Seconds between the looks for a volume that may have been made."""


class VolumeSize(settings.Gigabytes):
    """As `Gigabytes`, or `auto`, which is 0."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes; 0 for `auto`."""
        return 0 if value == AUTO else super().convert(value, param, ctx)


@click.command("create")
@click.argument("name")
@options.projects
@options.manifests
@click.option(
    "--datacenter", metavar="ID", help="Where: EU-RO-1. A volume stays there. [default: the only one, if it is]"
)
@click.option(
    "--size",
    type=VolumeSize(),
    default=AUTO,
    show_default=True,
    help="As 50G, or a number of GB; it never shrinks. auto: what the projects' locks promise, and a fifth more.",
)
@click.option("--another", is_flag=True, help="Even if there is a volume of that name: names are not unique.")
@clouds.option
@options.output
def command(name: str, projects: tuple[str, ...], manifests: str, **flags: Any) -> None:
    """Create a network volume, large enough for what is to be on it. It costs money until it is deleted.

    The size comes from the locks of PROJECT, without PROJECT from those of all manifests: a file that several projects
    share counts once. Volumes have 10 to 4096 GB. A given --size is taken as it is, unless PROJECT does not fit.
    """
    output: str = flags["output"]
    with options.told_errors(output, "`provision volume ls` shows whether it has been made"):
        size = _size(projects, Path(manifests), flags["size"])
        cloud = clouds.cloud(flags["cloud"])
        datacenter = flags["datacenter"] or _only(cloud)
        standing = cloud.volumes()
        if not flags["another"]:
            _check_new(name, standing, cloud)
        volume = _created(cloud, _wanted(name, size, datacenter), {other.id for other in standing})
        _show(volume, cloud, projects, output)


def _wanted(name: str, size: int, datacenter: str) -> NetworkVolume:
    from provision.pods.cloud import NetworkVolume

    return NetworkVolume(id="", name=name, size=size, datacenter=datacenter)


def _size(projects: Sequence[str], manifests: Path, asked: int) -> int:
    """GB. Raises InputError where no volume has so many, or the projects do not fit."""
    from provision.pods.sizing import check_size, promised_bytes, size_for, whole_gb
    from provision.progress import size_text

    if asked and not projects:
        check_size(whole_gb(asked))
        return whole_gb(asked)
    from provision.cli.projects import find, required_lock

    found = find(projects, manifests)
    promised = promised_bytes(map(required_lock, found))
    told = f"{', '.join(project.name for project in found)}: {size_text(promised)} promised"
    if not asked:
        size = size_for(promised)
        console.say(f"{told}; with a fifth more, in whole GB between 10 and 4096: {size} GB")
        return size
    check_size(whole_gb(asked))
    if promised > asked:
        raise InputError(f"{told}, and --size is {size_text(asked)}", hint="give more, or leave --size out")
    return whole_gb(asked)


def _only(cloud: Cloud) -> str:
    found = cloud.datacenters()
    if len(found) == 1:
        return found[0].id
    names = ", ".join(sorted(shown(one.id) for one in found)) or "none just now"
    raise InputError(
        f"--datacenter is missing. Those at {cloud.name} that have volumes: {names}",
        hint="pods and workers can mount a volume only in its own data center, and it cannot be moved",
    )


def _check_new(name: str, standing: Sequence[NetworkVolume], cloud: Cloud) -> None:
    from provision.cli.volume.known import volume_text

    for volume in standing:
        if volume.name == name:
            raise InputError(
                f"there is such a volume: {volume_text(volume, cloud.volume_price(volume.size))}",
                hint="use it, choose another name, or create one more of this name with --another",
            )


def _created(cloud: Cloud, wanted: NetworkVolume, standing: set[str]) -> NetworkVolume:
    """Create it, once. Without an answer it may have been made all the same: then it is found by what it is."""
    try:
        return cloud.create_volume(wanted.name, wanted.size, wanted.datacenter)
    except CloudUnavailable as error:
        console.say(f"{error.message}; looking whether it was made all the same")
        volume = _found(cloud, wanted, standing)
        if volume is None:
            raise CloudUnavailable(
                f"{error.message}. No volume `{shown(wanted.name)}` has shown up",
                hint="look with `provision volume ls` before you create it again: it may still show up",
            ) from error
        return volume


def _found(cloud: Cloud, wanted: NetworkVolume, standing: set[str]) -> NetworkVolume | None:
    from provision.crew import Stop

    stop = Stop()
    for pause in LOOKS:
        stop.sleep(pause)
        for volume in _listed(cloud):
            is_same = (volume.name, volume.size, volume.datacenter) == (wanted.name, wanted.size, wanted.datacenter)
            if is_same and volume.id not in standing:
                return volume
    return None


def _listed(cloud: Cloud) -> list[NetworkVolume]:
    try:
        return cloud.volumes()
    except ProvisionError as error:
        console.say(error.message)
        return []


def _show(volume: NetworkVolume, cloud: Cloud, projects: Sequence[str], output: str) -> None:
    from provision.cli.volume.known import volume_document, volume_text

    price = cloud.volume_price(volume.size)
    fill = f"provision pod fill {' '.join(projects) or 'PROJECT'} --volume-id {volume.id}{clouds.flag(cloud)}"
    document = {"schema": SCHEMA, "ok": True, "cloud": cloud.name, "volume": volume_document(volume, price)}
    options.show([volume_text(volume, price), f"-> {fill}"], document, output)
