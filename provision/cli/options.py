"""Options that several commands share."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from provision.cli import console
from provision.errors import Interrupted, ProvisionError

if TYPE_CHECKING:
    from collections.abc import Iterator

projects = click.argument("projects", metavar="[PROJECT]...", nargs=-1)

manifests = click.option(
    "--manifests",
    metavar="DIR",
    default="manifests",
    show_default=True,
    envvar="PROVISION_MANIFESTS",
    help="Where PROJECT.yaml and PROJECT.lock.json are.",
)

volume = click.option(
    "--volume",
    metavar="DIR",
    envvar="PROVISION_VOLUME",
    help="The volume's root. [default: PROVISION_VOLUME, else /runpod-volume or /workspace where that is a mount]",
)

output = click.option(
    "--format",
    "output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="The report: text for people, or one JSON document.",
)

quiet = click.option("--quiet", "-q", is_flag=True, help="No progress, no messages; the report and errors only.")


def show(lines: list[str], document: dict[str, Any], output: str) -> None:
    """The report, in the form that was asked for, on stdout."""
    console.out(json.dumps(document, indent=2, ensure_ascii=False) if output == "json" else "\n".join(lines))


@contextmanager
def json_errors(output: str) -> Iterator[None]:
    """With `--format json`, an error is a document on stdout too, so that a program always has one to read."""
    try:
        try:
            yield
        except KeyboardInterrupt as interrupt:
            raise Interrupted("interrupted", hint="run the same command again; it resumes") from interrupt
    except ProvisionError as error:
        if output == "json":
            from provision.report.document import error_document

            console.out(json.dumps(error_document(error), indent=2, ensure_ascii=False))
        raise
