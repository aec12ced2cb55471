"""Verification: a volume against its locks, without a hub and without a network.

full         every byte, read ahead by `stream`; what it proves and refutes goes into `records`
quick        presence, size, the header's digest, and a receipt that still fits: for the start of a worker
sample       quick, and pieces drawn at random
fit          whether the models that are as promised fit together
strangers    what nobody promised
refs         what a hub's client needs beside the files
pickles      files whose loading can run code
absence      a volume that is not there, told apart from files that are missing

What quick verification cannot vouch for is `unproven`, never `ok`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.errors import VolumeError
from provision.verification.findings import Finding, Mode, Note, Promise, State, Verification
from provision.verification.reading import Reading
from provision.volume.receipts import read_receipts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provision.lock import Lock
    from provision.verification.findings import ModelMisfit
    from provision.volume.receipts import Receipt
    from provision.volume.view import View

__all__ = ["Finding", "Mode", "Note", "Promise", "Reading", "State", "Verification", "verify"]


def verify(view: View, locks: Sequence[Lock], reading: Reading) -> Verification:
    """The findings on every file that `locks` promise.

    A full verification leaves receipts for what it proved, and takes back those it refuted, where `reading.records` can
    be written; a sample takes back only; a quick one changes nothing.

    Raises:
        VolumeAbsent: nothing is mounted where the volume should be.
        VolumeError: the volume's own records cannot be reached.
        InputError: what was asked for cannot be done with this view, or this installation.
        Interrupted: a stop was asked for.
    """
    _check_possible(view, reading)
    promises = _promises(locks, reading)
    found, notes = _found(view, promises, reading)
    findings = [finding for finding in found if finding is not None]
    notes += _absence(view, findings)
    further, more = _further(view, locks, promises, reading) if _goes_on(found, reading) else ([], [])
    return Verification(
        volume=view.path,
        mode=reading.mode,
        findings=(*findings, *further),
        misfits=(*_unfit(view, locks, findings, reading), *_misfits(view, promises, reading)),
        notes=(*notes, *more, *_fit_notes(locks, promises, reading), *_pickle_notes(promises)),
        unread=len(found) - len(findings),
        shard=reading.shard,
    )


def _promises(locks: Sequence[Lock], reading: Reading) -> list[Promise]:
    promises = [
        Promise(project=lock.project, model=model.name, file=file) for lock in locks for model, file in lock.files()
    ]
    if reading.shard is None:
        return promises
    from provision.shard import share

    ours = share(locks, reading.shard)
    return [promise for promise in promises if promise.file.target in ours]


def _check_possible(view: View, reading: Reading) -> None:
    """Refuse at once what would be refused after hours of reading."""
    if reading.strict:
        from provision.verification.strangers import walkable

        walkable(view)
    if reading.scan_pickles:
        from provision.verification.pickles import scanner

        scanner()


def _found(view: View, promises: Sequence[Promise], reading: Reading) -> tuple[list[Finding | None], list[Note]]:
    receipts, notes = _receipts(view, {promise.file.target for promise in promises}, reading)
    match reading.mode:
        case Mode.QUICK:
            from provision.verification.quick import verify_quick

            return verify_quick(view, promises, receipts, reading), []
        case Mode.SAMPLE:
            from provision.verification.sample import verify_sample

            return verify_sample(view, promises, receipts, reading)
        case Mode.FULL:
            from provision.verification.full import verify_full

            found, more = verify_full(view, promises, receipts, reading)
            return found, [*notes, *more]


def _receipts(view: View, targets: set[str], reading: Reading) -> tuple[Mapping[str, Receipt], list[Note]]:
    """The receipts of `targets`. Where they cannot be read, a full verification does without them."""
    try:
        return read_receipts(view, reading.clock(), only=targets), []
    except VolumeError as error:
        if reading.mode is not Mode.FULL:
            raise
        return {}, [Note(kind="receipts", text=f"no receipt was used, since {error.message}")]


def _goes_on(found: Sequence[Finding | None], reading: Reading) -> bool:
    """Whether there is more to look at: not after a first fault, where that is enough."""
    return not reading.fail_fast or all(finding is not None and finding.state is State.OK for finding in found)


def _absence(view: View, findings: Sequence[Finding]) -> list[Note]:
    if not findings or any(finding.state is not State.MISSING for finding in findings):
        return []
    from provision.verification.absence import check_attached, emptiness

    check_attached(view)
    return emptiness(view)


def _further(
    view: View, locks: Sequence[Lock], promises: Sequence[Promise], reading: Reading
) -> tuple[list[Finding], list[Note]]:
    """What is wrong beside the promised files."""
    findings: list[Finding] = []
    if any(model.layout.endswith("-cache") for lock in locks for model in lock.models):
        from provision.verification.refs import ref_findings

        findings = ref_findings(view, locks, promises, reading)
    if not reading.strict or not _goes_on(findings, reading):
        return findings, []
    from provision.verification.strangers import strangers

    found, notes = strangers(view, locks, reading)
    return findings + found, notes


def _pickle_notes(promises: Sequence[Promise]) -> list[Note]:
    from provision.verification.pickles import pickle_notes

    return pickle_notes(promises)


def _unfit(view: View, locks: Sequence[Lock], findings: Sequence[Finding], reading: Reading) -> Sequence[ModelMisfit]:
    """What does not fit together. Only asked where all bytes are read: what fits is decided by them, so whoever trusts
    a receipt may trust what was found then.
    """
    if reading.mode is not Mode.FULL:
        return []
    from provision.verification.fit import misfits_of

    return misfits_of(view, locks, {finding.target for finding in findings if finding.state is State.OK})


def _fit_notes(locks: Sequence[Lock], promises: Sequence[Promise], reading: Reading) -> list[Note]:
    if reading.mode is not Mode.FULL or reading.shard is None:
        return []
    from provision.verification.fit import unasked_notes

    return unasked_notes(locks, {promise.file.target for promise in promises})


def _misfits(view: View, promises: Sequence[Promise], reading: Reading) -> list[ModelMisfit]:
    if not reading.scan_pickles:
        return []
    from provision.verification.pickles import pickle_misfits

    return pickle_misfits(view, promises, reading)
