"""Xet storage goes wrong: plain HTTP goes on, or doubt finds it, and the outcome says which transport sent what."""

from __future__ import annotations

import shutil
import socket
from dataclasses import dataclass

import pytest
from byte_faults import flips as flips_over_http
from fill_bed import BIG, NAME, SIZES, SMALL, TOKEN, Bed, build
from hub_kinds import HUGGINGFACE, MODELSCOPE
from misbehaving_hub import MisbehavingHub, Rule, answers
from xet_cas import Cas, Fault, XetStore, cuts, flips, refuses, stalls, trickles
from xet_hub import XET_TOKEN, announce, lends

from provision.digest import PIECE_SIZE
from provision.errors import DigestMismatch, ExitCode, PathNotFound
from provision.hubs import Pace
from provision.report.paint import Paint
from provision.report.text import filling_lines
from provision.serve import Folder, Settings
from provision.transfer import suppliers, width
from provision.transfer.outcome import Filling

ALL = SIZES[BIG]
P = PIECE_SIZE
BY_HTTP = f"hf://{NAME}"
BY_XET = f"{BY_HTTP} by xet"
OTHER_TOKEN = "xet_anothertoken"
TRIES = 4
"""By chance hf_xet 1.8 tells a refusal as a cut or an early end, which is no reason to drop it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build(tmp_path_factory.mktemp("served"), (BIG, SMALL))


@pytest.fixture(scope="module")
def store(folder, tmp_path_factory):
    return XetStore.build(tmp_path_factory.mktemp("cas"), {BIG: folder / "hf" / NAME / BIG})


@pytest.fixture
def cas(store):
    with Cas(store) as cas:
        yield cas


@pytest.fixture
def bed(folder, cas, tmp_path, monkeypatch):
    monkeypatch.setattr(width, "LOOK", 0.01)  # help comes at once
    (tmp_path / "volume").mkdir()
    with MisbehavingHub(Folder(folder), Settings(token=TOKEN)) as hub:
        announce(hub, cas)
        yield Bed(hub=hub, kind=HUGGINGFACE, volume=tmp_path / "volume", xet=True, sent_elsewhere=10 * ALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`all_by_http`: nothing that can be used comes from the storage. `dropped`: it is asked no more for this file."""

    fault: Fault
    all_by_http: bool = False
    dropped: bool = False
    slow: bool = False


def row(kind, spoil, after=0, times=None, **law):
    return lambda: Row(fault=Fault(kind, spoil, after, times), **law)


SOME_BLOCKS = 1_000_000
"""Bytes of an answer with a xorb that come before a fault: less than a block, so that blocks before it came whole."""

GOES_ON_OVER_HTTP = {
    "a xorb is cut": row("xorb", cuts, SOME_BLOCKS, all_by_http=True),
    "a xorb stalls": row("xorb", stalls, SOME_BLOCKS, all_by_http=True, slow=True),
    "a xorb trickles": row("xorb", trickles, SOME_BLOCKS, all_by_http=True, slow=True),
    "a xorb's address is over": row("xorb", refuses(403), all_by_http=True),
    "a xorb is unavailable": row("xorb", refuses(503), all_by_http=True),
    "of a xorb there is too much asked": row("xorb", refuses(429), all_by_http=True),
    "a xorb is gone": row("xorb", refuses(404), all_by_http=True, dropped=True),
    "the plan is cut": row("reconstruction", cuts, 10, all_by_http=True),
    "the plan stalls": row("reconstruction", stalls, 10, all_by_http=True, slow=True),
    "the plan is refused": row("reconstruction", refuses(403), all_by_http=True),
    "the plan is unavailable": row("reconstruction", refuses(503), all_by_http=True),
    "too many plans are asked for": row("reconstruction", refuses(429), all_by_http=True),
    "the file is not known": row("reconstruction", refuses(404), all_by_http=True, dropped=True),
}


def served(result):
    (outcome,) = result.outcomes
    return outcome.served


def test_a_file_in_the_storage_comes_from_there(bed):
    result = bed.fill(bed.lock(BIG), connections=3)
    assert result.exit_code == ExitCode.DONE
    assert served(result) == {BY_XET: ALL}
    assert result.ranges() == ()


@pytest.mark.parametrize("made", GOES_ON_OVER_HTTP.values(), ids=GOES_ON_OVER_HTTP)
def test_where_the_storage_fails_plain_http_goes_on_and_no_byte_comes_twice(bed, cas, made, monkeypatch):
    row = made()
    if row.slow:  # else a machine that is busy elsewhere would seem slow
        monkeypatch.setattr(suppliers, "SLOW", Pace(slowest=256 * 1024, window=1.0))
    for _ in range(TRIES):
        cas.faults[:] = [made().fault]
        result = bed.fill(bed.lock(BIG), connections=3, **({"stall": 1.0} if row.slow else {}))
        assert result.exit_code == ExitCode.DONE
        assert sum(served(result).values()) == ALL
        assert served(result)[BY_HTTP] > 0
        if row.all_by_http:
            assert served(result)[BY_HTTP] == ALL
        assert any("goes on" in note and BY_XET in note for note in result.notes)
        is_dropped = BY_XET in result.outcomes[0].dropped
        assert row.dropped or not is_dropped
        if is_dropped == row.dropped:
            return
        shutil.rmtree(bed.volume)
        bed.volume.mkdir()
    pytest.fail("a refusal was never told as one")


