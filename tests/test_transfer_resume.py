"""The resume table: what a hub may do to a stream, and what comes out. The laws are asserted after every row.

All rows are one small file from the CDN of both hubs, unless they say otherwise. K bytes are what comes before a fault.
"""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass, replace
from email.utils import formatdate
from pathlib import Path

import pytest
from byte_faults import announces, bodies, cuts_after, flips, ignores_range, shifts_range, stalls_after
from fill_bed import EMPTY, NOW, PLAIN, SIZES, SMALL, TOKEN, Bed, build, content, file_of, lock_of
from hub_kinds import HUGGINGFACE, KINDS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from misbehaving_hub import Behaviour, MisbehavingHub, Rule, answers, page, redirects
from raw_server import RESET, RawServer, head

from provision.errors import (
    AccessDenied,
    AddressExpired,
    ConnectionCut,
    DigestMismatch,
    ExitCode,
    Gated,
    HubRefused,
    NotAHub,
    PathNotFound,
    RateLimited,
    SizeMismatch,
    Stalled,
    Unreachable,
)
from provision.retry import Patience
from provision.serve import Folder, Settings
from provision.transfer.outcome import Done

SIZE = SIZES[SMALL]
K = 65_536
WHOLE = None
REST = f"{K}-{SIZE - 1}"
FILE = r"/resolve/|/repo\?"
ALWAYS = None


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with MisbehavingHub(Folder(build(tmp_path_factory.mktemp("served"))), Settings(token=TOKEN)) as hub:
        yield hub


