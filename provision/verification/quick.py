"""Quick verification, for the start of a worker: presence, size, header and receipt. Reads no weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.errors import VolumeError
from provision.verification.findings import State
from provision.verification.header import header_finding, size_finding
from provision.volume.paths import parent_and_name
from provision.volume.receipts import trusted

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from provision.verification.findings import Finding, Promise
    from provision.volume.mount import Volume
    from provision.volume.paths import Folder
    from provision.volume.receipts import Receipt


def verify_quick(volume: Volume, promises: Sequence[Promise], receipts: Mapping[str, Receipt]) -> list[Finding]:
    """A finding for each promise, in their order. Each folder is opened once."""
    by_folder: dict[str, list[int]] = {}
    for index, promise in enumerate(promises):
        by_folder.setdefault(parent_and_name(promise.file.target)[0], []).append(index)
    findings: dict[int, Finding] = {}
    for parent, indices in by_folder.items():
        found = _in_folder(volume, parent, [promises[index] for index in indices], receipts)
        findings.update(zip(indices, found, strict=True))
    return [findings[index] for index in range(len(promises))]


def _in_folder(
    volume: Volume, parent: str, promises: Sequence[Promise], receipts: Mapping[str, Receipt]
) -> list[Finding]:
    try:
        folder = volume.root.below(parent)
    except VolumeError as error:
        return [promise.found(State.UNREADABLE, detail=error.message) for promise in promises]
    if folder is None:
        return [promise.found(State.MISSING) for promise in promises]
    with folder:
        return [_glance(promise, folder, receipts.get(promise.file.target)) for promise in promises]


def _glance(promise: Promise, folder: Folder, receipt: Receipt | None) -> Finding:
    try:
        opened = folder.open_file(parent_and_name(promise.file.target)[1])
        if opened is None:
            return promise.found(State.MISSING)
        with opened:
            found = opened.stat()
            if found.st_size != promise.file.size:
                return size_finding(promise, opened, found.st_size)
            return header_finding(promise, opened) or _vouched(promise, found, receipt)
    except VolumeError as error:
        return promise.found(State.UNREADABLE, detail=error.message)


def _vouched(promise: Promise, found: os.stat_result, receipt: Receipt | None) -> Finding:
    """Whether a receipt speaks for a file that looks right."""
    if receipt is None:
        return promise.found(State.UNPROVEN, detail="it looks right, but nothing vouches for it")
    if not trusted(receipt, found):
        return promise.found(State.UNPROVEN, detail="it was touched, or found damaged, since it was proven")
    if receipt.sha256 != promise.file.sha256:
        return promise.found(State.DIGEST, promise.file.sha256, receipt.sha256, "another version was proven here")
    return promise.found(State.OK)
