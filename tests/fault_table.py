"""The fault table: what may go wrong with one range among several, on the way from either hub, and what comes out.

Three connections share a file of three pieces, and are all at work before the first is answered. One of them meets the
fault: the owner of the file, who has all patience, or one who helps, whose troubles are left to the owner.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING

from byte_faults import announces, bodies, cuts_after, drips, flips, honestly, ignores_range, reports, shifts_range
from byte_faults import stalls_after as silent_after
from fill_bed import NOW, SIZES, SMALL_PIECE, THREE, proven
from misbehaving_hub import answers, page, redirects
from unreachable import closed_port, reset_body, reset_handshake, reset_tls_body, unknown_name

from provision.errors import (
    AccessDenied,
    AddressExpired,
    ConnectionCut,
    DigestMismatch,
    ExitCode,
    Gated,
    HubRefused,
    NotAHub,
    ObjectChanged,
    PathNotFound,
    RateLimited,
    SizeMismatch,
    Stalled,
    Unreachable,
)
from provision.transfer.outcome import Done

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from fill_bed import Bed, Result
    from misbehaving_hub import Behaviour
    from unreachable import Place

    from provision.lock import Lock

ALL = SIZES[THREE]
P = SMALL_PIECE
K = 1_500_000
SPINE = "what one stream survives"
OWNER, HELPER = 0, 1
"""Who meets a fault, by the piece that is theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`once`: what requests for one piece meet, one after another; `then`: what all later ones meet. `away`: they are
    sent there instead, once, or always if there is an `error`.

    `error`: what comes of it. What is met once is an error only where the owner meets it.
    `issue`: which one it is in test_fault_list.py. `extra`: most bytes that may come for nothing. `asks`: seconds that
    the hub asks for. `late`: it strikes when all the other pieces have come. `who` meets it, of those that last.
    """

    once: tuple[Behaviour, ...] = ()
    then: Behaviour | None = None
    away: Callable[[int], AbstractContextManager[Place]] | None = None
    place: str = "cdn"
    error: type | None = None
    issue: str = SPINE
    extra: int = 0
    asks: float = 0.0
    late: bool = False
    slow: bool = False
    who: int = HELPER

    @property
    def lasts(self) -> bool:
        """Whether it does not pass."""
        return self.then is not None or (self.away is not None and self.error is not None)

    def error_for(self, who: int) -> type | None:
        return self.error if self.lasts or who == OWNER else None


def once(*behaviours, **law):
    return Fault(once=behaviours, **law)


def always(behaviour, error, **law):
    return Fault(then=behaviour, error=error, **law)


def sends_to(away, error=None, **law):
    return Fault(away=away, error=error, place="hub", **law)


def announced(**headers):
    return announces({name.replace("_", "-"): value for name, value in headers.items()})


def longer(body):
    return body + b"more"


def shorter(body):
    return body[:K]


IN_7_SECONDS = {"Retry-After": formatdate(NOW + 7, usegmt=True)}
SEVEN = {"Retry-After": "7"}
LORIS, TOTAL, GZIP = "a slow-loris stream", "wrong Content-Range total", "gzip on weights"
DNS, TLS, LATE, WRONG = "DNS failure", "reset during TLS", "out of order and late", "one of N corrupted repeatedly"

PASSES = {
    "nothing is wrong": once(),
    "cut after K bytes": once(cuts_after(K)),
    "cut before the first byte": once(cuts_after(0)),
    "cut one byte before the end": once(cuts_after(P - 1)),
    "cut again and again": once(*[cuts_after(K // 3)] * 3),
    "reset": sends_to(reset_body),
    "reset inside TLS": sends_to(reset_tls_body, issue=TLS),
    "answered last": once(honestly, late=True, issue=LATE),
    "silent before the first byte": once(silent_after(0), slow=True),
    "silent in the middle": once(silent_after(K), slow=True),
    "never silent, and never done": once(drips(10, 0.02), slow=True, issue=LORIS),
    "500": once(answers(500)),
    "503 in the middle": once(cuts_after(K), answers(503)),
    "503 that asks for seconds": once(answers(503, SEVEN), asks=7.0),
    "429 that asks for seconds": once(answers(429, SEVEN), asks=7.0),
    "429 that asks for seconds, again": once(*[answers(429, SEVEN)] * 2, asks=7.0),
    "429 that asks until a date": once(answers(429, IN_7_SECONDS), asks=7.0),
    "429 without a figure": once(answers(429)),
    "an address that is over": once(answers(403)),
    "an address that is over in the middle": once(cuts_after(K), answers(403)),
    "200 to a Range": once(ignores_range(), extra=2 * P),
    "416 to a Range": once(answers(416, {"Content-Range": f"bytes */{ALL}"}), extra=2 * P),
    "416 to a Range, without a word": once(answers(416), extra=2 * P),
    "206 from before the asked offset": once(cuts_after(K), shifts_range(-1000), extra=1000),
    "206 from behind the asked offset": once(shifts_range(1000)),
    "206 that does not say what it is": once(announced(content_range=None)),
    "206 with a garbled Content-Range": once(announced(content_range="bytes 5-x/y")),
    "206 without a total": once(reports("bytes {first}-{last}/*"), issue=TOTAL),
    "short but clean": once(bodies(shorter, chunked=True)),
    "longer than asked for": once(bodies(longer, chunked=True), extra=4),
    "no length announced": once(announced(content_length=None)),
    "a length longer than its part says": once(announced(content_length=str(ALL + 1))),
    "a part shorter than its length says": once(reports("bytes {first}-{before}/{size}")),
    "one bit flipped": once(flips(K, of_part=True), extra=ALL, issue=WRONG),
    "429 from the hub itself": once(answers(429, SEVEN), place="hub", asks=7.0),
    "503 from the hub itself": once(answers(503), place="hub"),
    "a host that nobody knows": sends_to(unknown_name, issue=DNS),
    "a port where nobody listens": sends_to(closed_port),
    "a handshake that ends": sends_to(reset_handshake, issue=TLS),
}
"""It comes out right, whoever meets it."""

REFUSALS = {
    "404": (answers(404), PathNotFound, {}),
    "418": (answers(418), HubRefused, {}),
    "206 of a longer file": (reports("bytes {first}-{last}/{more}"), SizeMismatch, {"issue": TOTAL}),
    "206 of a shorter file": (reports("bytes {first}-{last}/{fewer}"), SizeMismatch, {"issue": TOTAL}),
    "416 of another file": (answers(416, {"Content-Range": f"bytes */{K}"}), SizeMismatch, {"issue": TOTAL}),
    "compressed": (announced(content_encoding="gzip"), NotAHub, {"issue": GZIP}),
    "a web page": (page(), NotAHub, {}),
    "another object": (announced(etag='"another"'), ObjectChanged, {"late": True}),
    "another digest is named": (announced(x_linked_etag=f'"{"e" * 64}"'), DigestMismatch, {}),
    "the hub names another digest": (announced(x_linked_etag=f'"{"e" * 64}"'), DigestMismatch, {"place": "hub"}),
    "a redirect to nowhere": (redirects("http://[::1"), NotAHub, {}),
    "a redirect to no port": (redirects("http://127.0.0.1:99999/"), NotAHub, {}),
    "a redirect to a file": (redirects("file:///etc/passwd"), NotAHub, {}),
    "401 from the hub itself": (answers(401), AccessDenied, {"place": "hub"}),
    "403 from the hub itself": (answers(403), AccessDenied, {"place": "hub"}),
    "a gated repository": (answers(403, {"X-Error-Code": "GatedRepo"}), Gated, {"place": "hub"}),
    "404 from the hub itself": (answers(404), PathNotFound, {"place": "hub"}),
}
"""It is the end of the file, once or always. What a helper meets is the owner's to meet again."""