@pytest.fixture(params=KINDS, ids=str)
def bed(request, hub, tmp_path):
    hub.rules.clear()
    return Bed(hub=hub, kind=request.param, volume=tmp_path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What the first `times` requests meet that no earlier fault takes; at the `hub` that is before the redirect."""

    behaviour: Behaviour
    times: int | None = 1
    place: str = "cdn"

    def rule(self) -> Rule:
        return Rule(FILE if self.place == "hub" else "", self.behaviour, self.times, self.place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`ranges` are those that the CDN was asked for; `waits` what was slept, where the hub had asked for it."""

    faults: tuple[Fault, ...]
    ranges: tuple[str | None, ...]
    error: type | None = None
    fetched: int | None = SIZE
    waits: tuple[float, ...] | None = None


def once(*behaviours):
    return tuple(Fault(behaviour=behaviour) for behaviour in behaviours)


def always(behaviour, place="cdn"):
    return (Fault(behaviour=behaviour, times=ALWAYS, place=place),)


def at_hub(behaviour):
    return (Fault(behaviour=behaviour, place="hub"),)


def ranged(**headers):
    """A cut, and then other headers on what was asked for again."""
    return announces({name.replace("_", "-"): value for name, value in headers.items()})


IN_7_SECONDS = formatdate(NOW + 7, usegmt=True)
TOO_LONG = {"Retry-After": "301"}

COMES_OUT_RIGHT = {
    "nothing is wrong": Row(faults=(), ranges=(WHOLE,)),
    "cut after K bytes": Row(faults=once(cuts_after(K)), ranges=(WHOLE, REST)),
    "cut before the first byte": Row(faults=once(cuts_after(0)), ranges=(WHOLE, WHOLE)),
    "cut one byte before the end": Row(faults=once(cuts_after(SIZE - 1)), ranges=(WHOLE, f"{SIZE - 1}-{SIZE - 1}")),
    "200 to a Range": Row(faults=once(cuts_after(K), ignores_range()), ranges=(WHOLE, REST), fetched=K + SIZE),
    "206 from before the asked offset": Row(
        faults=once(cuts_after(K), shifts_range(-1000)), ranges=(WHOLE, REST), fetched=SIZE + 1000
    ),
    "206 from behind the asked offset": Row(faults=once(cuts_after(K), shifts_range(1000)), ranges=(WHOLE, REST, REST)),
    "206 that does not say what it is": Row(
        faults=once(cuts_after(K), ranged(content_range=None)), ranges=(WHOLE, REST, REST)
    ),
    "206 with a garbled Content-Range": Row(
        faults=once(cuts_after(K), ranged(content_range="bytes 5-x/y")), ranges=(WHOLE, REST, REST)
    ),
    "206 without a total": Row(
        faults=once(cuts_after(K), ranged(content_range=f"bytes {REST}/*")), ranges=(WHOLE, REST)
    ),
    "206 that is cut": Row(faults=once(cuts_after(K), cuts_after(K)), ranges=(WHOLE, REST, f"{2 * K}-{SIZE - 1}")),
    "416 to a Range": Row(
        faults=once(cuts_after(K), answers(416, {"Content-Range": f"bytes */{SIZE}"})),
        ranges=(WHOLE, REST, WHOLE),
        fetched=K + SIZE,
    ),
    "longer than promised": Row(
        faults=once(bodies(lambda body: body + b"more", chunked=True)),
        ranges=(WHOLE,),
        fetched=None,  # how much of the surplus came with the last of it is the network's choice
    ),
    "short but clean": Row(faults=once(bodies(lambda body: body[:K], chunked=True)), ranges=(WHOLE, REST)),
    "no length announced": Row(faults=once(announces({"content-length": None})), ranges=(WHOLE,)),
    "one bit flipped": Row(faults=once(flips(K)), ranges=(WHOLE, WHOLE), fetched=2 * SIZE),
    "silent before the first byte": Row(faults=once(stalls_after(0)), ranges=(WHOLE, WHOLE)),
    "silent in the middle": Row(faults=once(stalls_after(K)), ranges=(WHOLE, REST)),
    "429 that asks for seconds": Row(
        faults=once(answers(429, {"Retry-After": "7"})), ranges=(WHOLE, WHOLE), waits=(7.0,)
    ),
    "429 that asks until a date": Row(
        faults=once(answers(429, {"Retry-After": IN_7_SECONDS})), ranges=(WHOLE, WHOLE), waits=(7.0,)
    ),
    "429 without a figure": Row(faults=once(answers(429)), ranges=(WHOLE, WHOLE), waits=(0.0,)),
    "429 from the hub itself": Row(faults=at_hub(answers(429, {"Retry-After": "7"})), ranges=(WHOLE,), waits=(7.0,)),
    "503 that asks for seconds": Row(
        faults=once(answers(503, {"Retry-After": "300"})), ranges=(WHOLE, WHOLE), waits=(300.0,)
    ),
    "503 in the middle": Row(faults=once(cuts_after(K), answers(503)), ranges=(WHOLE, REST, REST), waits=(0.0, 0.0)),
    "an address that is over": Row(faults=once(answers(403)), ranges=(WHOLE, WHOLE)),
    "an address that is over in the middle": Row(faults=once(cuts_after(K), answers(403)), ranges=(WHOLE, REST, REST)),
}

FAILS = {
    "cut always": Row(faults=always(cuts_after(0)), ranges=(WHOLE,) * 3, error=ConnectionCut, fetched=0),
    "cut always at the same byte": Row(
        faults=(*once(cuts_after(K)), *always(cuts_after(0))),
        ranges=(WHOLE, REST, REST),
        error=ConnectionCut,
        fetched=K,
    ),
    "206 always from behind": Row(
        faults=(*once(cuts_after(K)), *always(shifts_range(1))),
        ranges=(WHOLE, REST, REST),
        error=ConnectionCut,
        fetched=K,
    ),
    "206 of another file": Row(
        faults=once(cuts_after(K), ranged(content_range=f"bytes {REST}/{SIZE + 1}")),
        ranges=(WHOLE, REST),
        error=SizeMismatch,
        fetched=K,
    ),
    "416 of another file": Row(
        faults=once(cuts_after(K), answers(416, {"Content-Range": f"bytes */{K}"})),
        ranges=(WHOLE, REST),
        error=SizeMismatch,
        fetched=K,
    ),
    "416 to everything": Row(faults=always(answers(416)), ranges=(WHOLE,), error=HubRefused, fetched=0),
    "416 to everything, in the middle": Row(
        faults=(*once(cuts_after(K)), *always(answers(416))), ranges=(WHOLE, REST, WHOLE), error=HubRefused, fetched=K
    ),
    "announced longer than locked": Row(
        faults=once(bodies(lambda body: body + b"m", chunked=False)), ranges=(WHOLE,), error=SizeMismatch, fetched=0
    ),
    "announced shorter than locked": Row(
        faults=once(bodies(lambda body: body[1:], chunked=False)), ranges=(WHOLE,), error=SizeMismatch, fetched=0
    ),
    "one bit always flipped": Row(
        faults=always(flips(K)), ranges=(WHOLE, WHOLE), error=DigestMismatch, fetched=2 * SIZE
    ),
    "silent always": Row(faults=always(stalls_after(0)), ranges=(WHOLE,) * 3, error=Stalled, fetched=0),
    "429 always": Row(
        faults=always(answers(429, {"Retry-After": "7"})),
        ranges=(WHOLE,) * 3,
        error=RateLimited,
        fetched=0,
        waits=(7.0, 7.0),
    ),
    "429 that asks for too long": Row(
        faults=always(answers(429, TOO_LONG)), ranges=(WHOLE,), error=RateLimited, fetched=0, waits=()
    ),
    "500 always": Row(faults=always(answers(500)), ranges=(WHOLE,) * 3, error=Unreachable, fetched=0),
    "no address is honoured": Row(faults=always(answers(403)), ranges=(WHOLE,) * 3, error=AddressExpired, fetched=0),
    "404 on the file's address": Row(faults=always(answers(404)), ranges=(WHOLE,), error=PathNotFound, fetched=0),
    "401": Row(faults=always(answers(401), "hub"), ranges=(), error=AccessDenied, fetched=0),
    "403": Row(faults=always(answers(403), "hub"), ranges=(), error=AccessDenied, fetched=0),
    "403 of a gated repository": Row(
        faults=always(answers(403, {"X-Error-Code": "GatedRepo"}), "hub"), ranges=(), error=Gated, fetched=0
    ),
    "404": Row(faults=always(answers(404), "hub"), ranges=(), error=PathNotFound, fetched=0),
    "a web page": Row(faults=always(page()), ranges=(WHOLE,), error=NotAHub, fetched=0),
    "compressed": Row(
        faults=always(announces({"content-encoding": "gzip"})), ranges=(WHOLE,), error=NotAHub, fetched=0
    ),
    "the hub names another digest": Row(
        faults=always(announces({"x-linked-etag": f'"{"e" * 64}"'}), "hub"), ranges=(), error=DigestMismatch, fetched=0
    ),
    "the CDN names another digest": Row(
        faults=always(announces({"x-linked-etag": f'"{"e" * 64}"'})), ranges=(WHOLE,), error=DigestMismatch, fetched=0
    ),
    "a circle of redirects": Row(
        faults=always(redirects("/round?FilePath=/resolve/"), "hub"), ranges=(), error=NotAHub, fetched=0
    ),
    "a redirect to nowhere": Row(faults=always(redirects("http://[::1"), "hub"), ranges=(), error=NotAHub, fetched=0),
    "a redirect to no port": Row(
        faults=always(redirects("http://127.0.0.1:99999/"), "hub"), ranges=(), error=NotAHub, fetched=0
    ),
    "a redirect to a file": Row(
        faults=always(redirects("file:///etc/passwd"), "hub"), ranges=(), error=NotAHub, fetched=0
    ),
}


def run(bed, row, path=SMALL):
    bed.hub.rules[:] = [fault.rule() for fault in row.faults]
    stall = 0.4 if any("stall" in fault.behaviour.__name__ for fault in row.faults) else 10.0
    result = bed.fill(bed.lock(path), stall=stall)
    assert result.ranges() == row.ranges
    assert row.fetched is None or result.fetched == row.fetched
    assert row.waits is None or tuple(result.sleeps) == row.waits
    return result


@pytest.mark.parametrize("row", COMES_OUT_RIGHT.values(), ids=COMES_OUT_RIGHT)
def test_what_passes_comes_out_right(bed, row):
    result = run(bed, row)
    assert result.exit_code == ExitCode.DONE
    assert [outcome.done for outcome in result.outcomes] == [Done.FETCHED]
    again = bed.fill(bed.lock(SMALL))
    assert ([outcome.done for outcome in again.outcomes], again.requests) == ([Done.KEPT], [])


@pytest.mark.parametrize("row", FAILS.values(), ids=FAILS)
def test_what_does_not_pass_leaves_nothing_wrong_and_the_next_fill_does_it(bed, row):
    result = run(bed, row)
    assert type(result.error) is row.error
    assert not (bed.volume / "models" / SMALL).exists()
    bed.hub.rules.clear()
    assert bed.fill(bed.lock(SMALL)).exit_code == ExitCode.DONE


@pytest.mark.parametrize("behaviour", [cuts_after(1000), stalls_after(1000)], ids=["cut", "silent"])
def test_a_file_that_the_hub_itself_serves_goes_on_where_it_stopped(bed, behaviour):
    """ModelScope ignores Range for such files: then all of it comes again, and none of it is written twice."""
    bed.hub.rules.append(Rule(FILE, behaviour, times=1))
    result = bed.fill(bed.lock(PLAIN), stall=1.5)
    assert result.exit_code == ExitCode.DONE
    assert result.ranges("hub") == (WHOLE, "1000-2999")
    assert result.fetched == (3000 if bed.kind is HUGGINGFACE else 4000)


def test_a_reset_connection_goes_on_with_what_had_come(bed):
    broken = head("200 OK", Content_Length=SIZE) + content(SMALL)[:K] + RESET
    bed.sent_elsewhere = K
    with RawServer(broken) as elsewhere:
        bed.hub.rules.append(Rule(FILE, redirects(f"{elsewhere.address}/x"), times=1))
        result = bed.fill(bed.lock(SMALL))
        assert TOKEN not in "".join(elsewhere.log)
    assert result.exit_code == ExitCode.DONE
    assert len(elsewhere.log) == 1
    assert result.fetched == SIZE


def test_an_empty_file_is_made_and_not_asked_for(bed):
    result = bed.fill(bed.lock(EMPTY))
    assert (result.exit_code, result.requests) == (ExitCode.DONE, [])
    assert (bed.volume / "models" / EMPTY).read_bytes() == b""


def test_an_empty_file_that_was_promised_otherwise_is_no_file(bed):
    lock = lock_of(bed.kind, bed.commit(), replace(file_of(EMPTY), sha256="0" * 64))
    assert type(bed.fill(lock).error) is DigestMismatch


def test_a_commit_that_the_hub_no_longer_has_is_refused(bed):
    lock = lock_of(bed.kind, "0" * 40, file_of(SMALL))
    result = bed.fill(lock)
    assert result.exit_code == ExitCode.REFUSED
    assert "provision lock --upgrade" in result.error.hint
    assert result.ranges() == ()


def test_other_bytes_under_the_same_commit_are_never_placed(bed):
    lock = lock_of(bed.kind, bed.commit(), file_of(SMALL, content(SMALL)[::-1]))
    result = bed.fill(lock)
    assert type(result.error) is DigestMismatch
    assert result.exit_code == ExitCode.BYTES
    if bed.kind is HUGGINGFACE:  # names the digest before the redirect
        assert result.fetched == 0
    assert result.fetched in {0, 2 * SIZE}


def test_a_hub_that_cuts_every_64_kib_still_gives_the_whole(bed):
    bed.hub.rules.append(Rule("", cuts_after(K), place="cdn"))
    result = bed.fill(bed.lock(SMALL), Patience(attempts=2, first_wait=0.0, longest_wait=0.0))
    assert result.exit_code == ExitCode.DONE
    assert result.ranges() == (WHOLE, REST, f"{2 * K}-{SIZE - 1}", f"{3 * K}-{SIZE - 1}")
    assert result.fetched == SIZE


def test_failures_in_a_row_wait_longer_each_time_and_progress_begins_anew(bed):
    faults = [cuts_after(0), cuts_after(0), cuts_after(0), cuts_after(K), cuts_after(0)]
    bed.hub.rules.extend(Rule("", fault, times=1, place="cdn") for fault in faults)
    waits = bed.fill(bed.lock(SMALL), Patience(attempts=4, first_wait=8.0, longest_wait=16.0)).sleeps
    doubled = [8, 16, 16, 8, 16]
    assert len(waits) == len(doubled)
    assert all(full / 2 <= wait <= full for wait, full in zip(waits, doubled, strict=True))


def test_one_file_that_fails_does_not_keep_the_others(bed):
    bed.hub.rules.append(Rule(PLAIN.replace(".", r"\."), answers(404)))
    result = bed.fill(bed.lock(PLAIN, SMALL, EMPTY))
    assert [outcome.done for outcome in result.outcomes] == [Done.FAILED, Done.FETCHED, Done.FETCHED]
    assert result.exit_code == ExitCode.REFUSED


def test_every_retry_is_told(bed):
    bed.hub.rules.append(Rule("", answers(429, {"Retry-After": "7"}), times=1, place="cdn"))
    (note,) = bed.fill(bed.lock(SMALL)).notes
    assert f"models/{SMALL}" in note
    assert "trying again in 7 s" in note


@settings(max_examples=10, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(cuts=st.lists(st.integers(min_value=0, max_value=90_000), max_size=8))
def test_wherever_it_is_cut_no_byte_comes_twice(hub, cuts):
    with tempfile.TemporaryDirectory() as place:
        bed = Bed(hub=hub, kind=HUGGINGFACE, volume=Path(place))
        hub.rules[:] = [Rule("", cuts_after(cut), times=1, place="cdn") for cut in cuts]
        result = bed.fill(bed.lock(SMALL), Patience(attempts=len(cuts) + 1, first_wait=0.0))
    reached = [at for at in itertools.accumulate(cuts, initial=0) if at < SIZE]
    assert result.exit_code == ExitCode.DONE
    assert result.fetched == SIZE
    assert result.ranges() == tuple(f"{at}-{SIZE - 1}" if at else WHOLE for at in reached[: len(cuts) + 1])
