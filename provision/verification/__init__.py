"""Verification: a volume against its locks, without a hub and without a network.

`full` reads every byte back. `quick` is for the start of a worker: presence, size, the safetensors header's digest, and
a receipt that still fits; what it cannot vouch for is `unproven`, never `ok`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.errors import VolumeError
from provision.layout import sidecars
from provision.names import shown
from provision.verification.findings import Finding, Mode, Note, Promise, State, Verification
from provision.verification.reading import Reading
from provision.volume.receipts import read_receipts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.lock import Lock
    from provision.volume.mount import Volume

__all__ = ["Finding", "Mode", "Note", "Promise", "Reading", "State", "Verification", "verify"]


def verify(volume: Volume, locks: Sequence[Lock], reading: Reading) -> Verification:
    """The findings on every file that `locks` promise.

    A full verification leaves receipts for what it proved, and takes back those it refuted, where the volume can be
    written; a quick one changes nothing.

    Raises:
        VolumeError: the volume's own records cannot be reached.
    """
    promises = [
        Promise(project=lock.project, model=model.name, file=file) for lock in locks for model, file in lock.files()
    ]
    receipts = read_receipts(volume, reading.clock())
    if reading.mode is Mode.QUICK:
        from provision.verification.quick import verify_quick

        findings = verify_quick(volume, promises, receipts)
    else:
        from provision.verification.full import verify_full

        findings = verify_full(volume, promises, receipts, reading)
    findings += _of_caches(volume, locks, promises)
    return Verification(volume=volume.path, mode=reading.mode, findings=tuple(findings))


def _of_caches(volume: Volume, locks: Sequence[Lock], promises: Sequence[Promise]) -> list[Finding]:
    """What is wrong with the refs by which a hub's client finds a snapshot: without them the right files are no use."""
    by_target = {promise.file.target: promise for promise in promises}
    findings = []
    for sidecar in sidecars([model for lock in locks for model in lock.models]):
        if sidecar.is_asked:
            text = _text(volume, sidecar.target)
            promise = by_target[sidecar.after[0]].at(sidecar.target, len(sidecar.text))
            if text is None:
                findings.append(promise.found(State.MISSING))
            elif text != sidecar.text:
                findings.append(promise.found(State.DIGEST, sidecar.text, shown(text, 80)))
    return findings


def _text(volume: Volume, target: str) -> str | None:
    try:
        opened = volume.open_file(target)
        if opened is None:
            return None
        with opened:
            return opened.read_at(0, 4096).decode("utf-8", "replace")
    except VolumeError:
        return None
