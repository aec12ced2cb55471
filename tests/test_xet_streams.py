"""Streams from Xet storage: real hf_xet against a store on this machine that serves what it uploaded; its faults."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hub_kinds import http_settings
from xet_bed import BIG, PACE, material, read, read_on, same, stored, stream, wanted
from xet_cas import Cas, Fault, XetStore, cuts, flips, refuses, stalls, trickles
from xet_hub import XET_TOKEN

from provision import errors
from provision.hubs import Pace
from provision.hubs.http import Wanted
from provision.hubs.xet import BLOCK, STREAMS, _meaning, open_stream


@pytest.fixture(scope="module")
def content() -> bytes:
    return material()


@pytest.fixture(scope="module")
def store(content, tmp_path_factory) -> XetStore:
    place = tmp_path_factory.mktemp("cas")
    (place / BIG).write_bytes(content)
    return XetStore.build(place, {BIG: place / BIG})


@pytest.fixture
def cas(store):
    with Cas(store) as running:
        yield running


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_whole_file_comes_as_it_is_from_either_version_of_the_storage(store, content, version) -> None:
    with Cas(store, routes=(version,)) as cas:
        assert same(read(stream(cas, content)), content)
        asked = [end - start for start, end in (asked.range for asked in cas.of("xorb"))]
        assert max(asked) <= BLOCK + 3 * 128 * 1024  # so little is held in memory


@pytest.mark.parametrize(
    ("start", "end"), [(5_000_000, None), (0, 1), (4_321_987, 4_321_988), (1_999_999, 6_000_001), (10_890_000, None)]
)
def test_a_range_comes_exactly_and_little_more_is_fetched(cas, content, start, end) -> None:
    body = stream(cas, content, start, end)
    end = len(content) if end is None else end

    assert (body.start, body.end, body.host) == (start, end, cas.endpoint.removeprefix("http://"))
    assert same(read(body), content[start:end])
    blocks = -(-(end - start) // BLOCK)
    assert cas.bytes_of("xorb") <= end - start + (blocks + 1) * 2 * 128 * 1024  # chunks are never more than 128 KiB


@pytest.mark.parametrize("kind", ["reconstruction", "xorb"])
@pytest.mark.parametrize(
    ("fault", "meant"),
    [
        (refuses(401), (errors.AddressExpired, errors.ConnectionCut)),
        (refuses(403), (errors.AddressExpired, errors.ConnectionCut)),
        (refuses(404), (errors.PathNotFound, errors.ConnectionCut)),
        (refuses(429), (errors.RateLimited, errors.ConnectionCut)),
        (refuses(503), (errors.Unreachable, errors.ConnectionCut)),
        (refuses(200, b"<html>log in</html>"), (errors.NotAHub, errors.ConnectionCut)),
        (cuts, errors.ConnectionCut),
    ],
)
def test_whatever_the_storage_answers_is_an_error_of_ours_without_a_token(cas, content, kind, fault, meant) -> None:
    cas.faults.append(Fault(kind, fault))
    told = stored(cas, token=XET_TOKEN)

    with pytest.raises(meant) as caught:
        open_stream(told, wanted(content), PACE, http_settings())
    words = f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r} {told!r}"
    assert XET_TOKEN not in words
    assert "s3cret" not in words


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("Network error: Request error: HTTP status client error (401 Unauthorized), domain: d", errors.AddressExpired),
        ("Network error: Request error: HTTP status client error (403 Forbidden), domain: d", errors.AddressExpired),
        ("Auth error: Refresh function: Token refresh not expected is not callable", errors.AddressExpired),
        ("Network error: Request error: HTTP status client error (404 Not Found), domain: d", errors.PathNotFound),
        ("Rate limited: Request error: HTTP status client error (429 Too Many Requests)", errors.RateLimited),
        ("Server error: Request error: HTTP status server error (503 Service Unavailable)", errors.Unreachable),
        ("Request error: HTTP status client error (416 Range Not Satisfiable), domain: d", errors.NotAHub),
        ("Data integrity error: Malformed data: cannot convert value 108", errors.NotAHub),
        ("Network error: Request middleware error: error sending request for url (http://h/)", errors.Unreachable),
        ("I/O error: I/O error: error decoding response body", errors.ConnectionCut),
        ("something new", errors.ConnectionCut),
    ],
)
def test_words_of_hf_xet_have_a_meaning(words, error) -> None:
    """hf_xet 1.8 tells some failures only by chance (two of its tasks race): here is each of its texts."""
    assert type(_meaning(words, "h", 0.0)) is error


def test_a_storage_that_is_not_there_is_an_error_of_ours(cas, content) -> None:
    told = stored(cas, address="http://127.0.0.1:9")

    with pytest.raises((errors.Unreachable, errors.ConnectionCut)):
        open_stream(told, wanted(content), PACE, http_settings())


def test_a_token_that_ran_out_on_the_way_means_a_fresh_one_is_needed(cas, content) -> None:
    with pytest.raises((errors.AddressExpired, errors.ConnectionCut)):
        open_stream(stored(cas, expires=int(time.time()) - 10), wanted(content), PACE, http_settings())


def test_a_transient_refusal_is_tried_again_once(cas, content) -> None:
    cas.faults.append(Fault("xorb", refuses(503), times=1))

    assert same(read(stream(cas, content)), content)


@pytest.mark.parametrize("kind", ["reconstruction", "xorb"])
def test_a_silent_storage_is_noticed_and_the_process_goes_on_meanwhile(cas, content, kind) -> None:
    cas.faults.append(Fault(kind, stalls, after=100))
    began, ticks, done = time.monotonic(), [], threading.Event()

    def tick() -> None:
        while not done.wait(0.05):
            ticks.append(time.monotonic())

    threading.Thread(target=tick).start()
    with pytest.raises(errors.Stalled):
        stream(cas, content, stall=1.0)
    done.set()

    assert time.monotonic() - began < 3
    assert len(ticks) > 10


def test_a_trickle_is_no_sign_of_life(cas, content) -> None:
    cas.faults.append(Fault("xorb", trickles, after=100))
    began = time.monotonic()

    with pytest.raises(errors.Stalled):
        stream(cas, content, stall=1.0)

    assert time.monotonic() - began < 3


def test_a_stream_below_its_pace_is_stalled_and_what_came_is_not_lost(cas, content) -> None:
    clock = iter(float(second) for second in range(1000))
    body = stream(cas, content, pace=Pace(slowest=3_000_000, window=3.0), clock=lambda: next(clock))
    got = bytearray()

    with pytest.raises(errors.Stalled, match="sends less than 3,000,000"):
        read_on(body, got)

    assert len(got) > 1_000_000
    assert same(got, content[: len(got)])


def test_a_line_cut_on_the_way_leaves_what_came(cas, content) -> None:
    body = stream(cas, content)
    cas.faults.append(Fault("xorb", cuts, after=1000))
    got = bytearray()

    with pytest.raises(errors.ConnectionCut):
        read_on(body, got)
    cas.faults.clear()

    assert len(got) > 0
    assert same(bytes(got) + read(stream(cas, content, len(got))), content)


def test_a_flipped_byte_comes_as_it_is_and_only_the_sha256_tells(cas, content) -> None:
    cas.faults.append(Fault("xorb", flips, times=1))

    got = read(stream(cas, content))

    assert len(got) == len(content)
    assert sum(a != b for a, b in zip(got, content, strict=True)) == 1


def test_a_shorter_file_under_the_hash_ends_early(cas, content) -> None:
    longer = Wanted(path=BIG, size=len(content) + 1_000_000)

    with pytest.raises(errors.ConnectionCut):
        read(open_stream(stored(cas), longer, PACE, http_settings()))


def test_streams_that_are_closed_while_they_wait_leave_nothing_behind(cas, content) -> None:
    cas.faults.append(Fault("xorb", stalls, after=1_000_000))
    threads, memory = [], []

    for _ in range(50):
        with pytest.raises(errors.Stalled):
            stream(cas, content, stall=0.05)
        threads.append(count("/proc/self/task"))
        memory.append(resident())

    assert wait_until(lambda: len(vendor_threads()) <= 4), vendor_threads()  # those it starts once, for its log
    assert max(threads) < min(threads) + 60  # the store's one per request that stands
    assert max(memory[10:]) - memory[10] < 30 * 1024 * 1024


def vendor_threads() -> list[str]:
    """Names of threads that Python did not start."""
    named = {thread.native_id for thread in threading.enumerate()}
    tasks = [task for task in Path("/proc/self/task").iterdir() if int(task.name) not in named]
    return [(task / "comm").read_text().strip() for task in tasks if task.exists()]


def count(folder: str) -> int:
    return sum(1 for _ in Path(folder).iterdir())


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def wait_until(holds, seconds: float = 10.0) -> bool:
    end, pause = time.monotonic() + seconds, threading.Event()
    while not holds() and time.monotonic() < end:
        pause.wait(0.05)
    return holds()


def test_a_closed_stream_does_not_disturb_another(cas, content) -> None:
    other, closed = stream(cas, content), stream(cas, content)
    closed.close()

    assert same(read(other), content)
    assert closed.read_into(memoryview(bytearray(10))) == 0
    closed.close()


def test_there_are_few_streams_at_once_and_the_next_waits_for_its_turn(cas, content) -> None:
    open_ones = [stream(cas, content) for _ in range(STREAMS)]
    with pytest.raises(errors.Stalled, match=r"none .* ends"):
        stream(cas, content, answer=0.2)
    timer = threading.Timer(0.2, open_ones[0].close)
    timer.start()

    last = stream(cas, content, answer=10.0)

    for one in open_ones:
        one.close()
    assert same(read(last), content)


def test_without_hf_xet_or_with_an_old_one_the_error_says_so(monkeypatch, cas, content) -> None:
    from provision.hubs import xet

    xet._vendor.cache_clear()
    monkeypatch.setattr(xet, "version", lambda _name: "1.6.0")
    with pytest.raises(errors.HubRefused, match=r"hf_xet 1\.6\.0 holds up the whole process"):
        stream(cas, content)
    monkeypatch.setitem(sys.modules, "hf_xet", None)
    with pytest.raises(errors.HubRefused, match="hf_xet is not installed"):
        stream(cas, content)
    xet._vendor.cache_clear()


PROGRAM = """
import sys, time
from provision.hubs import Pace
from provision.hubs.http import HttpSettings, Wanted
from provision.hubs.xet import Stored, open_stream

