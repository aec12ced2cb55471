"""Text for people about locks, plans and fills: one line per file that matters, and the sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.composition import described
from provision.difference import Change
from provision.names import shown
from provision.plan import Action
from provision.progress import count_text, size_text
from provision.transfer.outcome import Done

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.difference import Difference, FileChange, MirrorChange, PinChange
    from provision.lock import Mirror
    from provision.plan import Plan
    from provision.report.findings import Paint
    from provision.transfer.outcome import Filling, Outcome
    from provision.verification.findings import ModelMisfit

_CHANGE_MARKS = {Change.ADDED: "+", Change.REMOVED: "-", Change.CHANGED: "~", Change.MOVED: ">"}


def difference_lines(project: str, change: Difference, total: int) -> list[str]:
    """What a lock promises otherwise than before; `total` is the bytes it promises now."""
    if change.is_empty:
        return [f"{project}: the lock is up to date ({size_text(total)})"]
    return [
        f"{project}:",
        *(_pin_line(pin) for pin in change.pins),
        *(_mirror_line(moved) for moved in change.mirrors),
        *(_change_line(file) for file in change.files),
        f"{project}: {size_text(total)} promised, {size_text(change.new_bytes)} new to a volume",
    ]


def _pin_line(pin: PinChange) -> str:
    if pin.after is None:
        return f"  {pin.model} ({pin.source}): no longer wanted"
    moved = f"moved from {_short(pin.before)} to" if pin.before else "pinned at"
    return f"  {pin.model} ({pin.source}): {moved} {_short(pin.after)}"


def _mirror_line(change: MirrorChange) -> str:
    if not change.after:
        return f"  {change.model}: no mirrors any more"
    were = f" (were {_mirrors(change.before)})" if change.before else ""
    return f"  {change.model}: mirrors {_mirrors(change.after)}{were}"


def _mirrors(mirrors: Sequence[Mirror]) -> str:
    return ", ".join(map(_mirror, mirrors))


def _mirror(mirror: Mirror) -> str:
    pin = mirror.commit or mirror.revision
    return f"{mirror.source} at {_short(pin)}" if pin else mirror.source


def _short(pin: str) -> str:
    return pin[:12] if len(pin) == 40 else shown(pin)


def _change_line(change: FileChange) -> str:
    sizes = [size_text(file.size) for file in (change.before, change.after) if file]
    size = sizes[0] if len(set(sizes)) == 1 else " -> ".join(sizes)
    moved = f" (was {change.before.target})" if change.change is Change.MOVED and change.before else ""
    return f"  {_CHANGE_MARKS[change.change]} {change.target}  {size}{_facts(change)}{moved}"


def _facts(change: FileChange) -> str:
    """What a new file's safetensors header says."""
    header = change.after.header if change.after and change.change in {Change.ADDED, Change.CHANGED} else None
    if header is None:
        return ""
    return f", {count_text(header.parameters)} parameters in {', '.join(name for name, _ in header.dtypes)}"


def plan_lines(plan: Plan) -> list[str]:
    """The steps that are not `keep`, and what they cost."""
    lines = [
        f"  {step.action.value:<7} {step.file.target}  {size_text(step.file.size)}"
        + (f", {size_text(step.missing)} to fetch" if 0 < step.missing < step.file.size else "")
        for step in plan.steps
        if step.action is not Action.KEEP
    ]
    kept = len(plan.having(Action.KEEP))
    return [*lines, f"{len(plan.steps)} files: {kept} to keep, {size_text(plan.missing)} to fetch"]


def filling_lines(filling: Filling, paint: Paint) -> list[str]:
    """One line for each file that was touched, then the sum."""
    lines = [_outcome_line(outcome, paint) for outcome in filling.outcomes if outcome.done is not Done.KEPT]
    lines += [line for outcome in filling.outcomes for line in _dropped_lines(outcome)]
    lines += _served_lines(filling)
    failed = len(filling.errors)
    sums = f"{size_text(filling.fetched)} fetched, {size_text(filling.reused)} already there"
    end = paint(f"{failed} failed", "bad") if failed else paint("all as promised", "good")
    return [*lines, f"{len(filling.outcomes)} files: {sums}; {end}"]


def misfit_lines(misfits: Sequence[ModelMisfit]) -> list[str]:
    """One line for each, with its model."""
    return [f"{found.project}/{found.model}: {described(found.misfit)}" for found in misfits]


def _served_lines(filling: Filling) -> list[str]:
    """Who sent how much, where a mirror or another transport sent some of it."""
    plain = all({outcome.step.model.source}.issuperset(outcome.served) for outcome in filling.outcomes)
    return [] if plain else [f"  {size_text(count)} came from {name}" for name, count in sorted(filling.served.items())]


def _dropped_lines(outcome: Outcome) -> list[str]:
    """Whom a file was not taken from any more, and why; an error says it itself."""
    if outcome.error is not None:
        return []
    return [f"  dropped {name} for {outcome.step.file.target}: {why}" for name, why in outcome.dropped.items()]


def _outcome_line(outcome: Outcome, paint: Paint) -> str:
    file = outcome.step.file
    if outcome.error is not None:
        return f"  {paint(f'{outcome.done.value:<8}', 'bad')} {file.target}: {outcome.error.message}"
    reused = f" (+ {size_text(outcome.reused)} already there)" if outcome.reused else ""
    return f"  {outcome.done.value:<8} {file.target}  {size_text(outcome.fetched)}{reused}"
