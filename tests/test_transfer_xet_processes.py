"""`provision fill --transport xet` as a process: killed, terminated, and on a volume that fails.

The library that reads Xet storage has threads of its own, which no Python sees. What is true over HTTP is true here.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from dataclasses import dataclass

import pytest
from fault_shim import Fault as VolumeFault
from fault_shim import compiled, needs_gcc
from fill_bed import BIG, NAME, SIZES, SMALL, TOKEN, Bed, build, content, file_of, proven
from fill_process import end, run, start
from hub_kinds import HUGGINGFACE
from misbehaving_hub import MisbehavingHub
from xet_cas import Cas, Fault, XetStore, stalls
from xet_hub import XET_TOKEN, announce

from provision.digest import PIECE_SIZE, piece_span
from provision.errors import ExitCode
from provision.serve import Folder, Settings

FLAGS = ("--transport", "xet", "--connections", "3")
FIRST, SECOND = 0, 1
"""The pieces of BIG whose streams are open when something happens; the last one is small, and comes whole."""


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
def bed(folder, cas, tmp_path):
    (tmp_path / "volume").mkdir()
    with MisbehavingHub(Folder(folder), Settings(token=TOKEN)) as hub:
        announce(hub, cas)
        yield Bed(hub=hub, kind=HUGGINGFACE, volume=tmp_path / "volume", xet=True, sent_elsewhere=10 * SIZES[BIG])


def silent_midway(condition, act):
    """Plans end some MB into the first two pieces; `act` is called when both have, and `condition` is true."""
    silent, guard = set(), threading.Lock()

    def spoil(handler, rest):
        index, offset = divmod(handler._asked.range[0], PIECE_SIZE)
        if index > SECOND or offset < 4_000_000:
            return handler.give(rest)
        with guard:
            silent.add(index)
            is_last = len(silent) == 2 and act not in silent
            silent.update({act} if is_last else ())
        while is_last and not condition():
            time.sleep(0.02)
        if is_last:
            act()
        return stalls(handler, rest)

    return spoil


def side_by_side():
    """The first plans of the first two pieces are answered together."""
    both, first = threading.Barrier(2, timeout=30), {FIRST * PIECE_SIZE, SECOND * PIECE_SIZE}

    def spoil(handler, rest):
        if handler._asked.range[0] in first:
            first.remove(handler._asked.range[0])
            both.wait()
        handler.give(rest)

    return spoil


def assert_the_next_fill_ends_it(bed, lock):
    """From the storage, without what is proven, and law 1 was kept meanwhile."""
    assert not (bed.volume / "models" / BIG).exists()
    stands = (bed.volume / "models" / SMALL).exists()
    held = proven(bed.volume, lock).get(f"models/{BIG}", set())
    had = sum(end - begin for begin, end in (piece_span(index, SIZES[BIG]) for index in held)) + stands * SIZES[SMALL]
    ended = run(bed, lock, *FLAGS)
    assert (ended.code, ended.document["fetched_bytes"]) == (ExitCode.DONE, SIZES[BIG] + SIZES[SMALL] - had)
    assert all((bed.volume / "models" / path).read_bytes() == content(path) for path in (BIG, SMALL))
    assert [request.target for request in bed.hub.log if file_of(BIG).sha256 in request.target] == [], "over HTTP"
    assert XET_TOKEN not in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_terminated_or_killed_in_the_middle_of_two_streams_it_ends_soon_and_the_next_one_resumes(bed, cas, number):
    """Kubernetes and RunPod send SIGTERM and kill five seconds later."""
    process, shot_at, lock = [], [], bed.lock(BIG, SMALL)

    def shoot():
        shot_at.append(time.monotonic())
        process[0].send_signal(number)

    cas.faults.append(Fault("reconstruction", silent_midway(lambda: proven(bed.volume, lock), shoot)))
    process.append(start(bed, lock, *FLAGS))
    ended = end(process[0])
    assert time.monotonic() - shot_at[0] < 5.0
    assert ended.code == (ExitCode.INTERRUPTED if number == signal.SIGTERM else -signal.SIGKILL)
    assert XET_TOKEN not in ended.stderr
    cas.faults.clear()
    assert_the_next_fill_ends_it(bed, lock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(VolumeFault):
    """What a volume does while two streams of a file come from the storage, and how that ends."""

    ends: ExitCode


ROWS = {
    "the disk is full": Row(calls="pwrite", number=errno.ENOSPC, after=5_000_000, ends=ExitCode.VOLUME),
    "pwrite fails": Row(calls="pwrite", number=errno.EIO, after=5_000_000, ends=ExitCode.VOLUME),
}


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("shim"))


@needs_gcc
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_volume_that_fails_beside_the_library_is_told_and_the_next_fill_goes_on(bed, cas, shim, tmp_path, row):
    lock, log = bed.lock(BIG, SMALL), tmp_path / "faults"
    cas.faults.append(Fault("reconstruction", side_by_side()))
    ended = end(start(bed, lock, *FLAGS, variables=row.variables(shim, log, bed.volume)))
    assert log.exists(), "the fault did not strike"
    assert ended.code == row.ends
    errors = [file["error"] for file in ended.document["files"] if "error" in file]
    assert all(os.strerror(row.number) in error["message"] and error["hint"] for error in errors)
    assert errors
    cas.faults.clear()
    assert_the_next_fill_ends_it(bed, lock)
