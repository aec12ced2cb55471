"""The command line: each command parses, makes one call, and renders. The only package that knows click.

It is also where the outside comes in: the environment, the clock, signals and the terminal are read here and passed on.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from provision import __version__
from provision.cli.groups import Group
from provision.errors import ExitCode, Interrupted, ProvisionError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

COMMANDS = {
    "lock": "provision.cli.lock",
    "fill": "provision.cli.fill",
    "verify": "provision.cli.verify",
    "status": "provision.cli.status",
    "pod": "provision.cli.pod",
    "volume": "provision.cli.volume",
    "serve": "provision.cli.serve",
    "demo": "provision.cli.demo",
}


class Commands(Group):
    """All commands."""

    modules = COMMANDS

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's shape
        """The exit codes, which scripts rely on."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), code.meaning) for code in ExitCode])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="provision %(version)s")
def cli() -> None:
    """Fill network volumes with model weights from Hugging Face and ModelScope: pinned, resumable, proven.

    A manifest says what is wanted, a lock says what was promised, a volume holds it, and provision can prove it.
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with one of `ExitCode`."""
    signal.signal(signal.SIGTERM, _interrupted)
    sys.exit(run(args))


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    try:
        answer: Any = cli.main(args=None if args is None else list(args), prog_name="provision", standalone_mode=False)
    except click.exceptions.Abort:
        return _told(Interrupted("interrupted", hint="run the same command again; it resumes"))
    except click.ClickException as error:
        error.show()
        return ExitCode.INPUT
    except ProvisionError as error:
        return _told(error)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has left; there is nobody to complain to
        return ExitCode.FAULT
    except Exception as error:  # noqa: BLE001 - the last net: a fault of ours, told as one
        return _confessed(error)
    return answer if isinstance(answer, int) else ExitCode.DONE


def _told(error: ProvisionError) -> int:
    from provision.cli import console

    with console.outlasting():
        console.show_error(error)
    return error.exit_code


def _confessed(error: Exception) -> int:
    from provision.cli import console

    with console.outlasting():
        console.confess(error)
    return ExitCode.FAULT


def _interrupted(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the shape of a signal handler
    raise KeyboardInterrupt
