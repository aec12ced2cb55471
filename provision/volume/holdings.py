"""Holdings: what a volume has for each promised file, as far as can be told without reading it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.digest import PIECE_SIZE
from provision.errors import UnsafePath
from provision.plan import Holding, State
from provision.volume.journal import bytes_of, within
from provision.volume.leftovers import by_parent, leftovers
from provision.volume.mount import is_regular
from provision.volume.paths import parent_and_name
from provision.volume.receipts import is_revoked, read_receipts, trusted

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping

    from provision.lock import LockedFile
    from provision.volume.mount import Volume
    from provision.volume.paths import Folder
    from provision.volume.receipts import Receipt


def survey(
    volume: Volume, files: Iterable[LockedFile], now: float, receipts: Mapping[str, Receipt] | None = None
) -> dict[str, Holding]:
    """What stands for each of `files`, by target. Folders are opened once, receipts and journals listed once.

    `now` is in seconds since the epoch; `receipts` spares reading them again where they are known.

    Raises:
        UnsafePath: `.provision` is not a plain folder.
        VolumeTrouble, VolumeError: something cannot be looked at; nothing is taken to be absent then.
    """
    known = read_receipts(volume, now) if receipts is None else receipts
    wanted = list(files)
    held = {target: max(one.held for one in found) for target, found in leftovers(volume, wanted).items()}
    holdings: dict[str, Holding] = {}
    for parent, siblings in by_parent(wanted).items():
        try:
            folder = volume.root.below(parent)
        except UnsafePath:
            holdings.update({file.target: Holding(state=State.NOT_A_FILE) for file in siblings})
            continue
        for file, found in _standing(folder, siblings):
            holdings[file.target] = holding_of(file, found, known.get(file.target), held.get(file.target, 0))
    return holdings


def holding_of(file: LockedFile, found: os.stat_result | None, receipt: Receipt | None, held: int) -> Holding:
    """The holding, from what stands, the newest receipt, and the bytes that partials hold. Pure."""
    if found is None:
        return Holding(state=State.ABSENT, held=held)
    if not is_regular(found):
        return Holding(state=State.NOT_A_FILE)
    state = _state(file, found, receipt)
    if state is State.DAMAGED:
        # Which pieces are damaged shows when they are read; one of them is for certain.
        held = max(held, file.size - min(file.size, PIECE_SIZE))
    if state is State.WRONG_SIZE and receipt is not None and receipt.sha256 == file.sha256:
        pieces = within(dict(enumerate(receipt.pieces)), file.size, found.st_size)
        held = max(held, bytes_of(pieces, file.size))
    return Holding(state=state, size=found.st_size, held=held)


def _state(file: LockedFile, found: os.stat_result, receipt: Receipt | None) -> State:
    vouched = receipt.sha256 if receipt is not None and trusted(receipt, found) else None
    if vouched not in {None, file.sha256}:
        return State.OTHER_VERSION
    if found.st_size != file.size:
        return State.WRONG_SIZE
    if receipt is not None and receipt.sha256 == file.sha256 and is_revoked(receipt):
        return State.DAMAGED
    return State.PROVEN if vouched else State.UNPROVEN


def _standing(folder: Folder | None, files: Iterable[LockedFile]) -> Iterator[tuple[LockedFile, os.stat_result | None]]:
    if folder is None:
        yield from ((file, None) for file in files)
        return
    with folder:
        for file in files:
            yield file, folder.stat(parent_and_name(file.target)[1])
