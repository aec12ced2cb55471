"""Sources: who can send the files of a model, and what is known of them by now, from one file to the next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING

from provision.errors import HubUnavailable
from provision.hubs import Pin
from provision.transfer.suppliers import XET, Supplier, Suppliers, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from provision.errors import ProvisionError
    from provision.hubs import Pace, Stream
    from provision.hubs.http import Wanted
    from provision.hubs.supply import Supply
    from provision.lock import LockedModel, Mirror
    from provision.plan import Step
    from provision.retry import Retry

HOPELESS = 16
"""So many files in a row that got nothing from a place: it is not asked any more. One is too few, for it may be that
file's own address that does not serve; each is too many for a hub that is silent for a minute before it fails.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drought:
    """So many `files` in a row got nothing from a place, the last because of `error`; it had sent `bytes` by then."""

    files: int
    error: ProvisionError
    bytes: int


class Sources:
    """All hubs and mirrors of a fill. Threads share it.

    A place that gave nothing is asked last for the files that follow. Where a file has no other place to come from, and
    patience is over, it is asked once for each, until something comes from there; after HOPELESS of them not at all.
    `xet`: files of Hugging Face come from its Xet storage first.
    """

    def __init__(self, supply: Supply, *, xet: bool = False) -> None:
        self.retry = supply.retry
        self._supply, self._xet = supply, xet
        self._guard = Lock()
        self._tallies: dict[str, Tally] = {}
        self._late: set[str] = set()
        self._of_models: dict[int, tuple[LockedModel, tuple[Supplier, ...]]] = {}
        self._droughts: dict[str, _Drought] = {}

    def of(self, step: Step) -> Suppliers:
        """Who can send the file of `step`: its model's source and mirrors in their order, late ones last."""
        return Suppliers(sorted(self._all(step.model), key=lambda one: one.place in self._late))

    def retry_for(self, step: Step) -> Retry:
        """The patience with those who have the file of `step`."""
        places = [one.place for one in self._all(step.model)]
        return replace(self.retry, is_spent=lambda: all(map(self._drought, places)))

    def silence(self, step: Step) -> ProvisionError | None:
        """Why nobody who has the file of `step` need be asked."""
        droughts = [self._drought(one.place) for one in self._all(step.model)]
        errors = [drought.error for drought in droughts if drought is not None and drought.files >= HOPELESS]
        return errors[0] if len(errors) == len(droughts) else None

    def learn(self, suppliers: Suppliers, served: Mapping[str, int], error: ProvisionError | None) -> None:
        """What became of a file: who `served` how many bytes, and the `error` when it failed."""
        with self._guard:
            for supplier in suppliers.all:
                if served.get(supplier.name):
                    self._late.discard(supplier.place)
                elif supplier.name in suppliers.failed:
                    self._late.add(supplier.place)
            if isinstance(error, HubUnavailable) and not any(served.values()):
                for place in {one.place for one in suppliers.all if one.name in suppliers.failed}:
                    self._dry(place, error)

    def _dry(self, place: str, error: ProvisionError) -> None:
        before = self._drought(place)
        files = 1 if before is None else before.files + 1
        self._droughts[place] = _Drought(files=files, error=error, bytes=self._tally(place).bytes)

    def _drought(self, place: str) -> _Drought | None:
        """The one that lasts: nothing has come from `place` since, for whatever file."""
        known = self._droughts.get(place)
        return known if known is not None and known.bytes == self._tally(place).bytes else None

    def _tally(self, place: str) -> Tally:
        return self._tallies.setdefault(place, Tally())  # in one step, whatever other threads do

    def _all(self, model: LockedModel) -> tuple[Supplier, ...]:
        known = self._of_models.get(id(model))
        if known is None or known[0] is not model:  # models are large, and hashing one takes longer than its files do
            known = self._of_models[id(model)] = (model, self._tallied(self._made(model)))
        return known[1]

    def _tallied(self, suppliers: Iterable[Supplier]) -> tuple[Supplier, ...]:
        return tuple(replace(one, tally=self._tally(one.place)) for one in suppliers)

    def _made(self, model: LockedModel) -> Iterator[Supplier]:
        pin = Pin(repository=model.repository, revision=model.revision, commit=model.commit)
        if self._xet and model.hub == "hf":
            yield Supplier(name=f"{model.source} by xet", place=XET, open=lambda *asked: self._open_xet(pin, *asked))
        yield Supplier(
            name=model.source, place=model.hub, open=lambda *asked: self._supply.open(model.hub, pin, *asked)
        )
        for mirror in model.mirrors:
            yield self._mirror(mirror)

    def _mirror(self, mirror: Mirror) -> Supplier:
        pin = Pin(repository=mirror.repository, revision=mirror.revision, commit=mirror.commit)

        def opened(wanted: Wanted, pace: Pace | None) -> Stream:
            return self._supply.open(mirror.hub, pin, replace(wanted, path=mirror.path_of(wanted.path)), pace)

        place = mirror.source if mirror.hub == "https" else mirror.hub
        return Supplier(name=mirror.source, place=place, open=opened)

    def _open_xet(self, pin: Pin, wanted: Wanted, pace: Pace | None) -> Stream:
        return self._supply.open_xet(pin, wanted, pace)
