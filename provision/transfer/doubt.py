"""Doubt: what to do when a file has come whole and its sha256 is not the promised one.

Some piece is wrong, and nobody can tell which: until the whole is right, pieces have digests but no promise. So each
supplier is asked to send the file by itself; what came from it alone is kept, unless all of it did. When the whole is
right, the pieces that differ tell who sent others, and at which bytes. Nothing gets a name before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.digest import differing
from provision.errors import DigestMismatch, HubRefused, HubUnavailable, PromiseBroken
from provision.transfer.suppliers import Suppliers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from provision.lock import LockedFile
    from provision.transfer.suppliers import Supplier
    from provision.volume.partials import Partial

HINT = "the hub or something on the way serves other bytes: see `provision lock --upgrade --dry-run`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A file of `size` bytes as it once came: `sha256` of the whole, the digests of its `pieces`, and the `names` of
    those who sent each.
    """

    size: int
    sha256: str
    pieces: Sequence[str]
    names: Mapping[int, frozenset[str]]

    @property
    def senders(self) -> frozenset[str]:
        """All who sent some of it; pieces that were held have none."""
        return frozenset().union(*self.names.values())

    def alone(self, name: str) -> dict[int, str]:
        """The pieces that came from the supplier of that name, and from nobody else."""
        return {index: self.pieces[index] for index, names in self.names.items() if names == {name}}


def resolve_doubt(
    partial: Partial, suppliers: Suppliers, first: Attempt, again: Callable[[Suppliers], Attempt]
) -> Attempt:
    """The attempt that came out right, after `first` did not; `again` makes one with the suppliers it is given.

    Suppliers who sent wrong bytes are dropped from `suppliers`, each with an error that names it and the bytes.

    Raises:
        DigestMismatch: it never did. Nothing is left of the partial.
        HubUnavailable, VolumeError, Interrupted: as `again` does.
    """
    attempts, file = [first], partial.file
    failure: HubUnavailable | None = None
    whole = len(first.pieces)
    candidates = [supplier for supplier in suppliers.all if supplier in suppliers.left]
    for supplier in sorted(candidates, key=lambda one: len(first.alone(one.name)) == whole):
        kept = first.alone(supplier.name)
        partial.restrict(kept if len(kept) < whole else {})
        try:
            attempt = again(Suppliers([supplier]))
        except (HubRefused, PromiseBroken) as error:
            suppliers.drop(supplier, error)
            continue
        except HubUnavailable as error:
            failure = error
            continue
        if attempt.sha256 == file.sha256:
            _drop_liars(attempts, attempt, suppliers, supplier)
            return attempt
        attempts.append(attempt)
        suppliers.drop(supplier, _broken_promise(file, attempts[-2:], supplier.name))
    broken = _broken_promise(file, attempts, ", ".join(sorted({name for one in attempts for name in one.senders})))
    if failure is not None:
        failure.message = f"{broken.message}; and {failure.message}"
        raise failure
    partial.discard()
    raise broken


def told(first: Attempt, right: Attempt) -> str:
    """Which bytes of `first` were others than those of `right`, and who had sent them."""
    wrong = [index for index, piece in enumerate(first.pieces) if piece != right.pieces[index]]
    who = sorted({name for index in wrong for name in first.names.get(index, ())})
    return f"{differing(first.pieces, right.pieces, right.size)} had come wrong from {', '.join(who) or 'the volume'}"


def _drop_liars(attempts: Sequence[Attempt], right: Attempt, suppliers: Suppliers, honest: Supplier) -> None:
    """Those are dropped who alone sent a piece that is another one in the file as it is right."""
    for liar in suppliers.left:
        sent = {index: digest for attempt in attempts for index, digest in attempt.alone(liar.name).items()}
        believed = [sent.get(index, digest) for index, digest in enumerate(right.pieces)]
        where = differing(believed, right.pieces, right.size)
        if where and liar is not honest:
            suppliers.drop(liar, DigestMismatch(f"{liar.name} sent other {where} than promised", hint=HINT))


def _broken_promise(file: LockedFile, attempts: Sequence[Attempt], who: str) -> DigestMismatch:
    came = " and ".join(dict.fromkeys(attempt.sha256 for attempt in attempts))
    where = differing(attempts[0].pieces, attempts[-1].pieces, file.size)
    changing = f"; {where} came differently from one time to the next" if where else ""
    return DigestMismatch(
        f"{file.target}: sha256 {file.sha256} was promised, {came} came from {who}{changing}", hint=HINT
    )