FAILS = {
    "cut always": always(cuts_after(0), ConnectionCut),
    "cut always at the same byte": Fault(once=(cuts_after(K),), then=cuts_after(0), error=ConnectionCut),
    "silent always": always(silent_after(0), Stalled, slow=True),
    "never silent, and never done, always": always(drips(10, 0.02), Stalled, slow=True, issue=LORIS),
    "429 always": always(answers(429, SEVEN), RateLimited, asks=7.0),
    "429 that asks for too long": always(answers(429, {"Retry-After": "301"}), RateLimited),
    "500 always": always(answers(500), Unreachable),
    "no address is honoured": always(answers(403), AddressExpired),
    "206 always from behind": always(shifts_range(1), ConnectionCut),
    "a length that is always longer than its part": always(announced(content_length=str(ALL + 1)), ConnectionCut),
    "416 to everything": always(answers(416), HubRefused, who=OWNER),
    "416 to everything, in the middle": Fault(once=(cuts_after(K),), then=answers(416), error=HubRefused, who=OWNER),
    "a circle of redirects": always(redirects("/round"), NotAHub),
    "one bit always flipped": always(flips(K, of_part=True), DigestMismatch, extra=ALL, issue=WRONG),
    "always a host that nobody knows": sends_to(unknown_name, Unreachable, issue=DNS),
    "always a port where nobody listens": sends_to(closed_port, Unreachable),
    "always a handshake that ends": sends_to(reset_handshake, Unreachable, issue=TLS),
    **{f"{name}, always": always(refusal, error, **law) for name, (refusal, error, law) in REFUSALS.items()},
}
ONCE = PASSES | {f"{name}, once": once(refusal, error=error, **law) for name, (refusal, error, law) in REFUSALS.items()}
TABLE = ONCE | FAILS


def assert_the_law(bed: Bed, lock: Lock, result: Result, error: type | None, extra: int = 0) -> None:
    """What holds after a fill of THREE that met a fault, beside the laws of the bed: it ended with `error`, and no name
    is wrong; what came is proven, and not asked for again when the fault is over.
    """
    assert (type(result.error) if result.error else None) is error, result.error
    assert result.fetched <= ALL + extra
    final = bed.volume / "models" / THREE
    assert final.exists() == (error is None)
    held = sum(min(P, ALL - index * P) for index in proven(bed.volume, lock).get(f"models/{THREE}", ()))
    bed.hub.rules.clear()
    again = bed.fill(lock)
    assert again.exit_code == ExitCode.DONE
    if error is None:
        assert [outcome.done for outcome in result.outcomes] == [Done.FETCHED]
        assert result.fetched >= ALL
        assert ([outcome.done for outcome in again.outcomes], again.requests) == ([Done.KEPT], [])
    else:
        assert again.fetched == ALL - held


def away(fault: Fault, who: int) -> AbstractContextManager[Place | None]:
    """Where a fault sends its piece, for as long as it lasts."""
    return fault.away(who) if fault.away else nullcontext()
