"""What people see: results on stdout, everything else on stderr; bars and colours only on a terminal."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provision.errors import InputError, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

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


def confess(fault: BaseException) -> None:
    """A fault of ours, with where it came from, on stderr."""
    import traceback

    click.echo(without_secrets("".join(traceback.format_exception(fault))), err=True, nl=False)
    click.echo("error: this is a fault of provision, not of yours", err=True)
    click.echo("hint: nothing proven is lost; please report the lines above", err=True)


class _Outlasting:
    """A stream that takes all that is written to it, also when nobody reads it any more: then it leads nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.is_cut = False

    def write(self, text: str) -> int:
        """As of any text stream; never an OSError."""
        self._tried(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """As `write`."""
        self._tried(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _tried(self, call: Callable[[], object]) -> None:
        try:
            call()
        except (OSError, ValueError):  # ValueError: it is closed
            self.is_cut = True
            with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())  # else Python fails when it flushes at its end


@contextmanager
def outlasting() -> Iterator[Callable[[], bool]]:
    """Inside, what is done does not end because whoever read stderr or stdout has left, as `tee` does at Ctrl-C.

    Gives whether all of stdout could be written so far.
    """
    before = sys.stdout, sys.stderr
    out, err = (_Outlasting(stream or StringIO()) for stream in before)  # None where it was closed before we began
    sys.stdout, sys.stderr = out, err
    try:
        yield lambda: not out.is_cut
    finally:
        sys.stdout, sys.stderr = before
