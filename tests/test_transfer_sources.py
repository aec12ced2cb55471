"""What is known of a place from one file to the next: patience that is spent, and how it comes back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from byte_faults import cuts_after
from fill_bed import BIG, HURRY, PLAIN, SIZES, SMALL, TOKEN, bed_at, build, file_of, lock_of
from hub_kinds import HUGGINGFACE, KINDS, http_settings
from misbehaving_hub import MisbehavingHub, Rule, answers

from provision.errors import Unreachable
from provision.hubs.http import Http
from provision.hubs.supply import Supply
from provision.plan import Action, Step
from provision.retry import Retry
from provision.serve import Folder, Settings
from provision.transfer import sources
from provision.transfer.sources import HOPELESS, Sources


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with MisbehavingHub(Folder(build(tmp_path_factory.mktemp("served"))), Settings(token=TOKEN)) as hub:
        yield hub


@pytest.fixture(params=KINDS, ids=str)
def bed(request, hub, tmp_path):
    return bed_at(hub, request.param, tmp_path)


@pytest.fixture
def one_bed(hub, tmp_path):
    return bed_at(hub, HUGGINGFACE, tmp_path)


def failed(result):
    return [outcome.step.file.path for outcome in result.outcomes if outcome.error is not None]


@pytest.mark.parametrize("status", [403, 503])
def test_a_file_whose_own_address_never_serves_does_not_keep_the_others_from_coming(bed, status):
    """It is the biggest, and so the first: in each run again."""
    bed.hub.rules.append(Rule(file_of(BIG).sha256, answers(status), place="cdn"))

    result = bed.fill(bed.lock(BIG, SMALL, PLAIN), connections=1)

    assert failed(result) == [BIG]


def test_a_hub_that_gives_nothing_is_asked_once_for_each_of_a_few_files_that_follow(one_bed):
    one_bed.hub.rules.append(Rule("", answers(503)))
    many = [replace(file_of(PLAIN), target=f"models/{number}") for number in range(HOPELESS + 4)]

    result = one_bed.fill(lock_of(one_bed.kind, one_bed.commit(), *many), connections=1)

    assert {type(outcome.error) for outcome in result.outcomes} == {Unreachable}
    assert len(result.requests) == HURRY.attempts + HOPELESS - 1


def test_patience_comes_back_with_the_first_bytes(one_bed):
    """The first file gets nothing; the second is cut on its way, and then needs a second try."""
    one_bed.hub.rules.append(Rule(file_of(BIG).sha256, answers(503), place="cdn"))
    one_bed.hub.rules.append(Rule("", cuts_after(100_000), times=1, place="cdn"))
    one_bed.hub.rules.append(Rule("", answers(503), times=1, place="cdn"))

    result = one_bed.fill(one_bed.lock(BIG, SMALL), connections=1)

    assert failed(result) == [BIG]
    assert result.fetched == SIZES[SMALL]


def test_two_who_meet_a_place_first_count_its_bytes_together(monkeypatch):
    """Else the patience of one would not know of what the other gets."""
    met, tally = threading.Barrier(2), sources.Tally

    def made_when_both_are_there():
        met.wait(10)
        return tally()

    monkeypatch.setattr(sources, "Tally", made_when_both_are_there)
    supply = Supply(pytest.fail, Http(http_settings()), Retry(patience=HURRY, sleep=pytest.fail))
    (model,) = lock_of(HUGGINGFACE, None, file_of(PLAIN)).models
    step = Step(project="bed", model=model, file=model.files[0], action=Action.FETCH, missing=1)
    known = Sources(supply)
    with ThreadPoolExecutor(2) as both:
        first, second = (suppliers.all[0] for suppliers in both.map(known.of, [step, step]))

    assert first.tally is second.tally
