"""Quick verification, for the start of a worker: presence, size, header and receipt. Reads no weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.errors import VolumeError
from provision.verification.findings import State
from provision.verification.header import header_finding, size_finding
from provision.verification.phrases import KNOWN_DAMAGED, unreadable
from provision.verification.reading import patiently
from provision.volume.mount import Volume
from provision.volume.paths import parent_and_name
from provision.volume.receipts import is_revoked, trusted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from provision.verification.findings import Finding, Promise
    from provision.verification.reading import Reading
    from provision.volume.receipts import Receipt
    from provision.volume.view import Facts, Readable, View

    _Findings = list[Finding | None]
    _Opener = Callable[[str], Readable | None]


def verify_quick(
    view: View, promises: Sequence[Promise], receipts: Mapping[str, Receipt], reading: Reading
) -> _Findings:
    """A finding for each promise, in their order; None where a first fault was enough. On a mount each folder is opened
    once, where files are looked at one by one.
    """
    glance = _Glance(view, receipts, reading)
    if isinstance(view, Volume) and reading.files_at_once == 1:
        return glance.by_folder(view, promises)
    return glance.by_file(promises)


class _Glance:
    """Looks at files, without reading them."""

    def __init__(self, view: View, receipts: Mapping[str, Receipt], reading: Reading) -> None:
        self._view, self._receipts, self._reading = view, receipts, reading
        self._enough = False

    def by_file(self, promises: Sequence[Promise]) -> _Findings:
        """Several at once."""
        from provision.crew import Crew

        look = Crew(self._reading.files_at_once, self._look, self._reading.stop)
        return look.run(promises)

    def by_folder(self, volume: Volume, promises: Sequence[Promise]) -> _Findings:
        groups: dict[str, list[int]] = {}
        for index, promise in enumerate(promises):
            groups.setdefault(parent_and_name(promise.file.target)[0], []).append(index)
        findings: _Findings = [None] * len(promises)
        for parent, indices in groups.items():
            self._reading.stop.check()
            for index, finding in zip(
                indices, self._in_folder(volume, parent, [promises[i] for i in indices]), strict=True
            ):
                findings[index] = finding
        return findings

    def _in_folder(self, volume: Volume, parent: str, promises: Sequence[Promise]) -> _Findings:
        try:
            folder = patiently(self._reading, lambda: volume.root.below(parent))
        except VolumeError as error:
            return [self._seen(unreadable(promise, error)) for promise in promises]
        if folder is None:
            return [self._seen(promise.found(State.MISSING)) for promise in promises]
        with folder:
            return [self._judged(promise, folder.open_file, _name(promise.file.target)) for promise in promises]

    def _look(self, promise: Promise) -> Finding | None:
        return self._judged(promise, self._view.open_file, promise.file.target)

    def _judged(self, promise: Promise, open_file: _Opener, name: str) -> Finding | None:
        if self._enough:
            return None
        try:
            return self._seen(patiently(self._reading, lambda: self._verdict(promise, open_file(name))))
        except VolumeError as error:
            return self._seen(unreadable(promise, error))

    def _verdict(self, promise: Promise, opened: Readable | None) -> Finding:
        if opened is None:
            return promise.found(State.MISSING)
        with opened:
            found = opened.stat()
            if found.st_size != promise.file.size:
                return size_finding(promise, opened, found.st_size)
            receipt = self._receipts.get(promise.file.target)
            return header_finding(promise, opened) or _vouched(promise, found, receipt)

    def _seen(self, finding: Finding) -> Finding | None:
        """`finding`, unless one before it was enough."""
        if self._enough:
            return None
        self._enough = self._reading.fail_fast and finding.state is not State.OK
        return finding


def _name(target: str) -> str:
    return parent_and_name(target)[1]


def _vouched(promise: Promise, found: Facts, receipt: Receipt | None) -> Finding:
    """Whether a receipt speaks for a file that looks right."""
    if receipt is None:
        return promise.found(State.UNPROVEN, detail="it looks right, but nothing vouches for it")
    if is_revoked(receipt):
        return promise.found(State.UNPROVEN, detail=KNOWN_DAMAGED)
    if not trusted(receipt, found):
        return promise.found(State.UNPROVEN, detail="it was changed, or replaced, since it was proven")
    if receipt.sha256 != promise.file.sha256:
        return promise.found(State.DIGEST, promise.file.sha256, receipt.sha256, "another version was proven here")
    return promise.found(State.OK)
