"""Fill volumes with model weights: pinned, resumable, proven.

A *manifest* says what is wanted, a *lock* what was promised, a *volume* holds it, and a *verification* proves it.

    import provision

    lock = provision.load_lock("manifests/wan22-i2v.lock.json")
    verification = provision.verify("/runpod-volume", lock, mode="quick")
    assert verification.ok, verification.counts

`provision.fitness` is the same in one line, for a RunPod worker. Importing this package costs nothing: what a call
needs is imported by the call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from provision.lock import Lock
    from provision.verification import Reading, Verification
    from provision.volume.mount import Volume

__all__ = ["__version__", "load_lock", "verify"]

__version__ = "0.1.0"


def load_lock(path: str | PathLike[str]) -> Lock:
    """The lock in the file at `path`.

    Raises:
        LockMissing: there is no such file.
        LockUnreadable: it cannot be read, is damaged, or was written by a newer release.
    """
    from provision.errors import LockMissing, LockUnreadable
    from provision.lock import loads

    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs a worker's start 3 ms
            text = file.read()
    except FileNotFoundError as error:
        raise LockMissing(f"{path} does not exist", hint="make it with `provision lock`, or copy it there") from error
    except OSError as error:
        raise LockUnreadable(f"{path} cannot be read: {error.strerror}") from error
    return loads(text, file=str(path))


def verify(volume: str | PathLike[str], *locks: Lock | str, mode: str = "full") -> Verification:
    """The findings on every file that `locks` promise, on the volume mounted at `volume`. Prints nothing.

    A lock is one that was loaded, which is then the truth, or the name of a project, for the copy that a fill has left
    on the volume. Without any, every copy on the volume counts. `mode` is `full` (every byte; leaves receipts) or
    `quick` (presence, size, header and receipt; changes nothing). Whether all is as promised is `ok` of the answer.

    Raises:
        LockMissing: the volume has no lock of that name, or none at all.
        LockUnreadable: a lock on the volume is damaged, or was written by a newer release.
        VolumeAbsent: there is no volume at that place.
        VolumeError: it cannot be looked at.
        ValueError: there is no such mode.
    """
    import os

    from provision.verification import verify as findings_on
    from provision.volume.locks import read_locks
    from provision.volume.mount import Volume

    if mode not in {"full", "quick"}:
        raise ValueError(f"mode is `full` or `quick`, not `{mode}`")
    with Volume.open(os.fspath(volume)) as opened:
        known = [_copy(opened, lock) if isinstance(lock, str) else lock for lock in locks] or read_locks(opened)
        if not known:
            raise _missing(opened, "holds no lock: nothing was ever filled here")
        return findings_on(opened, known, _reading(opened, mode))


def _copy(volume: Volume, project: str) -> Lock:
    from provision.names import shown
    from provision.volume.locks import read_lock

    found = read_lock(volume, project)
    if found is None:
        raise _missing(volume, f"holds no lock of `{shown(project)}`: it was never filled here")
    return found


def _missing(volume: Volume, told: str) -> Exception:
    from provision.errors import LockMissing

    return LockMissing(f"{volume.path} {told}", hint="is this the volume? fill it: provision fill PROJECT")


def _reading(volume: Volume, mode: str) -> Reading:
    import os
    import time

    from provision.crew import Stop
    from provision.progress import Silent
    from provision.retry import Patience, Retry
    from provision.verification import Mode, Reading

    stop = Stop()
    return Reading(
        mode=Mode(mode),
        files_at_once=os.cpu_count() or 1,
        progress=Silent(),
        stop=stop,
        clock=time.time,
        retry=Retry(patience=Patience(attempts=3), sleep=stop.sleep),
        records=volume if mode == "full" else None,
    )
