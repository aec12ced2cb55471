"""What GitHub shows of a verification: annotations beside the locks, and the step's summary.

Annotations are lines of a step's output, `::error file=…,line=…,title=…::…` (GitHub, "Workflow commands"). GitHub keeps
ten of each kind from one step (actions/toolkit, docs/problem-matchers.md, "Limitations"), so the tenth counts the rest.
A summary may have 1 MiB.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from provision.errors import without_secrets
from provision.lock import dumps
from provision.names import shown
from provision.progress import size_text
from provision.report.advice import NOTHING_GIVEN, is_doubt, remedy
from provision.report.tally import misfits_by_model, tallies, troubles, wrong
from provision.report.wording import (
    MEANING,
    NOBODY,
    counted,
    files_in,
    misfit_advice,
    owner,
    reading_text,
    states_text,
    verdict,
    wrong_parts,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from provision.errors import ProvisionError
    from provision.lock import Lock
    from provision.report.advice import Commands
    from provision.report.tally import Tally, Trouble
    from provision.verification.findings import Finding, ModelMisfit, Verification

    _Place = Callable[[str, Finding | ModelMisfit, str], dict[str, str]]

KEPT = 10
"""Annotations of each kind that GitHub keeps from one step."""
BUDGET = 1_000_000
"""Bytes of a summary; GitHub refuses one of more than 1,048,576."""
_LISTED = 20
_MODEL_NAME = f'{" " * 6}"name": '
"""How a model's name begins in a lock's text, after its files: keys are in order there."""

_Named = tuple[str, str, str, str]
"""The key, the project, the model, and the file."""


def annotation_lines(
    verification: Verification, locks: Sequence[Lock], files: Mapping[str, str], commands: Commands = NOTHING_GIVEN
) -> list[str]:
    """The lines to print. `files` has the path of each project's lock in the repository, where it is there.

    The worst comes first, since not all may be kept. A finding points at the line of the lock that promises the file,
    as `provision lock` writes it.
    """
    lines = _lines_of(locks)

    def place(key: str, found: Finding | ModelMisfit, name: str) -> dict[str, str]:
        line = lines.get((key, found.project, found.model, name))
        known = {"line": str(line)} if line else {}
        return {"file": files[found.project]} | known if found.project in files else {}

    found_wrong = wrong(verification)
    errors = [_of_finding(finding, place, commands) for finding in found_wrong if not is_doubt(finding)]
    errors += [_of_misfit("error", found, place) for found in verification.misfits if found.misfit.grave]
    errors += [_of_finding(finding, place, commands) for finding in found_wrong if is_doubt(finding)]
    warnings = [_of_misfit("warning", found, place) for found in verification.misfits if not found.misfit.grave]
    notices = [_command("notice", {"title": "provision verify"}, shown(note.text, 400)) for note in verification.notes]
    return [*_kept("error", errors, verdict(verification)), *_kept("warning", warnings), *_kept("notice", notices)]


def error_line(error: ProvisionError) -> str:
    """The annotation for a run that ended before it had a report."""
    message = "\n".join(filter(None, (without_secrets(error.message), without_secrets(error.hint))))
    return _command("error", {"title": f"provision: {type(error).__name__}"}, message)


def _lines_of(locks: Sequence[Lock]) -> dict[_Named, int]:
    """The line of each lock's one canonical text on which a model's file is named, by its `path` or its `target`."""
    import json

    found: dict[_Named, int] = {}
    for lock in locks:
        files: list[tuple[str, str, int]] = []
        for number, line in enumerate(dumps(lock).splitlines(), 1):
            key, _, value = line.strip().rstrip(",").partition(": ")
            if key in {'"target"', '"path"'}:
                files.append((key.strip('"'), json.loads(value), number))
            elif line.startswith(_MODEL_NAME):
                found |= {(key, lock.project, json.loads(value), name): at for key, name, at in files}
                files = []
    return found


def _kept(kind: str, commands: list[str], end: str = "") -> list[str]:
    """As many as GitHub keeps, the last of which counts the rest."""
    if len(commands) <= KEPT:
        return commands
    told = f"{len(commands) - KEPT + 1:,} more in the log and in the summary of this step"
    return [*commands[: KEPT - 1], _command(kind, {"title": "provision verify"}, f"{told}. {end}".rstrip(". "))]


def _of_finding(finding: Finding, place: _Place, commands: Commands) -> str:
    told = "; ".join(wrong_parts(finding)) or MEANING[finding.state]
    to_do = commands.advice(remedy(finding), finding.project)
    message = f"{shown(finding.target, 1024)}: {told}\nto do: {to_do}"
    title = f"{finding.state.value}: {owner(finding.project, finding.model)}"
    return _command("error", place("target", finding, finding.target) | {"title": title}, message)


def _of_misfit(kind: str, found: ModelMisfit, place: _Place) -> str:
    message = f"{shown(found.misfit.path, 1024)}: {shown(found.misfit.detail, 400)}\nto do: {misfit_advice(found)}"
    title = f"{found.misfit.rule.value}: {owner(found.project, found.model)}"
    return _command(kind, place("path", found, found.misfit.path) | {"title": title}, message)


def _command(kind: str, properties: Mapping[str, str], message: str) -> str:
    """One workflow command, escaped as actions/toolkit does (packages/core/src/command.ts)."""
    told = ",".join(
        f"{name}={_escaped(value).replace(':', '%3A').replace(',', '%2C')}" for name, value in properties.items()
    )
    return f"::{kind} {told}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def step_summary(verification: Verification, commands: Commands = NOTHING_GIVEN, locks: Sequence[Lock] = ()) -> str:
    """Markdown for the step's summary: the verdict, a table by project and model, the details, what to run.

    `locks` name the files that were not looked at.

    Whatever comes from outside stands in blocks of HTML, escaped, without an empty line: Markdown ends such a block at
    an empty line only (CommonMark §4.6), so no name can become markup; in `<code>` none is a mention or a reference.
    """
    mark = "✅" if verification.ok else "❌"
    head = f"### {mark} provision verify: {verdict(verification)}\n"
    volume = f"<p>{_code(verification.volume)}: {escape(reading_text(verification))}</p>\n"
    blocks = [head, volume, _table(tallies(verification, locks))]
    blocks += [_trouble(trouble, commands) for trouble in troubles(verification)]
    blocks += [_misfits(misfits) for misfits in misfits_by_model(verification)]
    blocks += [f"<p>Note: {_code(note.text)}</p>\n" for note in verification.notes]
    return "\n".join(_fitting(blocks, BUDGET))


def _fitting(blocks: Sequence[str], budget: int) -> Iterable[str]:
    """As many blocks as there is room for, and a word about the rest."""
    for index, block in enumerate(blocks):
        budget -= len(block.encode()) + 1
        if budget < 200:
            yield f"<p>… and {counted(len(blocks) - index, 'more part')}, left out for want of room.</p>\n"
            return
        yield block


def _table(rows: Sequence[Tally]) -> str:
    if not rows:
        return ""
    head = "<tr><th>project</th><th>model</th><th>files ok</th><th>size</th><th>state</th></tr>"
    body = [*map(_row, rows[: _LISTED * _LISTED])]
    rest = len(rows) - len(body)
    more = [f'<tr><td colspan="5">… and {counted(rest, "more model")}</td></tr>'] if rest else []
    return "\n".join(["<table>", head, *body, *more, "</table>\n"])


def _row(tally: Tally) -> str:
    files = f"{tally.ok:,} of {tally.files:,}"
    state = f"{'✅' if tally.good else '❌'} {states_text(tally)}"
    names = f"<td>{_code(tally.project or NOBODY)}</td><td>{_code(tally.model)}</td>"
    return (
        f'<tr>{names}<td align="right">{files}</td><td align="right">{size_text(tally.size)}</td><td>{state}</td></tr>'
    )


def _trouble(trouble: Trouble, commands: Commands) -> str:
    what = f"{files_in(trouble.state, len(trouble.findings))}, {size_text(trouble.size)}"
    items = [_item(finding.target, wrong_parts(finding)) for finding in trouble.findings[:_LISTED]]
    advice = commands.advice(trouble.remedy, trouble.project)
    run = " ".join(filter(None, (escape(advice.words), _code(advice.command, len(advice.command)))))
    return _details(f"{_code(owner(trouble.project, trouble.model))}: {what}", run, items, len(trouble.findings))


def _misfits(misfits: Sequence[ModelMisfit]) -> str:
    first = misfits[0]
    what = "does not fit together" if first.misfit.grave else "may not fit together"
    items = [_item(found.misfit.path, [found.misfit.rule, found.misfit.detail]) for found in misfits]
    about = f"{_code(owner(first.project, first.model))}: {what}"
    return _details(about, _code(misfit_advice(first)), items[:_LISTED], len(items))


def _details(about: str, run: str, items: Sequence[str], count: int) -> str:
    more = [f"<li>… and {count - len(items):,} more</li>"] if count > len(items) else []
    head = f"<details open><summary>{about}</summary>" if count == 1 else f"<details><summary>{about}</summary>"
    return "\n".join([head, f"<p>To do: {run}</p>", "<ul>", *items, *more, "</ul></details>\n"])


def _item(path: str, parts: Sequence[str]) -> str:
    return f"<li>{'<br>'.join([_code(path, 1024), *map(_code, parts)])}</li>"


def _code(text: str, limit: int = 400) -> str:
    return f"<code>{escape(shown(text, limit))}</code>" if text else ""
