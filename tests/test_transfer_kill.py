"""Killed and interrupted: real processes. The hub itself pulls the trigger, after so many bytes."""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import time
from dataclasses import dataclass, replace

import pytest
from abreast import Abreast, through
from byte_faults import acts_after, stalls_after
from fill_bed import (
    PLAIN,
    SIZES,
    SMALL,
    TOKEN,
    WIDE,
    assert_no_leftovers,
    bed_at,
    build,
    content,
    file_of,
    lock_of,
    proven,
)
from fill_process import end, run, start
from hub_kinds import HUGGINGFACE, KINDS
from misbehaving_hub import MisbehavingHub, Rule, answers, later

from provision.crew import FAREWELL
from provision.digest import piece_count, piece_span, sha256_of
from provision.errors import ExitCode
from provision.serve import Folder, Settings

FILES = (WIDE, SMALL, PLAIN)
TOTAL = sum(SIZES[path] for path in FILES)
KILLS = int(os.environ.get("PROVISION_TEST_KILLS", "6"))
SEED = int(os.environ.get("PROVISION_TEST_SEED") or ("PROVISION_TEST_KILLS" in os.environ and secrets.randbits(32)))
"""How many fills are killed, and where: the same ones, unless a number is asked for (`make test-kills`: 200)."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with MisbehavingHub(Folder(build(tmp_path_factory.mktemp("served"), FILES)), Settings(token=TOKEN)) as hub:
        yield hub


@pytest.fixture(params=KINDS, ids=str)
def bed(request, hub, tmp_path):
    return bed_at(hub, request.param, tmp_path)


@pytest.fixture
def one_bed(hub, tmp_path):
    return bed_at(hub, HUGGINGFACE, tmp_path)


def start_to_be_shot(bed, lock, number, rules, *flags):
    """A fill that is sent signal `number`, when the rules say so."""
    process_of = []
    bed.hub.rules += rules(lambda: process_of[0].send_signal(number))
    process_of.append(start(bed, lock, *flags))
    return process_of[0]


def begun(bed):
    """The pieces of the wide file of which the partial has the first bytes."""
    found = set()
    for partial in (bed.volume / "models").glob(".provision-*"):
        with partial.open("rb") as data:
            for index in range(piece_count(SIZES[WIDE])):
                begin, _ = piece_span(index, SIZES[WIDE])
                data.seek(begin)
                if data.read(4096) == content(WIDE)[begin : begin + 4096]:
                    found.add(index)
    return found


def assert_law_1(bed):
    for path in FILES:
        final = bed.volume / "models" / path
        assert not final.exists() or sha256_of(final.read_bytes()) == file_of(path).sha256


def assert_the_next_fill_ends_it(bed, lock, streams):
    """And asks for nothing that is proven; what is begun and not proven is a piece for each of so many streams."""
    held = proven(bed.volume, lock).get(f"models/{WIDE}", set())
    assert len(begun(bed) - held) <= streams
    standing = {path for path in FILES if (bed.volume / "models" / path).exists()}
    had = sum(SIZES[path] for path in standing) + sum(_length(index) for index in held)
    bed.hub.log[:], bed.hub.rules[:] = [], []
    ended = run(bed, lock)
    assert ended.code == ExitCode.DONE
    assert_law_1(bed)
    assert all((bed.volume / "models" / path).exists() for path in FILES)
    assert ended.document["fetched_bytes"] == TOTAL - had
    assert_no_leftovers(bed.volume, lock)


def _length(index):
    begin, end = piece_span(index, SIZES[WIDE])
    return end - begin


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A kill when `after` bytes of the wide file were sent, to a fill on so many connections."""

    after: int
    connections: int

    @property
    def must_hit(self) -> bool:
        """Whether bytes are missing then: those that are sent last may be faster than the bullet."""
        return self.after <= SIZES[WIDE] - self.connections


def shots():
    """The last byte, and any others."""
    draw = random.Random(SEED)
    yield Shot(after=SIZES[WIDE], connections=3)
    for _ in range(KILLS - 1):
        yield Shot(after=draw.randrange(SIZES[WIDE]), connections=draw.randint(1, 5))


def shot_at(bed, lock, shot):
    """A fill that is shot. How it ended, and how many of its streams were open."""
    abreast, opened = Abreast(size=SIZES[WIDE], least=shot.connections - 1, is_over=lambda: bool(opened)), []

    def rules(shoot):
        acts = acts_after(shot.after, lambda: (shoot(), opened.append(abreast.here)))
        return [Rule(file_of(WIDE).sha256, through(acts, abreast), place="cdn")]

    process = start_to_be_shot(bed, lock, signal.SIGKILL, rules, "--connections", str(shot.connections))
    code = end(process).code
    assert len(opened) == 1, "nobody shot"
    return code, opened[0]


