"""A volume that is not there is told apart from files that are missing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from provision.errors import VolumeAbsent
from provision.names import STATE_FOLDER, shown
from provision.verification.findings import Note
from provision.volume.mount import Volume

if TYPE_CHECKING:
    from provision.volume.view import View


def check_attached(view: View) -> None:
    """Look that a volume is mounted, where that can be told: an empty folder that is no mount point is what a worker
    finds in its image when its network volume was not attached.

    Raises:
        VolumeAbsent: the folder is empty, and nothing is mounted there.
        VolumeError: it cannot be looked at.
    """
    if isinstance(view, Volume) and not view.root.names() and not os.path.ismount(view.path):
        raise VolumeAbsent(
            f"the volume {shown(view.path, 300)} is an empty folder, and nothing is mounted there",
            hint="attach the network volume to this pod or endpoint; to fill the folder itself: provision fill PROJECT",
        )


def emptiness(view: View) -> list[Note]:
    """A note on a volume that has none of the promised files, unless something says that a fill was there."""
    if _was_filled(view):
        return []
    return [
        Note(
            kind="empty",
            text=f"{shown(view.path, 300)} holds none of the promised files, and no fill was ever here: "
            "is this the right volume, attached at the right place?",
        )
    ]


def _was_filled(view: View) -> bool:
    if isinstance(view, Volume):
        return view.root.stat(STATE_FOLDER) is not None
    return bool(view.state_names("locks") or view.state_names("receipts"))
