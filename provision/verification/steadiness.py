"""Whether a file stayed what it was while it was read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.errors import VolumeTrouble
from provision.volume.mount import Volume

if TYPE_CHECKING:
    from provision.volume.view import Facts, Readable, View

_HINT = "run the same command again when nobody writes to the volume"


def check_unwritten(target: str, opened: Readable, before: Facts, *, is_complete: bool = True) -> None:
    """Look that what was read is one state of the file; `before` is what was known of it then.

    Raises:
        VolumeTrouble: it is not, or not all of it was there; reading it again may do.
    """
    after = opened.stat()
    if not is_complete or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise VolumeTrouble(f"{target} was written to while it was read", hint=_HINT)


def check_unreplaced(view: View, target: str, opened: Readable) -> None:
    """Look that the name still leads to the open file.

    Raises:
        VolumeTrouble: it does not; reading it again may do.
    """
    if not still_stands(view, target, opened):
        raise VolumeTrouble(f"{target} was replaced while it was read", hint=_HINT)


def still_stands(view: View, target: str, opened: Readable) -> bool:
    """Whether the name still leads to the open file. Without inodes that is what the file itself says."""
    if not isinstance(view, Volume):
        return True
    standing, read = view.stat(target), opened.stat()
    return standing is not None and standing.st_ino == read.st_ino
