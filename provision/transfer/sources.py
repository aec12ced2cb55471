"""Sources: who can send the files of a model, and what is known of them by now, from one file to the next."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from provision.errors import HubUnavailable
from provision.hubs import Pin
from provision.transfer.suppliers import XET, Supplier, Suppliers, Tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from provision.errors import ProvisionError
    from provision.hubs import Pace, Stream
    from provision.hubs.http import Wanted
    from provision.hubs.supply import Supply
    from provision.lock import LockedModel, Mirror
    from provision.plan import Step


class Sources:
    """All hubs and mirrors of a fill. Threads share it.

    A place that gave nothing is asked last for the files that follow; where a file has no other place to come from, and
    patience is over, it is not asked at all. `xet`: files of Hugging Face come from its Xet storage first.
    """

    def __init__(self, supply: Supply, *, xet: bool = False) -> None:
        self.retry = supply.retry
        self._supply, self._xet = supply, xet
        self._tallies: defaultdict[str, Tally] = defaultdict(Tally)
        self._late: set[str] = set()
        self._silent: dict[str, ProvisionError] = {}

    def of(self, step: Step) -> Suppliers:
        """Who can send the file of `step`: its model's source and mirrors in their order, late ones last."""
        all_of_them = (replace(one, tally=self._tallies[one.place]) for one in self._all(step.model))
        return Suppliers(sorted(all_of_them, key=lambda one: one.place in self._late))

    def silence(self, step: Step) -> ProvisionError | None:
        """Why nobody who has the file of `step` need be asked."""
        errors = [self._silent.get(one.place) for one in self._all(step.model)]
        return errors[0] if all(errors) else None

    def learn(self, suppliers: Suppliers, served: Mapping[str, int], error: ProvisionError | None) -> None:
        """What became of a file: who `served` how many bytes, and the `error` when it failed."""
        for supplier in suppliers.all:
            if served.get(supplier.name):
                self._late.discard(supplier.place)
                self._silent.pop(supplier.place, None)
            elif supplier.name in suppliers.failed:
                self._late.add(supplier.place)
                if isinstance(error, HubUnavailable) and not any(served.values()):
                    self._silent[supplier.place] = error

    def _all(self, model: LockedModel) -> Iterator[Supplier]:
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
