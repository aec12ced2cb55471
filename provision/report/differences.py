"""Text for people about locks: what is promised otherwise than before, one line per file, and the sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.difference import Change
from provision.names import shown
from provision.progress import count_text, size_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.difference import Difference, FileChange, MirrorChange, PinChange
    from provision.lock import Mirror

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
