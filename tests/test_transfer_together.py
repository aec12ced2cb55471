"""Several fills of one volume: real processes that share its work, outlive each other, and never harm."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace

import pytest
from byte_faults import acts_after, meets, waits_until
from fill_bed import BIG, PLAIN, SIZES, SMALL, TOKEN, WIDE, assert_no_leftovers, bed_at, build, content, file_of
from fill_process import end, run, start
from hub_kinds import HUGGINGFACE, KINDS
from misbehaving_hub import MisbehavingHub, Rule, later

from provision.digest import PIECE_SIZE
from provision.errors import ExitCode
from provision.serve import Folder, Settings

FILES = (WIDE, BIG, SMALL, PLAIN)
SENT = {path: file_of(path).sha256 for path in (WIDE, BIG)}


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


def elsewhere(bed, name):
    """The same volume, filled by somebody with another home."""
    return replace(bed, home_name=name)


def assert_all_is_well(bed, lock):
    for path in FILES:
        assert (bed.volume / "models" / path).read_bytes() == content(path)
    assert_no_leftovers(bed.volume, lock)


def sent(bed, path):
    return sum(request.sent for request in bed.hub.asked(SENT[path], "cdn"))


def test_of_several_fills_one_fetches_each_file(bed):
    lock = bed.lock(*FILES)
    ends = [end(process) for process in [start(elsewhere(bed, name), lock) for name in ("a", "b", "c")]]
    assert [ended.code for ended in ends] == [ExitCode.DONE] * 3
    assert_all_is_well(bed, lock)
    assert (sent(bed, WIDE), sent(bed, BIG)) == (SIZES[WIDE], SIZES[BIG])
    assert sum(ended.document["fetched_bytes"] for ended in ends) == sum(SIZES[path] for path in FILES)
    assert list((bed.volume / ".provision/claims").iterdir()) == []


def test_with_claims_that_everybody_holds_nothing_is_harmed(bed):
    lock = bed.lock(*FILES)
    bed.hub.rules.append(Rule(SENT[BIG], meets(2), times=2, place="cdn"))
    ends = [end(process) for process in [start(elsewhere(bed, name), lock, claims=False) for name in ("a", "b")]]
    assert [ended.code for ended in ends] == [ExitCode.DONE] * 2
    assert sent(bed, BIG) > SIZES[BIG], "both were at it"
    assert_all_is_well(bed, lock)


def test_what_a_killed_fill_held_is_taken_over_at_once(one_bed):
    lock = one_bed.lock(*FILES)
    victim = []
    one_bed.hub.rules += later(
        1, SENT[WIDE], acts_after(PIECE_SIZE // 2, lambda: victim[0].send_signal(signal.SIGKILL))
    )
    victim.append(start(one_bed, lock, "--connections", "2"))
    assert end(victim[0]).code == -signal.SIGKILL
    assert list((one_bed.volume / ".provision/claims").iterdir())
    survivors = [start(elsewhere(one_bed, name), lock) for name in ("a", "b")]
    assert [end(process).code for process in survivors] == [ExitCode.DONE] * 2
    assert_all_is_well(one_bed, lock)
    assert list((one_bed.volume / ".provision/claims").iterdir()) == []


def test_a_fill_waits_for_what_another_holds_and_says_so(one_bed, tmp_path):
    lock, progress = one_bed.lock(BIG), tmp_path / "progress.json"
    second, said = [], []

    def second_waits():
        if not second:
            second.append(start(elsewhere(one_bed, "b"), lock, "--progress-file", str(progress)))
            os.set_blocking(second[0].stderr.fileno(), False)
        said.append(second[0].stderr.read() or "")
        return "another fill of this volume is at work" in "".join(said)

    one_bed.hub.rules.append(Rule(SENT[BIG], waits_until(second_waits), times=1, place="cdn"))
    assert run(one_bed, lock, "--connections", "1").code == ExitCode.DONE
    os.set_blocking(second[0].stderr.fileno(), True)
    ended = end(second[0])
    assert (ended.code, ended.document["fetched_bytes"]) == (ExitCode.DONE, 0)
    assert ended.stderr.splitlines()[-1].endswith("(100 %), 34.6 MB of it already there")
    told = json.loads(progress.read_text())
    assert "another fill of this volume is at work" in told["notes"][0]
    assert told["reused"] == told["done"] == told["total"]


def test_a_fill_that_dies_beside_another_is_outlived(one_bed):
    """With claims broken both stream the same file; one is killed in the middle, and the other cleans up."""
    lock = one_bed.lock(*FILES)
    pair = []

    def shoot():
        pair[0].send_signal(signal.SIGKILL)

    # Shot before it has a piece to write into a journal: there is only a partial, of which the other knows nothing.
    one_bed.hub.rules.append(Rule(SENT[WIDE], _both_then(1000, shoot), times=2, place="cdn"))
    pair += [start(elsewhere(one_bed, name), lock, "--connections", "1", claims=False) for name in ("a", "b")]
    assert [end(process).code for process in pair] == [-signal.SIGKILL, ExitCode.DONE]
    assert_all_is_well(one_bed, lock)


def _both_then(count, act):
    met, acted = meets(2), acts_after(count, act)

    async def both(honest, scope, receive, send):
        async def second(scope, receive, send):
            await acted(honest, scope, receive, send)

        await met(second, scope, receive, send)

    return both


def test_the_union_of_all_shards_is_the_whole(bed):
    lock = bed.lock(*FILES)
    ends = [end(process) for process in [start(elsewhere(bed, str(i)), lock, "--shard", f"{i}/3") for i in (1, 2, 3)]]
    assert [ended.code for ended in ends] == [ExitCode.DONE] * 3
    targets = sorted(file["target"] for ended in ends for file in ended.document["files"])
    assert targets == sorted(f"models/{path}" for path in FILES)
    assert_all_is_well(bed, lock)
    assert run(bed, lock).document["fetched_bytes"] == 0


def test_a_shard_with_nothing_to_do_is_done(one_bed):
    lock = one_bed.lock(SMALL)
    ended = run(one_bed, lock, "--shard", "2/2")
    assert (ended.code, ended.document["files"]) == (ExitCode.DONE, [])
    assert not (one_bed.volume / "models").exists()


def test_a_shard_that_is_none_is_refused(one_bed):
    ended = run(one_bed, one_bed.lock(SMALL), "--shard", "0/2")
    assert ended.code == ExitCode.INPUT
    assert "add 1" in ended.stderr
