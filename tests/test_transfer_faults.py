"""One range among several goes wrong: what a CDN may do to it, while the others go well, and what comes out.

Three connections share a file of three pieces, and are all at work before the first is answered. Who has the range
that goes wrong, the owner of the file or one who helps, is chance: each law holds for either. The general laws are
asserted after every fill.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from byte_faults import announces, bodies, cuts_after, drips, flips, ignores_range, on_piece, shifts_range, stalls_after
from fill_bed import BIG, SIZES, TOKEN, Bed, build
from hub_kinds import KINDS
from misbehaving_hub import Behaviour, MisbehavingHub, Rule, answers, page, redirects

from provision.digest import PIECE_SIZE
from provision.errors import (
    AddressExpired,
    ConnectionCut,
    DigestMismatch,
    ExitCode,
    HubRefused,
    NotAHub,
    ObjectChanged,
    PathNotFound,
    RateLimited,
    SizeMismatch,
    Stalled,
    Unreachable,
)
from provision.serve import Folder, Settings
from provision.transfer import assistance
from provision.transfer.outcome import Done

FILE = r"/resolve/|/repo\?"
ALL = SIZES[BIG]
P = PIECE_SIZE
K = 5_000_000
SECOND = f"bytes {P}-{2 * P - 1}"
"""The range that goes wrong, as a Content-Range begins."""
CHANGED = announces({"etag": '"another"'})


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with MisbehavingHub(Folder(build(tmp_path_factory.mktemp("served"), (BIG,))), Settings(token=TOKEN)) as hub:
        yield hub


@pytest.fixture(params=KINDS, ids=str)
def bed(request, hub, tmp_path, monkeypatch):
    monkeypatch.setattr(assistance, "LOOK", 0.01)  # help comes at once
    hub.rules.clear()
    hub.log.clear()
    (tmp_path / "volume").mkdir()
    return Bed(hub=hub, kind=request.param, volume=tmp_path / "volume")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`once`: what requests for the second piece meet, one after another; `then`: what all later ones meet.

    `extra`: most bytes that may come for nothing. `waits`: those that the hub asked for, where it did.
    """

    once: tuple[Behaviour, ...] = ()
    then: Behaviour | None = None
    place: str = "cdn"
    error: type | None = None
    extra: int = 0
    waits: frozenset[float] = frozenset({0.0})
    slow: bool = False


def once(*behaviours, **law):
    return Row(once=behaviours, **law)


def always(behaviour, error, **law):
    return Row(then=behaviour, error=error, **law)


def announced(**headers):
    return announces({name.replace("_", "-"): value for name, value in headers.items()})


def longer(body):
    return body + b"more"


def shorter(body):
    return body[:K]


COMES_OUT_RIGHT = {
    "nothing is wrong": once(),
    "cut after K bytes": once(cuts_after(K)),
    "cut before the first byte": once(cuts_after(0)),
    "cut one byte before the end": once(cuts_after(P - 1)),
    "cut again and again": once(*[cuts_after(K)] * 3),
    "silent before the first byte": once(stalls_after(0), slow=True),
    "silent in the middle": once(stalls_after(K), slow=True),
    "never silent, and never done": once(drips(10, 0.02), slow=True),
    "500": once(answers(500)),
    "503 in the middle": once(cuts_after(K), answers(503)),
    "429 that asks for seconds": once(answers(429, {"Retry-After": "7"}), waits=frozenset({7.0})),
    "429 that asks for seconds, again": once(*[answers(429, {"Retry-After": "7"})] * 2, waits=frozenset({7.0})),
    "an address that is over": once(answers(403)),
    "an address that is over in the middle": once(cuts_after(K), answers(403)),
    "200 to a Range": once(ignores_range(), extra=2 * P),
    "416 to a Range": once(answers(416, {"Content-Range": f"bytes */{ALL}"}), extra=2 * P),
    "206 from before the asked offset": once(shifts_range(-1000), extra=1000),
    "206 from behind the asked offset": once(shifts_range(1000)),
    "206 that does not say what it is": once(announced(content_range=None)),
    "206 with a garbled Content-Range": once(announced(content_range="bytes 5-x/y")),
    "206 without a total": once(announced(content_range=f"{SECOND}/*")),
    "short but clean": once(bodies(shorter, chunked=True)),
    "longer than asked for": once(bodies(longer, chunked=True), extra=4),
    "no length announced": once(announced(content_length=None)),
    "a length that is not that of the part": once(announced(content_range=f"bytes {P}-{2 * P - 2}/{ALL}")),
    "one bit flipped": once(flips(P + K), extra=ALL),
    "429 from the hub itself": once(answers(429, {"Retry-After": "7"}), place="hub", waits=frozenset({7.0})),
    "503 from the hub itself": once(answers(503), place="hub"),
}

