"""Reports of a verification: one on stdout, others into files, each in the form that its name asks for."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.cli import console
from provision.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from provision.lock import Lock
    from provision.report.advice import Commands
    from provision.verification.findings import Verification

ENDINGS = {".txt": "text", ".json": "json", ".xml": "junit", ".html": "html", ".md": "markdown"}
FORMATS = ("text", "json", "junit", "github", "html", "markdown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What is reported. `files` has the path of each project's lock, where it is one of the repository's."""

    verification: Verification
    locks: Sequence[Lock]
    commands: Commands
    files: Mapping[str, Path]


def form_of(path: str) -> str:
    """The form of a report that is written to `path`, by its ending. Raises InputError."""
    form = ENDINGS.get(os.path.splitext(path)[1].lower())  # noqa: PTH122 - pathlib costs a worker's start 7 ms
    if form is None:
        raise InputError(f"`{path}` does not say which report it is to be", hint=f"let it end in {', '.join(ENDINGS)}")
    return form


def check(path: str) -> None:
    """Look that a report can be written to `path` before hours go into it. Raises InputError."""
    from pathlib import Path

    form_of(path)
    folder = Path(path).parent
    if not folder.is_dir():
        raise InputError(f"the report {path} cannot be written: there is no folder {folder}", hint="make it first")


def show(reported: Reported, form: str) -> None:
    """The report on stdout. For GitHub the step's summary is written as well, where there is a place for it."""
    console.out(_RENDERERS[form](reported, console.colour()).rstrip("\n"))
    summary = os.environ.get("GITHUB_STEP_SUMMARY") if form == "github" else None
    if summary:
        with _told(summary), open(summary, "a", encoding="utf-8") as stream:  # noqa: PTH123 - as above
            stream.write(_markdown(reported))


def write(reported: Reported, path: str) -> None:
    """The report as a file, whole or not at all. Raises InputError when it cannot be written."""
    from pathlib import Path

    text = _RENDERERS[form_of(path)](reported, False).rstrip("\n") + "\n"
    partial = Path(f"{path}.{os.getpid()}")
    try:
        with _told(path):
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"the report {path} cannot be written: {error.strerror}") from error


def _text(reported: Reported, colour: bool) -> str:  # noqa: FBT001 - the shape of all renderers
    from provision.report.findings import verification_lines
    from provision.report.paint import Paint

    paint = Paint(enabled=colour)
    return "\n".join(verification_lines(reported.verification, paint, reported.commands, reported.locks))


def _json(reported: Reported, _: object = None) -> str:
    from provision.report.document import verification_document

    return json.dumps(verification_document(reported.verification), indent=2, ensure_ascii=False)


def _junit(reported: Reported, _: object = None) -> str:
    from datetime import UTC, datetime

    from provision.report.junit import junit

    return junit(reported.verification, reported.locks, datetime.now(UTC), reported.commands)


def _github(reported: Reported, _: object = None) -> str:
    """Annotations point into the repository, so their paths are those below its root."""
    from pathlib import Path

    from provision.report.github import annotation_lines

    root = Path(os.environ.get("GITHUB_WORKSPACE") or ".").resolve()
    inside = {project: path.resolve() for project, path in reported.files.items()}
    files = {project: str(path.relative_to(root)) for project, path in inside.items() if path.is_relative_to(root)}
    lines = annotation_lines(reported.verification, reported.locks, files, reported.commands)
    return "\n".join([*lines, _text(reported, colour=False)])


def _markdown(reported: Reported, _: object = None) -> str:
    from provision.report.github import step_summary

    return step_summary(reported.verification, reported.commands, reported.locks)


def _html(reported: Reported, _: object = None) -> str:
    from datetime import UTC, datetime

    from provision.report.page import page

    return page(reported.verification, reported.locks, datetime.now(UTC), reported.commands)


_RENDERERS: Mapping[str, Callable[[Reported, bool], str]] = {
    "text": _text,
    "json": _json,
    "junit": _junit,
    "github": _github,
    "html": _html,
    "markdown": _markdown,
}