address, hash_, size = sys.argv[1:]
told = Stored(hash=hash_, address=address, token="t", expires=int(time.time()) + 3600)
settings = HttpSettings(user_agent="provision/test", now=time.time)
body = open_stream(told, Wanted(path="x", size=int(size)), Pace(slowest=1, window=60.0), settings)
buffer, got = memoryview(bytearray(1 << 20)), 0
while count := body.read_into(buffer):
    got += count
body.close()
print(got)
"""


def run(cas: Cas, content: bytes, home: Path, address: str = "", **environment: str):
    """A program that reads the whole file, in a home of its own."""
    arguments = [address or cas.endpoint, cas.store.hashes[BIG], str(len(content))]
    mine = {"PATH": os.environ["PATH"], "HOME": str(home), "HF_XET_LOG_DEST": os.devnull}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], env=mine | environment, cwd=home, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip


def test_no_file_is_written(cas, content, tmp_path) -> None:
    done = run(cas, content, tmp_path, HF_XET_CHUNK_CACHE_SIZE_BYTES="1000000000")

    assert done.stdout.strip() == str(len(content)), done.stderr
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


def test_where_hf_xet_cannot_have_its_folder_the_error_says_so(cas, content, tmp_path) -> None:
    done = run(cas, content, tmp_path, HF_XET_CACHE="/dev/null/here")

    assert "HubRefused: hf_xet cannot make its folder" in done.stderr


def test_a_proxy_of_the_environment_is_used(cas, content, tmp_path) -> None:
    """The store stands in for a proxy: one is asked for a whole address."""
    done = run(cas, content, tmp_path, "http://storage.invalid", HTTP_PROXY=cas.endpoint)

    assert done.stdout.strip() == str(len(content)), done.stderr
    assert cas.of("reconstruction")
    assert all(asked.host == "storage.invalid" for asked in cas.of("reconstruction"))


def test_a_host_that_needs_no_proxy_is_asked_itself(cas, content, tmp_path) -> None:
    done = run(cas, content, tmp_path, HTTP_PROXY="http://127.0.0.1:9", NO_PROXY="127.0.0.1")

    assert done.stdout.strip() == str(len(content)), done.stderr
