"""Options that several commands share."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from provision.cli import console, settings
from provision.errors import Interrupted, ProvisionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from provision.report.advice import Commands, Named

C = TypeVar("C", bound="Callable[..., Any]")

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

volume_size = click.option(
    "--volume-size",
    type=settings.Size(),
    envvar="PROVISION_VOLUME_SIZE",
    help="What the volume holds in all, as 50G: `df` on a network volume shows the whole cluster.",
)

_view = (
    click.option(
        "--volume",
        metavar="DIR|s3://ID",
        envvar="PROVISION_VOLUME",
        help="The volume's root, or its id, to look at it through S3. "
        "[default: PROVISION_VOLUME, else /runpod-volume or /workspace where that is a mount]",
    ),
    click.option("--datacenter", metavar="ID", help="Where the s3:// volume is: EU-RO-1."),
    click.option("--endpoint-url", metavar="URL", help="Another S3 server than RunPod's."),
)


def view(command: C) -> C:
    """A volume that is only looked at: mounted, or through S3."""
    for option in reversed(_view):
        command = option(command)
    return command


output = click.option(
    "--format",
    "output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="The report: text for people, or one JSON document.",
)

quiet = click.option("--quiet", "-q", is_flag=True, help="No progress, no messages; the report and errors only.")

progress_file = click.option(
    "--progress-file",
    metavar="FILE",
    help="Keep FILE up to date, once a second, with how far it is: a JSON document for schedulers and dashboards.",
)


def show(lines: list[str], document: dict[str, Any], output: str) -> None:
    """The report, in the form that was asked for, on stdout."""
    console.out(json.dumps(document, indent=2, ensure_ascii=False) if output == "json" else "\n".join(lines))


def commands(*, is_mounted: bool = True) -> Commands:
    """The commands that a report proposes, with what was given on the command line. Raises InputError."""
    from provision.report.advice import Commands

    context = click.get_current_context()
    given = {
        name: context.params[name] or ""
        for name in ("manifests", "volume", "datacenter", "endpoint_url")
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    named = named_projects(context.params["projects"], context.params["manifests"])
    return Commands(projects=named, is_mounted=is_mounted, **given)


def named_projects(words: Iterable[str], folder: str) -> dict[str, Named]:
    """How each project was named. Raises InputError."""
    words = list(words)
    if not words:
        return {}
    from pathlib import Path

    from provision.cli.projects import find
    from provision.report.advice import Named

    found = {word: project for word in words for project in find([word], Path(folder))}
    return {project.name: Named(word=word, has_manifest=project.manifest.exists()) for word, project in found.items()}


@contextmanager
def told_errors(output: str, again: str = "it resumes") -> Iterator[None]:
    """An error is told in the form of the report too, on stdout, so that a program always has something to read: one
    document with `json`, an annotation with `github`. `again` says what the same command does after an interrupt.
    """
    try:
        try:
            yield
        except KeyboardInterrupt as interrupt:
            raise Interrupted("interrupted", hint=f"run the same command again; {again}") from interrupt
    except ProvisionError as error:
        if output == "json":
            from provision.report.document import error_document

            console.out(json.dumps(error_document(error), indent=2, ensure_ascii=False))
        elif output == "github":
            from provision.report.github import error_line

            console.out(error_line(error))
        raise
