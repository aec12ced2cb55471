"""What is remembered of large files, from one range to the next: where the hub sent us, and which object it was.

A hub counts its own requests, not those of its CDN; a file in a hundred ranges is to cost it one. Addresses carry
signatures: they are kept in memory only, and never shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from provision.hubs.address import origin_of

if TYPE_CHECKING:
    from provision.hubs import Location
    from provision.hubs.http import Wanted

LARGE = 16 * 1024 * 1024
"""Smaller files come in one piece: there is no later range to remember anything for."""

_MOST = 4096

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """The strong ETag that one origin gave for a file, and whether it has ever answered there with a part."""

    etag: str
    ranged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What the answer of `address` told: its strong ETag, if any, and whether it is a part."""

    address: str
    etag: str | None
    ranged: bool


class Memory:
    """Addresses and validators of the latest few thousand large files. Safe to share between threads."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._addresses: dict[str, str] = {}
        self._validators: dict[tuple[str, str], Validator] = {}

    def address(self, location: Location) -> str | None:
        """Where the hub sent us for what is at `location`: always another origin."""
        with self._guard:
            return self._addresses.get(location.url)

    def validator(self, location: Location, address: str) -> Validator | None:
        """What the origin of `address` said about the file: others may name the same object differently."""
        with self._guard:
            return self._validators.get(_at(location, address))

    def learn(self, location: Location, wanted: Wanted, answered: Answered) -> Validator | None:
        """Keep what an answer told, and give what is known of its object now: what was known first stays."""
        if wanted.size <= LARGE:
            return None
        with self._guard:
            if origin_of(answered.address) != origin_of(location.url):
                _keep(self._addresses, location.url, answered.address)
            place = _at(location, answered.address)
            known = self._validators.get(place)
            etag = known.etag if known else answered.etag
            if etag is None:
                return None
            known = Validator(etag=etag, ranged=answered.ranged or (known is not None and known.ranged))
            _keep(self._validators, place, known)
            return known

    def forget(self, location: Location, address: str) -> None:
        """`address` no longer serves; one that another thread has learnt meanwhile stays."""
        with self._guard:
            if self._addresses.get(location.url) == address:
                del self._addresses[location.url]


def _at(location: Location, address: str) -> tuple[str, str]:
    return location.url, "{}://{}:{}".format(*origin_of(address))


def _keep(known: dict[K, V], key: K, value: V) -> None:
    known.pop(key, None)
    known[key] = value
    if len(known) > _MOST:
        del known[next(iter(known))]
