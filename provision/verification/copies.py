"""Copies of locks on a volume, against the locks that are the truth: was this volume filled from another one?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.errors import LockError, VolumeError
from provision.names import shown
from provision.progress import size_text
from provision.verification.findings import Note
from provision.volume.locks import read_lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from provision.difference import Difference, FileChange
    from provision.lock import Lock
    from provision.volume.view import View

ROOM, ROOM_FOR_A_FILE = 2**20, 4096
"""Bytes that a copy may have, beside those for each file of the lock that is the truth: a parser's memory is many times
that of what is hostile, and the copy decides nothing.
"""

SHOWN = 5
"""Differences that are named; the rest is counted."""


def copy_notes(view: View, locks: Iterable[Lock]) -> list[Note]:
    """What is to be said where the volume's own copy of one of `locks` is another one. The copy decides nothing."""
    notes = []
    for lock in locks:
        text = _told(view, lock)
        if text:
            notes.append(Note(kind="other-lock", text=f"{lock.project}: {text}"))
    return notes


def _told(view: View, lock: Lock) -> str:
    try:
        files = sum(len(model.files) for model in lock.models)
        copy = read_lock(view, lock.project, ROOM + ROOM_FOR_A_FILE * files)
    except (LockError, VolumeError) as error:
        return f"the volume's own copy of the lock is of no use ({error.message}); it was not needed"
    if copy is None:
        return "the volume holds no copy of this lock: it was filled by other means, or not at all"
    if copy == lock:
        return ""
    from provision.difference import difference

    return f"this volume was filled from another lock: {_summary(difference(copy, lock))}"


def _summary(change: Difference) -> str:
    parts = [f"{pin.model} is pinned at {_pin(pin.after)}, there it was {_pin(pin.before)}" for pin in change.pins]
    parts += [_changed(file) for file in change.files]
    if not parts:
        return "it promises the same files"
    more = f"; and {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
    return "; ".join(parts[:SHOWN]) + more


def _changed(file: FileChange) -> str:
    sizes: Sequence[str] = [size_text(side.size) for side in (file.before, file.after) if side]
    return f"{shown(file.target, 200)} {file.change.value} ({' -> '.join(dict.fromkeys(sizes))})"


def _pin(pin: str | None) -> str:
    return "nothing" if pin is None else shown(pin[:12])
