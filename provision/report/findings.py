"""Text for people about findings: a table by model, what is not as promised and what to run, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.names import shown
from provision.progress import size_text
from provision.report.advice import NOTHING_GIVEN
from provision.report.tally import misfits_by_model, tallies, troubles
from provision.report.wording import (
    NOBODY,
    files_in,
    misfit_advice,
    owner,
    reading_text,
    states_text,
    verdict,
    wrong_parts,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from provision.lock import Lock
    from provision.report.advice import Commands
    from provision.report.paint import Paint
    from provision.report.tally import Tally, Trouble
    from provision.verification.findings import ModelMisfit, Verification

_SHOWN = 20
"""Files that are named of one model and state; the other reports have all."""
_WIDTH = 90
"""Longest name and phrase, together, that share a line."""


def verification_lines(
    verification: Verification, paint: Paint, commands: Commands = NOTHING_GIVEN, locks: Sequence[Lock] = ()
) -> list[str]:
    """The volume and the mode; a table by project and model; what is not as promised, with what to run; the verdict.

    `locks` name the files that were not looked at. Of one model and state the first twenty files are named, and the
    rest is counted.
    """
    lines = [f"{shown(verification.volume, 400)}: {reading_text(verification)}"]
    lines += _table(tallies(verification, locks), paint)
    for trouble in troubles(verification):
        lines += _trouble_lines(trouble, paint, commands)
    for misfits in misfits_by_model(verification):
        lines += _misfit_lines(misfits, paint)
    lines += [f"note: {shown(note.text, 400)}" for note in verification.notes]
    return [*lines, paint(verdict(verification), "good" if verification.ok else "bad")]


def _table(rows: Iterable[Tally], paint: Paint) -> list[str]:
    """The columns are as wide as what they hold."""
    cells = [("project", "model", "files ok", "size")]
    states = [paint("state", "faint")]
    for tally in rows:
        files = f"{tally.ok:,} of {tally.files:,}"
        cells.append((shown(tally.project) or NOBODY, shown(tally.model), files, size_text(tally.size)))
        states.append(paint(states_text(tally), "good" if tally.good else "bad"))
    if not states[1:]:
        return []
    wide = [max(len(row[column]) for row in cells) for column in range(4)]
    return [
        f"  {row[0]:<{wide[0]}}  {row[1]:<{wide[1]}}  {row[2]:>{wide[2]}}  {row[3]:>{wide[3]}}  {state}"
        for row, state in zip(cells, states, strict=True)
    ]


def _trouble_lines(trouble: Trouble, paint: Paint, commands: Commands) -> Iterable[str]:
    what = f"{owner(trouble.project, trouble.model)}: {files_in(trouble.state, len(trouble.findings))}"
    run = paint(f"-> {commands.advice(trouble.remedy, trouble.project)}", "faint")
    yield f"{what}, {size_text(trouble.size)}  {run}"
    for finding in trouble.findings[:_SHOWN]:
        yield from _entry(paint(f"{finding.state:<10}", "bad"), finding.target, wrong_parts(finding))
    yield from _rest(len(trouble.findings))


def _misfit_lines(misfits: Sequence[ModelMisfit], paint: Paint) -> Iterable[str]:
    first = misfits[0]
    end = "does not fit together" if first.misfit.grave else "may not fit together"
    yield f"{owner(first.project, first.model)}: {end}  {paint(f'-> {misfit_advice(first)}', 'faint')}"
    colour = "bad" if first.misfit.grave else "faint"
    for found in misfits[:_SHOWN]:
        rule = paint(f"{found.misfit.rule:<10}", colour)
        yield from _entry(rule, found.misfit.path, [shown(found.misfit.detail, 400)])
    yield from _rest(len(misfits))


def _entry(word: str, path: str, parts: Sequence[str]) -> Iterable[str]:
    """One line; more where that would be too wide for a terminal."""
    name, told = shown(path, 1024), "; ".join(parts)
    if len(name) + len(told) < _WIDTH:
        yield f"  {word} {name}: {told}" if told else f"  {word} {name}"
    else:
        yield f"  {word} {name}"
        yield from (f"             {part}" for part in parts)


def _rest(count: int) -> Iterable[str]:
    if count > _SHOWN:
        yield f"  … and {count - _SHOWN:,} more"
