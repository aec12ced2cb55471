"""`provision pod`: rented machines that fill and verify volumes."""

from __future__ import annotations

from typing import ClassVar

import click

from provision.cli.groups import Group


class _Pod(Group):
    modules: ClassVar = {
        "fill": "provision.cli.pod.fill",
        "verify": "provision.cli.pod.verify",
        "attach": "provision.cli.pod.attach",
        "ls": "provision.cli.pod.ls",
        "logs": "provision.cli.pod.logs",
        "rm": "provision.cli.pod.rm",
    }
    unlisted: ClassVar = {"work": "provision.cli.pod.work"}


@click.group("pod", cls=_Pod)
def command() -> None:
    """Fill or verify network volumes in temporary pods, which are given back whatever happens."""
