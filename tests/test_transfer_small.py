"""Small files: each comes whole with one answer, as a rule; what is out of the ordinary is met as with large ones."""

from __future__ import annotations

import pytest
from byte_faults import announces, cuts_after, flips
from fill_bed import EMPTY, PLAIN, SIZES, SMALL, TOKEN, Bed, build, content
from hub_kinds import KINDS
from misbehaving_hub import MisbehavingHub, Rule, answers, page

from provision.errors import ExitCode
from provision.serve import Folder, Settings
from provision.transfer import steps

FAULTS = {
    "nothing": None,
    "503 once": Rule(PLAIN, answers(503), times=1),
    "503 for ever": Rule(PLAIN, answers(503)),
    "429 that asks for time": Rule(PLAIN, answers(429, {"Retry-After": "7"}), times=1),
    "404": Rule(PLAIN, answers(404)),
    "a web page": Rule(PLAIN, page()),
    "cut once": Rule(PLAIN, cuts_after(1000), times=1),
    "cut for ever": Rule(PLAIN, cuts_after(1000)),
    "another byte once": Rule(PLAIN, flips(5), times=1),
    "another byte for ever": Rule(PLAIN, flips(5)),
    "another size": Rule(PLAIN, announces({"content-length": "2999"})),
}


@pytest.fixture(scope="module", params=KINDS, ids=str)
def hub(request, tmp_path_factory):
    folder = Folder(build(tmp_path_factory.mktemp("served")))
    with MisbehavingHub(folder, Settings(token=TOKEN)) as served:
        yield served, request.param


@pytest.fixture
def bed(hub, tmp_path):
    served, kind = hub
    served.rules.clear()
    (tmp_path / "volume").mkdir()
    return Bed(hub=served, kind=kind, volume=tmp_path / "volume", sent_elsewhere=10 * SIZES[SMALL])


def of_bytes(result):
    """The requests for bytes, at the hub and at its CDN."""
    return [request for request in result.requests if "resolve" in request.target or "/repo?" in request.target]


def test_each_is_asked_for_once_and_a_redirect_is_all_that_comes_beside(bed):
    result = bed.fill(bed.lock(SMALL, PLAIN, EMPTY))
    assert result.exit_code == ExitCode.DONE
    assert [request.place for request in of_bytes(result) if PLAIN in request.target] == ["hub"]
    assert len(result.ranges()) == 1
    for path in (SMALL, PLAIN, EMPTY):
        assert (bed.volume / "models" / path).read_bytes() == content(path)


def seen(bed, rule):
    """All that shows of a fill: to the hub, and in the report."""
    bed.hub.rules[:] = [] if rule is None else [Rule(rule.pattern, rule.behaviour, rule.times)]
    result = bed.fill(bed.lock(PLAIN))
    (outcome,) = result.outcomes
    requests = [(request.target, request.headers.get("range")) for request in result.requests]
    told = [(outcome.done, dict(outcome.served), dict(outcome.dropped), outcome.reused)]
    return result.exit_code, type(result.error), requests, told, result.sleeps, result.notes


@pytest.mark.parametrize("rule", FAULTS.values(), ids=FAULTS)
def test_a_parcel_changes_nothing_of_what_is_asked_waited_for_and_told(bed, rule, monkeypatch, tmp_path):
    with_parcels = seen(bed, rule)
    monkeypatch.setattr(steps, "LARGEST", 0)
    bed.volume = tmp_path / "other"
    bed.volume.mkdir()
    assert seen(bed, rule) == with_parcels
