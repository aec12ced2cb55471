"""What people see: results on stdout, everything else on stderr; bars and colours only on a terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from provision.errors import InputError, without_secrets

if TYPE_CHECKING:
    from provision.errors import ProvisionError
    from provision.progress import Progress


def out(text: str) -> None:
    """A result."""
    click.echo(text)


def say(text: str) -> None:
    """A message."""
    click.echo(text, err=True)


def colour() -> bool:
    """Whether stdout is a terminal that wants colours (NO_COLOR is honoured: no-color.org)."""
    import os

    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def progress(*, quiet: bool = False, file: str | None = None) -> Progress:
    """Bars on a terminal, plain lines elsewhere, nothing when `quiet`; and in `file`, for programs.

    Raises:
        InputError: the file cannot be written.
    """
    shown = _shown_progress(quiet=quiet)
    if file is None:
        return shown
    from provision.progress import Both
    from provision.progress.filed import Filed

    filed = Filed(file, time.time)
    try:
        filed.begin("", 0)
    except OSError as error:
        raise InputError(f"the progress file {file} cannot be written: {error.strerror}") from error
    return Both(shown, filed)


def _shown_progress(*, quiet: bool) -> Progress:
    from provision.progress import Bars, Lines, Silent

    if quiet:
        return Silent()
    if sys.stderr.isatty():
        return Bars(sys.stderr)
    return Lines(say, time.monotonic)


def show_error(error: ProvisionError) -> None:
    """The message and what to do next, on stderr."""
    message, hint = without_secrets(error.message), without_secrets(error.hint)
    label = click.style("error:", fg="red", bold=True) if sys.stderr.isatty() else "error:"
    lines = message.splitlines() or [type(error).__name__]
    click.echo(f"{label} {lines[0]}", err=True)
    for line in lines[1:]:
        click.echo(f"       {line}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)