FAILS = {
    "cut always": always(cuts_after(0), ConnectionCut),
    "cut always at the same byte": Row(once=(cuts_after(K),), then=cuts_after(0), error=ConnectionCut),
    "silent always": always(stalls_after(0), Stalled, slow=True),
    "429 always": always(answers(429, {"Retry-After": "7"}), RateLimited, waits=frozenset({7.0})),
    "429 that asks for too long": always(answers(429, {"Retry-After": "301"}), RateLimited, waits=frozenset()),
    "500 always": always(answers(500), Unreachable),
    "no address is honoured": always(answers(403), AddressExpired),
    "404": always(answers(404), PathNotFound),
    "418": always(answers(418), HubRefused),
    "206 always from behind": always(shifts_range(1), ConnectionCut),
    "206 of another file": always(announced(content_range=f"{SECOND}/{ALL + 1}"), SizeMismatch),
    "416 of another file": always(answers(416, {"Content-Range": f"bytes */{K}"}), SizeMismatch),
    "announced longer than locked": always(announces({"content-length": str(ALL + 1)}), ConnectionCut),
    "compressed": always(announced(content_encoding="gzip"), NotAHub),
    "a web page": always(page(), NotAHub),
    "another object": always(CHANGED, ObjectChanged),
    "another digest is named": always(announces({"x-linked-etag": f'"{"e" * 64}"'}), DigestMismatch),
    "a circle of redirects": always(redirects("/round"), NotAHub),
    "a redirect to nowhere": always(redirects("http://[::1"), NotAHub),
    "a redirect to a file": always(redirects("file:///etc/passwd"), NotAHub),
    "one bit always flipped": always(flips(P + K), DigestMismatch, extra=ALL),
}


def run(bed, row):
    misbehave = on_piece(1, *row.once, then=row.then, at_once=3)
    bed.hub.rules[:] = [Rule(FILE if row.place == "hub" else "", misbehave, place=row.place)]
    result = bed.fill(bed.lock(BIG), connections=3, **({"stall": 0.3} if row.slow else {}))
    assert set(result.sleeps) <= row.waits
    met = [part for part in result.ranges(row.place) if part and P <= int(part.split("-")[0]) < 2 * P]
    assert len(met) >= len(row.once) + bool(row.then), "every fault was met"
    return result


@pytest.mark.parametrize("row", COMES_OUT_RIGHT.values(), ids=COMES_OUT_RIGHT)
def test_what_passes_comes_out_right_and_no_byte_comes_twice(bed, row):
    result = run(bed, row)
    assert result.exit_code == ExitCode.DONE
    assert [outcome.done for outcome in result.outcomes] == [Done.FETCHED]
    assert ALL <= result.fetched <= ALL + row.extra
    again = bed.fill(bed.lock(BIG))
    assert ([outcome.done for outcome in again.outcomes], again.requests) == ([Done.KEPT], [])


@pytest.mark.parametrize("row", FAILS.values(), ids=FAILS)
def test_what_does_not_pass_gets_no_name_and_what_came_is_not_asked_for_again(bed, row):
    result = run(bed, row)
    assert type(result.error) is row.error
    assert not (bed.volume / "models" / BIG).exists()
    assert result.fetched <= ALL + row.extra
    bed.hub.rules.clear()
    again = bed.fill(bed.lock(BIG))
    assert again.exit_code == ExitCode.DONE
    assert again.fetched <= ALL
