"""Killed, interrupted, two at once: real processes. The hub itself pulls the trigger, after so many bytes."""

from __future__ import annotations

import signal
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from byte_faults import acts_after, meets, stalls_after
from fill_bed import BIG, PLAIN, SIZES, SMALL, TOKEN, Bed, assert_no_leftovers, build, content, file_of, lock_of
from fill_process import end, run, start
from hub_kinds import HUGGINGFACE, KINDS
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from misbehaving_hub import MisbehavingHub, Rule, answers

from provision.crew import FAREWELL
from provision.digest import PIECE_SIZE, sha256_of
from provision.errors import ExitCode
from provision.serve import Folder, Settings

FILES = (BIG, SMALL, PLAIN)
TOTAL = sum(SIZES[path] for path in FILES)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with MisbehavingHub(Folder(build(tmp_path_factory.mktemp("served"))), Settings(token=TOKEN)) as hub:
        yield hub


def bed_at(hub, kind, place):
    hub.rules.clear()
    hub.log.clear()
    (place / "volume").mkdir()
    return Bed(hub=hub, kind=kind, volume=place / "volume")


@pytest.fixture(params=KINDS, ids=str)
def bed(request, hub, tmp_path):
    return bed_at(hub, request.param, tmp_path)


@pytest.fixture
def one_bed(hub, tmp_path):
    return bed_at(hub, HUGGINGFACE, tmp_path)


def shot(process_of, number):
    """What sends signal `number` to the process, once it is known."""
    return lambda: process_of[0].send_signal(number)


def start_to_be_shot(bed, lock, number, behaviour, pattern=""):
    process_of = []
    bed.hub.rules.append(Rule(pattern, behaviour(shot(process_of, number)), place="cdn"))
    process_of.append(start(bed, lock))
    return process_of[0]


def written(bed):
    """How long the partials of the big file are: what had come when the process died."""
    return max((path.stat().st_size for path in (bed.volume / "models").glob(".provision-*")), default=0)


def assert_law_1(bed):
    for path in FILES:
        final = bed.volume / "models" / path
        assert not final.exists() or sha256_of(final.read_bytes()) == file_of(path).sha256


def first_asked(bed):
    """The offset from which the big file was asked for first; its size when it was not asked for."""
    requests = bed.hub.asked(file_of(BIG).sha256, "cdn")
    return min((int(ask.headers.get("range", "bytes=0-")[6:].split("-")[0]) for ask in requests), default=SIZES[BIG])


def assert_the_next_fill_ends_it(bed, lock):
    """And costs no more than one piece over what had come."""
    had, bed.hub.log[:], bed.hub.rules[:] = written(bed), [], []
    ended = run(bed, lock)
    assert ended.code == ExitCode.DONE
    assert_law_1(bed)
    assert all((bed.volume / "models" / path).exists() for path in FILES)
    assert had - first_asked(bed) <= PIECE_SIZE
    assert ended.document["fetched_bytes"] <= TOTAL - min(first_asked(bed), SIZES[BIG])
    assert_no_leftovers(bed.volume, lock)
    return ended


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
@given(after=st.integers(min_value=0, max_value=SIZES[BIG] + SIZES[SMALL]))
@example(after=2 * PIECE_SIZE)
def test_killed_at_any_byte_no_more_than_a_piece_is_fetched_again(hub, after):
    with tempfile.TemporaryDirectory() as place:
        bed = bed_at(hub, HUGGINGFACE, Path(place))
        lock = bed.lock(*FILES)
        process = start_to_be_shot(bed, lock, signal.SIGKILL, lambda act: acts_after(after, act))
        assert end(process).code == -signal.SIGKILL
        assert_law_1(bed)
        assert_the_next_fill_ends_it(bed, lock)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupted_fill_ends_soon_and_the_next_one_resumes(bed, number):
    lock = bed.lock(*FILES)
    enough = 2 * PIECE_SIZE + 500_000  # whatever of it is still under way, the first piece has come
    process = start_to_be_shot(bed, lock, number, lambda act: stalls_after(enough, act), file_of(BIG).sha256)
    ended = end(process)
    assert ended.code == ExitCode.INTERRUPTED
    assert "it resumes" in ended.stderr
    assert_law_1(bed)
    assert_the_next_fill_ends_it(bed, lock)
    assert first_asked(bed) >= PIECE_SIZE