@pytest.mark.timeout(60 + 20 * KILLS)
def test_killed_at_any_byte_no_more_than_a_piece_a_stream_is_fetched_again(hub, tmp_path):
    """The streams are open when it is killed: all that were asked for, or one less."""
    for number, shot in enumerate(shots()):
        bed = bed_at(hub, HUGGINGFACE, fresh(tmp_path / "shot"))
        lock = bed.lock(*FILES)
        code, opened = shot_at(bed, lock, shot)
        assert_law_1(bed)
        again = begun(bed) - proven(bed.volume, lock).get(f"models/{WIDE}", set())
        told = f"seed {SEED}, shot {number}: {shot}, exit {code}, {opened} streams open, {len(again)} pieces again"
        print(told)
        assert code == -signal.SIGKILL or not shot.must_hit, told
        assert opened >= shot.connections - 1 or not shot.must_hit, told
        assert len(again) <= shot.connections, told
        assert_the_next_fill_ends_it(bed, lock, shot.connections)


def fresh(place):
    """An empty folder."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return place


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupted_fill_ends_soon_and_the_next_one_resumes(bed, number):
    lock = bed.lock(*FILES)
    wide = file_of(WIDE).sha256
    process = start_to_be_shot(
        bed, lock, number, lambda act: later(2, wide, stalls_after(500_000, act)), "--connections", "2"
    )
    began = time.monotonic()
    ended = end(process)
    assert time.monotonic() - began < 30
    assert ended.code == ExitCode.INTERRUPTED
    assert "it resumes" in ended.stderr
    assert_law_1(bed)
    assert proven(bed.volume, lock)[f"models/{WIDE}"]
    assert_the_next_fill_ends_it(bed, lock, 2)


def test_terminated_with_five_seconds_to_live_it_ends_in_time(one_bed):
    """Kubernetes and RunPod send SIGTERM and kill soon after. All streams are in the middle of a piece."""
    lock = one_bed.lock(*FILES)
    asked_at = []

    def rules(shoot):
        def all_silent():
            asked_at.append(time.monotonic())
            if len(asked_at) == 3:
                shoot()

        return [Rule(file_of(WIDE).sha256, stalls_after(1_000_000, all_silent), place="cdn")]

    process = start_to_be_shot(one_bed, lock, signal.SIGTERM, rules, "--connections", "3")
    assert end(process).code == ExitCode.INTERRUPTED
    assert time.monotonic() - asked_at[-1] < 5.0
    assert_law_1(one_bed)
    assert_the_next_fill_ends_it(one_bed, lock, 3)


def test_streams_that_are_all_silent_do_not_keep_an_interrupted_fill_alive(one_bed):
    process_of, asked_at = [], []

    def interrupt_when_all_are_silent():
        asked_at.append(time.monotonic())
        if len(asked_at) == len(FILES):
            process_of[0].send_signal(signal.SIGINT)

    for place, pattern in (("cdn", ""), ("hub", PLAIN)):
        one_bed.hub.rules.append(Rule(pattern, stalls_after(0, interrupt_when_all_are_silent), place=place))
    process_of.append(start(one_bed, one_bed.lock(*FILES), "--connections", "3"))
    assert end(process_of[0]).code == ExitCode.INTERRUPTED
    assert time.monotonic() - asked_at[-1] < 2 * FAREWELL


def test_a_hub_that_asks_for_minutes_does_not_keep_an_interrupted_fill_alive(one_bed):
    process_of = []
    refuse = answers(429, {"Retry-After": "200"})

    async def refuse_and_shoot(honest, scope, receive, send):
        await refuse(honest, scope, receive, send)
        process_of[0].send_signal(signal.SIGINT)

    one_bed.hub.rules.append(Rule("", refuse_and_shoot, times=1, place="cdn"))
    process_of.append(start(one_bed, one_bed.lock(SMALL)))
    assert end(process_of[0]).code == ExitCode.INTERRUPTED  # in less than the minute that `end` waits


def test_when_the_time_is_up_a_fill_ends_and_the_next_one_resumes(one_bed):
    lock = one_bed.lock(*FILES)
    one_bed.hub.rules += later(2, file_of(WIDE).sha256, stalls_after(500_000), times=None)
    ended = run(one_bed, lock, "--connections", "1", "--max-time", "4s")
    assert ended.code == ExitCode.INTERRUPTED
    assert "the time is up" in ended.stderr
    assert ended.document["error"]["kind"] == "TimeIsUp"
    assert proven(one_bed.volume, lock)[f"models/{WIDE}"]
    assert_the_next_fill_ends_it(one_bed, lock, 1)


def test_a_file_of_any_size_takes_the_same_memory(tmp_path):
    size = 320 * 1024 * 1024
    huge = tmp_path / "served/hf/acme/weights/huge.npy"
    huge.parent.mkdir(parents=True)
    with huge.open("wb") as file:
        file.truncate(size)
    with MisbehavingHub(Folder(tmp_path / "served"), Settings(token=TOKEN)) as hub:
        bed = bed_at(hub, HUGGINGFACE, tmp_path)
        entry = hub.folder.repository("hf", "acme/weights").snapshot().find("huge.npy")
        promised = replace(file_of(SMALL), path="huge.npy", size=size, sha256=entry.sha256)
        lock = lock_of(HUGGINGFACE, bed.commit(), promised)
        ended = run(bed, lock, "--connections", "16", measured=True)
    assert ended.code == ExitCode.DONE
    assert ended.document["fetched_bytes"] == size
    assert ended.peak <= 150 * 1024 * 1024, f"{ended.peak / 2**20:.0f} MiB"
