"""`provision lock`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provision.cli import console, options
from provision.cli.projects import Project, check_fresh, find, read_lock, read_manifest, required_lock, write_lock
from provision.errors import InputError, LockError, LockStale, LockUnreadable
from provision.names import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.composition import Misfit
    from provision.difference import Difference
    from provision.lock import Lock
    from provision.manifest import Manifest
    from provision.resolution import Request
    from provision.verification.findings import ModelMisfit

EVERY = "*"


@click.command("lock")
@options.projects
@options.manifests
@click.option(
    "--check", is_flag=True, help="Change nothing, ask no hub; exit 4 if a lock does not belong to its manifest."
)
@click.option(
    "--upgrade",
    metavar="[NAME]",
    is_flag=False,
    flag_value=EVERY,
    help="Move pins to what their revisions stand at now: of all models, or of the one named NAME.",
)
@click.option("--dry-run", is_flag=True, help="Show what would change, write nothing.")
@options.output
@options.quiet
def command(projects: tuple[str, ...], manifests: str, **flags: Any) -> None:
    """Resolve manifests to locks: the commit, size and sha256 of every file.

    Pins stay where they are unless --upgrade is given; only what changed in a manifest is asked for anew. What changes
    is printed, file by file, with bytes. Without PROJECT, every manifest is locked.
    """
    asked = _Asked(**flags)
    with options.told_errors(asked.output):
        if asked.check and (asked.upgrade or asked.dry_run):
            raise InputError("--check changes nothing: it goes with neither --upgrade nor --dry-run")
        named, upgrade = _split(projects, asked.upgrade, Path(manifests))
        found = find(named, Path(manifests))
        if asked.check:
            _check(found, asked)
        else:
            _lock(found, upgrade, asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    check: bool
    upgrade: str | None
    dry_run: bool
    output: str
    quiet: bool


def _split(projects: Sequence[str], upgrade: str | None, folder: Path) -> tuple[list[str], str | None]:
    """`--upgrade NAME` may also be a flag followed by the first PROJECT: told apart by what the manifests say."""
    if upgrade is None or upgrade == EVERY:
        return list(projects), upgrade
    models = {model.name for project in find(projects, folder) for model in read_manifest(project).models}
    if upgrade in models:
        return list(projects), upgrade
    try:
        find([upgrade], folder)
    except InputError as error:
        close = nearest(upgrade, sorted(models), count=1)
        raise InputError(
            f"--upgrade {upgrade}: there is no model and no project of that name",
            hint=f"did you mean `{close[0]}`?" if close else f"the models are {', '.join(sorted(models))}",
        ) from error
    return [upgrade, *projects], EVERY


def _check(projects: Sequence[Project], asked: _Asked) -> None:
    """Go through all of them, so that one run tells all that is missing or stale."""
    errors: list[LockError] = []
    for project in projects:
        try:
            check_fresh(project, required_lock(project))
        except LockError as error:
            errors.append(error)
    if errors:
        raise LockStale("\n".join(error.message for error in errors), hint=errors[0].hint)
    lines = [f"{project.name}: the lock belongs to its manifest" for project in projects]
    checked = [{"project": project.name, "stale": False} for project in projects]
    options.show(lines, {"schema": 1, "ok": True, "projects": checked}, asked.output)


def _lock(projects: Sequence[Project], upgrade: str | None, asked: _Asked) -> None:
    """One project after the other; each is told as soon as it is written, whatever becomes of the next."""
    from provision.report import differences, document

    documents: list[dict[str, Any]] = []
    for project in projects:
        misfits: list[ModelMisfit] = []
        change, lock, known = _one(project, upgrade, asked, misfits)
        documents.append(document.difference_document(project.name, change, misfits, stale=lock != known))
        if asked.output == "text":
            options.show(differences.difference_lines(project.name, change, lock.size), {}, "text")
    if asked.output == "json":
        options.show([], {"schema": document.SCHEMA, "ok": True, "projects": documents}, "json")


def _one(
    project: Project, upgrade: str | None, asked: _Asked, misfits: list[ModelMisfit]
) -> tuple[Difference, Lock, Lock | None]:
    """Adds to `misfits`, which were told already."""
    from provision.difference import difference

    known = _known(project, upgrade)
    request = _request(read_manifest(project), known, upgrade)
    lock = _resolved(request, asked, misfits)
    if lock != known and not asked.dry_run:
        write_lock(project, lock)
    return difference(known, lock), lock, known


def _known(project: Project, upgrade: str | None) -> Lock | None:
    """The lock that stands. One that cannot be read holds pins, so it is only made anew when all of them may move."""
    try:
        return read_lock(project)
    except LockUnreadable:
        if upgrade != EVERY:
            raise
        return None


def _request(manifest: Manifest, known: Lock | None, upgrade: str | None) -> Request:
    from provision.resolution import Request

    return Request(manifest=manifest, known=known, upgrade=lambda name: upgrade in {EVERY, name})


def _resolved(request: Request, asked: _Asked, misfits: list[ModelMisfit]) -> Lock:
    from provision.cli.supplies import supply
    from provision.crew import Stop
    from provision.resolution import resolve
    from provision.verification.findings import ModelMisfit

    def found(model: str, misfit: Misfit) -> None:
        misfits.append(ModelMisfit(project=request.manifest.project, model=model, misfit=misfit))

    stop = Stop()
    tell = (lambda _: None) if asked.quiet else console.say
    return resolve(request, supply(stop, tell), stop, tell, found)
