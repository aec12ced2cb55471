"""`provision volume`: network volumes at a cloud."""

from __future__ import annotations

from typing import ClassVar

import click

from provision.cli.groups import Group


class _Volume(Group):
    modules: ClassVar = {
        "create": "provision.cli.volume.create",
        "ls": "provision.cli.volume.ls",
        "resize": "provision.cli.volume.resize",
        "rm": "provision.cli.volume.rm",
    }


@click.group("volume", cls=_Volume)
def command() -> None:
    """Network volumes: create, list, grow, delete."""