def test_streams_that_are_all_silent_do_not_keep_an_interrupted_fill_alive(one_bed):
    process_of, silent, asked_at = [], [], []

    def interrupt_when_all_are_silent():
        silent.append(1)
        if len(silent) == len(FILES):
            asked_at.append(time.monotonic())
            process_of[0].send_signal(signal.SIGINT)

    for place, pattern in (("cdn", ""), ("hub", PLAIN)):
        one_bed.hub.rules.append(Rule(pattern, stalls_after(0, interrupt_when_all_are_silent), place=place))
    process_of.append(start(one_bed, one_bed.lock(*FILES)))
    assert end(process_of[0]).code == ExitCode.INTERRUPTED
    assert time.monotonic() - asked_at[0] < 2 * FAREWELL


def test_a_hub_that_asks_for_minutes_does_not_keep_an_interrupted_fill_alive(one_bed):
    process_of = []
    refuse = answers(429, {"Retry-After": "200"})

    async def refuse_and_shoot(honest, scope, receive, send):
        await refuse(honest, scope, receive, send)
        process_of[0].send_signal(signal.SIGINT)

    one_bed.hub.rules.append(Rule("", refuse_and_shoot, times=1, place="cdn"))
    process_of.append(start(one_bed, one_bed.lock(SMALL)))
    assert end(process_of[0]).code == ExitCode.INTERRUPTED  # in less than the minute that `end` waits


def test_two_fills_of_one_volume_both_end_well_and_leave_nothing(bed):
    lock = bed.lock(*FILES)
    bed.hub.rules.append(Rule(file_of(BIG).sha256, meets(2), times=2, place="cdn"))
    other = replace(bed, home_name="other")
    ends = [end(process) for process in (start(bed, lock), start(other, lock))]
    assert [ended.code for ended in ends] == [ExitCode.DONE, ExitCode.DONE]
    assert len(bed.hub.asked(file_of(BIG).sha256, "cdn")) == 2
    assert (bed.volume / "models" / BIG).read_bytes() == content(BIG)
    assert_law_1(bed)
    assert_no_leftovers(bed.volume, lock)


def test_of_two_fills_one_is_killed_and_the_other_ends_well(one_bed):
    lock = one_bed.lock(*FILES)
    victim = []
    big = file_of(BIG).sha256
    one_bed.hub.rules.append(Rule(big, acts_after(PIECE_SIZE, shot(victim, signal.SIGKILL)), times=1, place="cdn"))
    victim.append(start(one_bed, lock))
    assert end(victim[0]).code == -signal.SIGKILL
    survivors = [start(replace(one_bed, home_name=name), lock) for name in ("a", "b")]
    one_bed.hub.rules.append(Rule(big, meets(2), times=2, place="cdn"))
    assert [end(process).code for process in survivors] == [ExitCode.DONE, ExitCode.DONE]
    assert_law_1(one_bed)
    assert_no_leftovers(one_bed.volume, lock)


def test_a_fill_that_dies_beside_another_is_outlived(one_bed):
    """Both stream the same file; one is killed in the middle, and what it leaves is taken away by the other."""
    lock = one_bed.lock(*FILES)
    pair, big = [], file_of(BIG).sha256
    # Shot before it has a piece to write into a journal: there is only a partial, of which the other knows nothing.
    one_bed.hub.rules.append(Rule(big, _both_then(PIECE_SIZE, shot(pair, signal.SIGKILL)), times=2, place="cdn"))
    pair.append(start(one_bed, lock))
    pair.append(start(replace(one_bed, home_name="other"), lock))
    assert [end(process).code for process in pair] == [-signal.SIGKILL, ExitCode.DONE]
    assert_law_1(one_bed)
    assert all((one_bed.volume / "models" / path).exists() for path in FILES)
    assert_no_leftovers(one_bed.volume, lock)


def _both_then(count, act):
    met, acted = meets(2), acts_after(count, act)

    async def both(honest, scope, receive, send):
        async def second(scope, receive, send):
            await acted(honest, scope, receive, send)

        await met(second, scope, receive, send)

    return both


def test_a_file_of_any_size_takes_the_same_memory(tmp_path):
    size = 300 * 1024 * 1024
    huge = tmp_path / "served/hf/acme/weights/huge.gguf"
    huge.parent.mkdir(parents=True)
    with huge.open("wb") as file:
        file.truncate(size)
    with MisbehavingHub(Folder(tmp_path / "served"), Settings(token=TOKEN)) as hub:
        bed = bed_at(hub, HUGGINGFACE, tmp_path)
        entry = hub.folder.repository("hf", "acme/weights").snapshot().find("huge.gguf")
        promised = replace(file_of(SMALL), path="huge.gguf", size=size, sha256=entry.sha256)
        ended = run(bed, lock_of(HUGGINGFACE, bed.commit(), promised), measured=True)
    assert ended.code == ExitCode.DONE
    assert ended.document["fetched_bytes"] == size
    assert ended.peak <= 150 * 1024 * 1024, f"{ended.peak / 2**20:.0f} MiB"
