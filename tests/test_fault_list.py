"""The list of faults that fills are to survive, and where each is tried: for both hubs, and over both transports.

A fault is a row of the fault table, which runs at both hubs over HTTP, or is tried by a test elsewhere; where it can
not happen, or another trial stands for it, the reason is written here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import test_transfer_resume as spine
from fault_table import SPINE, TABLE
from hub_kinds import KINDS

HF, MS, XET = "hf over http", "modelscope over http", "hf over xet"
HTTP, ALL = (HF, MS), (HF, MS, XET)


@dataclass(frozen=True, slots=True)
class Trial:
    """`text` stands in the test file `name` for as long as the fault is tried there, on these `ways`."""

    ways: tuple[str, ...]
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why there is no trial on these `ways`."""

    ways: tuple[str, ...]
    why: str


MANY, BELOW, KILL = "test_transfer_faults_many.py", "test_transfer_below.py", "test_transfer_kill.py"
XET_ROWS, XET_PROCESSES = "test_transfer_faults_xet.py", "test_transfer_xet_processes.py"
BELOW_HUBS = Reason((MS,), "below the stream of bytes nothing knows which hub it comes from")
ITS_OWN = (
    "hf_xet opens its connections itself, and tells what it meets there as one of few errors: only a stream is seen"
)

LIST = {
    SPINE: (Trial((XET,), XET_ROWS, '"a xorb is cut"'), Trial((XET,), XET_ROWS, '"a xorb stalls"')),
    "each connection cut at random": (
        Trial(HTTP, MANY, "def test_when_each_connection_is_cut_at_random_"),
        Trial((XET,), XET_ROWS, '"a xorb is cut"'),
    ),
    "one of N corrupted repeatedly": (
        Trial(HTTP, MANY, "def test_a_range_that_always_comes_wrong_alike_is_laid_to_its_source("),
        Trial(HTTP, "test_transfer_mirrors.py", "def test_a_source_whose_bytes_are_wrong_is_dropped_"),
        Trial((XET,), XET_ROWS, "def test_a_storage_whose_bytes_are_always_wrong_is_dropped_"),
    ),
    "out of order and late": (
        Trial(HTTP, MANY, "def test_a_first_range_that_is_answered_last_is_waited_for("),
        Reason((XET,), ITS_OWN),
    ),
    "403 after n requests for each signature": (
        Trial(HTTP, MANY, "def test_an_address_that_is_over_after_some_requests_is_asked_for_anew_"),
        Trial((XET,), XET_ROWS, '"a xorb\'s address is over"'),
    ),
    "a slow-loris stream": (
        Trial(HTTP, "test_transfer_relief.py", "def test_one_connection_that_hardly_moves_is_left_"),
        Trial((XET,), XET_ROWS, '"a xorb trickles"'),
    ),
    "DNS failure": (
        Trial(HTTP, "test_transfer_faults_unreachable.py", "unknown_name"),
        Trial((XET,), XET_ROWS, "def test_a_storage_that_cannot_be_reached_gives_its_turn_to_http("),
    ),
    "reset during TLS": (
        Trial(HTTP, "test_transfer_faults_unreachable.py", "reset_handshake"),
        Reason((XET,), ITS_OWN),
    ),
    "wrong Content-Range total": (Reason((XET,), "the storage tells no total"),),
    "gzip on weights": (Reason((XET,), ITS_OWN),),
    "disk full at a random byte": (
        Trial((HF,), BELOW, '"the disk is full at a random byte'),
        Trial((XET,), XET_PROCESSES, '"the disk is full"'),
        BELOW_HUBS,
    ),
    "EDQUOT, from below Python": (
        Trial((HF,), BELOW, "errno.EDQUOT"),
        Reason((XET,), "the same calls fail as for a full disk, with another number"),
        BELOW_HUBS,
    ),
    "EIO, from below Python": (
        Trial((HF,), BELOW, "errno.EIO"),
        Trial((XET,), XET_PROCESSES, "errno.EIO"),
        BELOW_HUBS,
    ),
    "the volume unmounted midway": (
        Trial((HF,), BELOW, "def test_a_volume_that_is_unmounted_midway_"),
        Reason((XET,), "hf_xet never touches the volume"),
        BELOW_HUBS,
    ),
    "SIGTERM with five seconds to live": (
        Trial((HF,), KILL, "def test_terminated_with_five_seconds_to_live_it_ends_in_time("),
        Trial(HTTP, KILL, "def test_an_interrupted_fill_ends_soon_"),
        Trial((XET,), XET_PROCESSES, "[signal.SIGTERM, signal.SIGKILL]"),
    ),
    "200 times kill -9 at random": (
        Trial((HF,), KILL, "def test_killed_at_any_byte_"),
        Trial((XET,), XET_PROCESSES, "[signal.SIGTERM, signal.SIGKILL]"),
        BELOW_HUBS,
    ),
}
"""Every fault that is to be survived. SPINE: what was survived over one stream, and is now beside others."""

UNDER_OTHER_NAMES = {
    "206 that is cut": "cut again and again",
    "404 on the file's address": "404, always",
    "longer than promised": "longer than asked for",
    "announced longer than locked": "206 of a longer file, always",
    "announced shorter than locked": "206 of a shorter file, always",
    "206 of another file": "206 of a longer file, always",
    "the CDN names another digest": "another digest is named, always",
    "401": "401 from the hub itself, always",
    "403": "403 from the hub itself, always",
    "404": "404 from the hub itself, always",
    "403 of a gated repository": "a gated repository, always",
}


@pytest.mark.parametrize("fault", LIST)
@pytest.mark.parametrize("way", ALL)
def test_every_fault_is_tried_at_both_hubs_and_over_both_transports_or_it_is_said_why_not(fault, way):
    found = [entry for entry in LIST[fault] if way in entry.ways]
    in_table = way in HTTP and any(row.issue == fault for row in TABLE.values())
    assert in_table or found
    for trial in found:
        if isinstance(trial, Trial):
            assert trial.text in (Path(__file__).parent / trial.name).read_text(), f"{trial.name} tries it no more"


def test_every_row_of_the_table_is_of_the_list_and_runs_at_both_hubs():
    assert {row.issue for row in TABLE.values()} <= set(LIST)
    assert [kind.scheme for kind in KINDS] == ["hf", "modelscope"]


@pytest.mark.parametrize("name", [*spine.COMES_OUT_RIGHT, *spine.FAILS])
def test_whatever_one_stream_survives_is_tried_beside_others(name):
    names = (name, f"{name}, always", UNDER_OTHER_NAMES.get(name))
    assert any(one in TABLE for one in names)
