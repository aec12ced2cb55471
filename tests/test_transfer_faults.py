"""One range among several goes wrong: every row of the fault table, at both hubs. The laws are asserted after each."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import pytest
from byte_faults import Meeting, drips, on_piece, waits_until
from fault_table import ALL, FAILS, HELPER, ONCE, OWNER, SEVEN, Fault, P, assert_the_law, away
from fill_bed import EIGHT, NOW, SMALL, THREE, TOKEN, bed_at, build, proven, small_pieces
from hub_kinds import KINDS
from misbehaving_hub import MisbehavingHub, Rule, answers, redirects

from provision.errors import ExitCode, Stalled
from provision.serve import Folder, Settings
from provision.transfer import width

FILE = r"/resolve/|/repo\?"
SECRET = "s3cret"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with MisbehavingHub(
        Folder(build(tmp_path_factory.mktemp("served"), (THREE, EIGHT, SMALL))), Settings(token=TOKEN)
    ) as hub:
        yield hub


@pytest.fixture(params=KINDS, ids=str)
def bed(request, hub, tmp_path, monkeypatch):
    small_pieces(monkeypatch)
    monkeypatch.setattr(width, "LOOK", 0.01)  # help comes at once
    bed = bed_at(hub, request.param, tmp_path)
    hub.clock = bed.clock
    bed.used = lambda: 0.0 if hub.log else time.monotonic()  # but not before the owner has asked
    return bed


def begins(request):
    """The piece that a request begins with."""
    part = request.headers.get("range")
    return int(part.removeprefix("bytes=").split("-")[0]) // P if part else 0


def asked_for(result, piece, place):
    return [request for request in result.requests if request.place == place and begins(request) == piece]


def run(bed, lock, fault, who, there):
    """A fill that meets `fault`: three connections have asked, without a wait, before anybody is answered."""
    meeting, hurried = Meeting(3), []
    bed.pause = lambda _: hurried.append(len(meeting.clients)) if len(meeting.clients) < 3 else None
    behaviours = [redirects(f"{there.address}/weights?signature={SECRET}")] if there else list(fault.once)
    then = fault.then
    if there and fault.lasts:
        then = behaviours.pop()
    if fault.late:
        behaviours = [late(bed, who, one) for one in behaviours]
        then = then and late(bed, who, then)
    misbehave = on_piece(who, *behaviours, then=then, meeting=meeting)
    bed.hub.rules[:] = [Rule(FILE if fault.place == "hub" else "", misbehave, place=fault.place)]
    if fault.place == "hub" and fault.lasts:  # the address that the others were given is no way round it
        bed.hub.rules.append(Rule("", on_piece(who, then=answers(403)), place="cdn"))
    settings = {"stall": 0.3} if fault.slow else {}
    result = bed.fill(lock, connections=3, **settings, **(there.settings if there else {}))
    assert (len(set(meeting.clients)), hurried) == (3, [])
    assert len(asked_for(result, who, fault.place)) >= len(behaviours) + bool(then), "every fault was met"
    return result


def late(bed, who, behaviour):
    others = ALL - min(P, ALL - who * P)
    return waits_until(lambda: sent(bed) >= others, then=behaviour)


def assert_waits(result, fault, who):
    """Who asks for time is given it, whoever heard of that; and nobody else is waited for."""
    if not fault.asks:
        assert set(result.sleeps) <= {0.0}
        return
    assert result.sleeps
    if who == OWNER:
        assert result.sleeps == [fault.asks] * len(fault.once)
    came = [request.at for request in asked_for(result, who, fault.place)]
    faults = len(came) if fault.lasts else 1 + len(fault.once)
    assert all(later - earlier >= fault.asks for earlier, later in pairwise(came[:faults]))


def assert_nothing_is_told(result, there):
    """Of the signed address, to people; of the token, to those where the hub sends us."""
    assert SECRET not in f"{result.error} {result.notes}"
    assert TOKEN not in "".join(there.log)


def try_one(bed, fault: Fault, who):
    with away(fault, who) as there:
        lock = bed.lock(THREE)
        bed.sent_elsewhere = P if there else 0
        result = run(bed, lock, fault, who, there)
        assert_waits(result, fault, who)
        if there:
            assert_nothing_is_told(result, there)
            assert not fault.lasts or f"cannot be reached: {there.words}" in result.error.message
        assert_the_law(bed, lock, result, fault.error_for(who), fault.extra)


@pytest.mark.parametrize("who", [OWNER, HELPER], ids=["owner", "helper"])
@pytest.mark.parametrize("fault", ONCE.values(), ids=ONCE)
def test_what_is_met_once_passes_unless_the_owner_is_refused(bed, fault, who):
    try_one(bed, fault, who)


@pytest.mark.parametrize("fault", FAILS.values(), ids=FAILS)
def test_what_does_not_pass_gets_no_name_and_what_came_is_not_asked_for_again(bed, fault):
    try_one(bed, fault, fault.who)


def test_a_range_that_never_ends_fails_its_file_alone_and_all_else_is_done(bed):
    lock = bed.lock(THREE, SMALL)
    bed.hub.rules.append(Rule("", on_piece(1, then=drips(10, 0.02), meeting=Meeting(3)), place="cdn"))
    result = bed.fill(lock, connections=3, stall=0.3)
    assert type(result.error) is Stalled
    assert result.exit_code == ExitCode.UNAVAILABLE
    assert proven(bed.volume, lock) == {f"models/{THREE}": {0, 2}}
    assert (bed.volume / "models" / SMALL).exists()


@pytest.mark.parametrize("who", [OWNER, HELPER], ids=["owner", "helper"])
@pytest.mark.parametrize("place", ["cdn", "hub"])
def test_when_one_is_asked_to_wait_nobody_asks_before(bed, who, place):
    """All others are under way when it is told, and find more to fetch while the owner sleeps."""
    told = []

    def now():  # the time of day is looked at to know until when
        told.append(bed.clock())
        return NOW

    others = waits_until(lambda: bool(told))
    meets = on_piece(who, answers(429, SEVEN), others=None if place == "hub" else others, meeting=Meeting(4))
    bed.hub.rules += [Rule(FILE, meets), Rule("", others, place="cdn")] if place == "hub" else at_cdn(meets)
    bed.pause = lambda _: wait_until(lambda: sent(bed) >= 3 * P)
    result = bed.fill(bed.lock(EIGHT), connections=4, now=now)
    assert result.exit_code == ExitCode.DONE
    again = [asked_for(result, piece, "cdn")[0].at for piece in range(4, 8)]
    assert min(again) - told[0] >= 7.0
    assert asked_for(result, who, "cdn")[-1].at - told[0] >= 7.0


def at_cdn(behaviour):
    return [Rule("", behaviour, place="cdn")]


def sent(bed):
    return sum(request.sent for request in bed.hub.asked("", "cdn"))


def wait_until(condition):
    """And a little longer, so that whoever would ask too early does."""
    while not condition():
        threading.Event().wait(0.001)
    threading.Event().wait(0.1)
