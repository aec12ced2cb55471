"""Text for people about plans and fills: one line per file that matters, and the sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.composition import described
from provision.plan import Action
from provision.progress import size_text
from provision.report.wording import counted
from provision.transfer.outcome import Done

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.plan import Plan
    from provision.report.paint import Paint
    from provision.transfer.outcome import Filling, Outcome
    from provision.verification.findings import ModelMisfit


def plan_lines(plan: Plan) -> list[str]:
    """The steps that are not `keep`, and what they cost."""
    lines = [
        f"  {step.action.value:<7} {step.file.target}  {size_text(step.file.size)}"
        + (f", {size_text(step.missing)} to fetch" if 0 < step.missing < step.file.size else "")
        for step in plan.steps
        if step.action is not Action.KEEP
    ]
    kept = len(plan.having(Action.KEEP))
    return [*lines, f"{counted(len(plan.steps), 'file')}: {kept} to keep, {size_text(plan.missing)} to fetch"]


def filling_lines(filling: Filling, paint: Paint) -> list[str]:
    """One line for each file that was touched, then the sum."""
    lines = [_outcome_line(outcome, paint) for outcome in filling.outcomes if outcome.done is not Done.KEPT]
    lines += _dropped_lines(filling)
    lines += _served_lines(filling)
    failed = len(filling.errors)
    sums = f"{size_text(filling.fetched)} fetched, {size_text(filling.reused)} already there"
    end = paint(f"{failed} failed", "bad") if failed else paint("all as promised", "good")
    return [*lines, f"{counted(len(filling.outcomes), 'file')}: {sums}; {end}"]


def misfit_lines(misfits: Sequence[ModelMisfit]) -> list[str]:
    """One line for each, with its model."""
    return [f"{found.project}/{found.model}: {described(found.misfit)}" for found in misfits]


def _served_lines(filling: Filling) -> list[str]:
    """Who sent how much, where a mirror or another transport sent some of it."""
    plain = all({outcome.step.model.source}.issuperset(outcome.served) for outcome in filling.outcomes)
    return [] if plain else [f"  {size_text(count)} came from {name}" for name, count in sorted(filling.served.items())]


def _dropped_lines(filling: Filling) -> list[str]:
    """Whom files were not taken from any more, and why; an error says it itself."""
    found: dict[tuple[str, str], list[str]] = {}
    for outcome in filling.outcomes:
        for told in outcome.dropped.items() if outcome.error is None else ():
            found.setdefault(told, []).append(outcome.step.file.target)
    return [
        f"  dropped {name} for {targets[0] if len(targets) == 1 else f'{len(targets)} files'}: {why}"
        for (name, why), targets in found.items()
    ]


def _outcome_line(outcome: Outcome, paint: Paint) -> str:
    file = outcome.step.file
    if outcome.error is not None:
        return f"  {paint(f'{outcome.done.value:<8}', 'bad')} {file.target}: {outcome.error.message}"
    reused = f" (+ {size_text(outcome.reused)} already there)" if outcome.reused else ""
    return f"  {outcome.done.value:<8} {file.target}  {size_text(outcome.fetched)}{reused}"