def test_what_came_from_the_storage_before_it_failed_is_not_asked_for_over_http(bed, cas):
    def soon_over(handler, rest):
        handler.give(rest)
        if len(cas.of("xorb")) > 4:
            cas.faults[:] = [Fault("xorb", refuses(503)), Fault("reconstruction", refuses(503))]

    cas.faults.append(Fault("xorb", soon_over))
    result = bed.fill(bed.lock(BIG), connections=1)
    assert result.exit_code == ExitCode.DONE
    assert served(result)[BY_XET] >= 2_000_000
    assert served(result)[BY_XET] + served(result)[BY_HTTP] == ALL


def test_a_token_that_is_over_midway_is_no_reason_to_stop_or_to_begin_anew(bed, cas):
    """The storage does not honour it any more, though its time is not over; the hub lends another."""

    def over(handler, rest):
        handler.give(rest)
        if len(cas.of("reconstruction")) > 4 and cas.token == XET_TOKEN:
            cas.token = OTHER_TOKEN
            bed.hub.rules.insert(0, Rule("/xet-read-token/", lends(cas.endpoint, OTHER_TOKEN)))

    cas.faults.append(Fault("reconstruction", over))
    result = bed.fill(bed.lock(BIG), connections=3)
    assert result.exit_code == ExitCode.DONE
    assert 401 in {asked.status for asked in cas.of("reconstruction")}
    assert served(result)[BY_XET] > 0
    assert sum(served(result).values()) == ALL
    assert result.outcomes[0].dropped == {}
    assert XET_TOKEN not in f"{result.outcomes} {result.notes}"


def test_a_storage_that_cannot_be_reached_gives_its_turn_to_http(bed, cas):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        bed.hub.rules.insert(0, Rule("/xet-read-token/", lends(address, XET_TOKEN)))
        result = bed.fill(bed.lock(BIG), connections=3)
    assert result.exit_code == ExitCode.DONE
    assert served(result) == {BY_HTTP: ALL}
    assert cas.asked == []
    assert any("goes on" in note and BY_XET in note for note in result.notes)


def test_a_flipped_byte_from_the_storage_is_found_and_laid_to_it(bed, cas):
    cas.faults.append(Fault("xorb", flips, 500_000, times=1))
    result = bed.fill(bed.lock(BIG), connections=3)
    assert result.exit_code == ExitCode.DONE
    assert any("sha256 is not as promised" in note for note in result.notes)
    assert any("had come wrong from" in note and BY_XET in note for note in result.notes)


def test_a_storage_whose_bytes_are_always_wrong_is_dropped_and_http_sends_the_whole(bed, cas):
    cas.faults.append(Fault("xorb", flips, 500_000))
    result = bed.fill(bed.lock(BIG), connections=3)
    assert result.exit_code == ExitCode.DONE
    assert BY_XET in result.outcomes[0].dropped
    assert served(result)[BY_HTTP] == ALL


def test_bytes_that_are_wrong_over_both_get_no_name_and_both_are_named(bed, cas):
    cas.faults.append(Fault("xorb", flips, 500_000))
    bed.hub.rules.append(Rule("", flips_over_http(P + 5), place="cdn"))
    result = bed.fill(bed.lock(BIG), connections=3)
    assert type(result.error) is DigestMismatch
    assert result.exit_code == ExitCode.BYTES
    assert BY_XET in result.error.message
    assert not (bed.volume / "models" / BIG).exists()


def test_a_file_that_the_hub_does_not_keep_there_comes_over_http(bed, cas):
    result = bed.fill(bed.lock(SMALL), connections=3)
    assert result.exit_code == ExitCode.DONE
    assert served(result) == {BY_HTTP: SIZES[SMALL]}
    assert cas.asked == []


def test_a_hub_without_such_a_storage_is_told_once_for_a_repository(bed, cas):
    bed.hub.rules.clear()
    result = bed.fill(bed.lock(BIG, SMALL), connections=3)
    assert result.exit_code == ExitCode.DONE
    assert len([note for note in result.notes if BY_XET in note]) == 1
    lines = filling_lines(Filling(outcomes=result.outcomes), Paint(enabled=False))
    (line,) = [line for line in lines if "dropped" in line]
    assert line.startswith(f"  dropped {BY_XET} for 2 files: ")
    assert cas.asked == []


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_where_the_hub_lends_no_token_for_the_storage_http_goes_on(bed, cas, status):
    bed.hub.rules.insert(0, Rule("/xet-read-token/", answers(status)))
    result = bed.fill(bed.lock(BIG), connections=3)
    assert result.exit_code == ExitCode.DONE
    assert served(result) == {BY_HTTP: ALL}
    assert cas.asked == []
    assert XET_TOKEN not in f"{result.outcomes} {result.notes}"


def test_where_http_refuses_as_well_the_hubs_own_words_are_the_error(bed):
    """That a file is not in Xet storage is nothing a user could mend."""
    bed.hub.rules.append(Rule("", answers(404), place="cdn"))
    result = bed.fill(bed.lock(SMALL), connections=3)
    assert type(result.error) is PathNotFound


def test_another_hub_has_no_such_storage_and_is_asked_over_http(bed, cas):
    bed.kind = MODELSCOPE
    result = bed.fill(bed.lock(BIG), connections=3)
    assert result.exit_code == ExitCode.DONE
    assert served(result) == {f"modelscope://{NAME}": ALL}
    assert cas.asked == []
