"""Groups of commands, each imported when it is used: a quick command must not pay for the others."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, ClassVar

import click

if TYPE_CHECKING:
    from collections.abc import Mapping


class Group(click.Group):
    """Commands by name, in the order in which people meet them. Each is the `command` of its module.

    Those in `unlisted` are run by programs of ours, and not listed.
    """

    modules: ClassVar[Mapping[str, str]]
    unlisted: ClassVar[Mapping[str, str]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's shape
        """As people meet them."""
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's shape
        """The command, or None where there is no such command."""
        module = {**self.modules, **self.unlisted}.get(cmd_name)
        command: click.Command | None = importlib.import_module(module).command if module else None
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but a wrong name is answered with the nearest right one."""
        if args and not args[0].startswith("-") and args[0] not in {**self.modules, **self.unlisted}:
            from provision.names import nearest

            close = nearest(args[0], self.modules, count=1)
            meant = f" Did you mean `{close[0]}`?" if close else ""
            ctx.fail(f"No such command `{args[0]}`.{meant}")
        return super().resolve_command(ctx, args)
