"""The refs by which a hub's client finds a snapshot in a cache: without them the right files are no use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.errors import VolumeError
from provision.layout import sidecars
from provision.names import shown
from provision.verification.findings import State
from provision.verification.reading import patiently

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.lock import Lock
    from provision.verification.findings import Finding, Promise
    from provision.verification.reading import Reading
    from provision.volume.view import View

_LIMIT = 4096  # bytes; a ref is a commit


def ref_findings(view: View, locks: Sequence[Lock], promises: Sequence[Promise], reading: Reading) -> list[Finding]:
    """What is wrong with the refs that the models of `locks` need, one finding for each that is."""
    by_target = {promise.file.target: promise for promise in promises}
    findings = []
    for sidecar in sidecars([model for lock in locks for model in lock.models]):
        if sidecar.is_asked and sidecar.after[0] in by_target:  # else another shard asks for it
            promise = by_target[sidecar.after[0]].at(sidecar.target, len(sidecar.text))
            findings.append(_finding(view, promise, sidecar.text, reading))
    return [finding for finding in findings if finding.state is not State.OK]


def _finding(view: View, promise: Promise, wanted: str, reading: Reading) -> Finding:
    try:
        text = patiently(reading, lambda: _text(view, promise.file.target))
    except VolumeError as error:
        return promise.found(State.UNREADABLE, detail=error.message)
    if text is None:
        return promise.found(State.MISSING)
    return promise.found(State.OK) if text == wanted else promise.found(State.DIGEST, wanted, shown(text, 80))


def _text(view: View, target: str) -> str | None:
    opened = view.open_file(target)
    if opened is None:
        return None
    with opened:
        return opened.read_at(0, _LIMIT).decode("utf-8", "replace")
