"""Nobody is there where the hub should be. That nobody is where the hub sends us is a row of the fault table."""

from __future__ import annotations

import pytest
from fill_bed import SMALL, THREE, TOKEN, Bed, build, small_pieces
from hub_kinds import KINDS
from misbehaving_hub import MisbehavingHub
from unreachable import closed_port, reset_handshake, unknown_name

from provision.errors import ExitCode, Unreachable
from provision.serve import Folder, Settings
from provision.transfer import width


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    files = Folder(build(tmp_path_factory.mktemp("served"), (THREE, SMALL)))
    with MisbehavingHub(files, Settings(token=TOKEN)) as hub:
        yield hub


@pytest.fixture(params=KINDS, ids=str)
def bed(request, hub, tmp_path, monkeypatch):
    small_pieces(monkeypatch)
    monkeypatch.setattr(width, "LOOK", 0.01)  # help comes at once
    hub.rules.clear()
    hub.log.clear()
    (tmp_path / "volume").mkdir()
    return Bed(hub=hub, kind=request.param, volume=tmp_path / "volume")


NOBODY = {"an unknown name": unknown_name, "a closed port": closed_port, "a handshake that ends": reset_handshake}


@pytest.fixture(params=NOBODY.values(), ids=NOBODY)
def nobody(request):
    with request.param() as place:
        yield place


def assert_given_up(bed, result, nobody):
    """After some patience, with a cause, and with nothing on the volume that takes room."""
    assert type(result.error) is Unreachable
    assert result.exit_code == ExitCode.UNAVAILABLE
    assert f"cannot be reached: {nobody.words}" in result.error.message
    assert result.error.hint
    assert result.sleeps == [0.0, 0.0]
    assert result.fetched == 0
    assert [path for path in bed.volume.rglob(".provision-*") if path.stat().st_blocks] == []


def test_a_hub_that_nobody_answers_for_is_unavailable_and_costs_nothing(bed, nobody):
    lock = bed.lock(THREE)
    bed.endpoint = nobody.address
    assert_given_up(bed, bed.fill(lock, connections=3), nobody)
    bed.endpoint = ""
    assert bed.fill(lock).exit_code == ExitCode.DONE


def test_a_hub_that_nobody_answers_for_is_not_asked_for_each_file(bed, nobody):
    lock = bed.lock(THREE, SMALL)
    bed.endpoint = nobody.address
    result = bed.fill(lock, connections=1)
    assert [type(outcome.error) for outcome in result.outcomes] == [Unreachable, Unreachable]
    assert len(result.sleeps) == 2, "patience is spent once"
