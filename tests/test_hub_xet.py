"""Streams from Xet storage: real hf_xet against a store on this machine that serves what hf_xet uploaded."""

from __future__ import annotations

import hashlib
import os
import random
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import hub_folder
import pytest
from hub_kinds import HUGGINGFACE, MODELSCOPE, TOKEN, http_settings, reach
from misbehaving_hub import MisbehavingHub, Rule, answers, redirects
from xet_cas import Cas, Fault, XetStore, cuts, flips, refuses, stalls, trickles
from xet_hub import XET_TOKEN, announce, lends

from provision import errors
from provision.hubs import Pace, Pin
from provision.hubs.http import Http, Wanted
from provision.hubs.supply import Supply
from provision.hubs.xet import BLOCK, STREAMS, Stored, XetStream, _meaning, open_stream
from provision.retry import Patience, Retry
from provision.serve.folder import Folder
from provision.serve.settings import Settings

BIG = "big.safetensors"
PACE = Pace(slowest=1024, window=60.0)


@pytest.fixture(scope="module")
def content() -> bytes:
    """Noise, then what compresses and repeats: chunks of all kinds."""
    return random.Random(7).randbytes(9_000_000) + b"weights " * 200_000 + bytes(300_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, content) -> Path:
    place = tmp_path_factory.mktemp("hub")
    (place / "hf/acme/xet").mkdir(parents=True)
    (place / "hf/acme/xet" / BIG).write_bytes(content)
    (place / "hf/acme/xet/README.md").write_text("# small\n")
    return place


@pytest.fixture(scope="module")
def store(folder, tmp_path_factory) -> XetStore:
    return XetStore.build(tmp_path_factory.mktemp("cas"), {BIG: folder / "hf/acme/xet" / BIG})


@pytest.fixture
def cas(store):
    with Cas(store) as running:
        yield running


@pytest.fixture
def hub(folder, cas):
    with MisbehavingHub(Folder(folder), Settings(token=TOKEN)) as running:
        announce(running, cas)
        yield running


def wanted(content: bytes, start: int = 0, end: int | None = None, path: str = BIG) -> Wanted:
    return Wanted(path=path, size=len(content), start=start, end=end)


def stored(cas: Cas, token: str = "", **changes) -> Stored:
    told = {"hash": cas.store.hashes[BIG], "address": cas.endpoint, "token": token, "expires": int(time.time()) + 3600}
    return Stored(**told | changes)


def stream(cas: Cas, content: bytes, start: int = 0, end: int | None = None, *, pace: Pace = PACE, **http) -> XetStream:
    return open_stream(stored(cas), wanted(content, start, end), pace, http_settings(**http))


def read_on(body, got: bytearray) -> None:
    """As `read`, into what is kept when it fails."""
    buffer = memoryview(bytearray(100_000))
    try:
        while count := body.read_into(buffer):
            got += buffer[:count]
    finally:
        body.close()


def read(body) -> bytes:
    got = bytearray()
    read_on(body, got)
    return bytes(got)


def same(got: bytes, content: bytes) -> bool:
    """Whether both are equal: compared here, since pytest would explain millions of differences."""
    return got == content


def test_the_store_is_one_that_the_unmodified_client_fetches_from(hub, cas, content, tmp_path) -> None:
    done = hub_folder.run(
        "hf", "download", "acme/xet", BIG, "--local-dir", str(tmp_path / "here"), home=tmp_path,
        HF_ENDPOINT=hub.endpoint, HF_TOKEN=TOKEN, HF_HUB_DISABLE_XET="0", HF_XET_LOG_DEST=os.devnull,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert same((tmp_path / "here" / BIG).read_bytes(), content)
    assert cas.bytes_of("xorb") > 9_000_000
    assert not hub.asked("", place="cdn")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_whole_file_comes_as_it_is_from_either_version_of_the_storage(store, content, version) -> None:
    with Cas(store, routes=(version,)) as cas:
        assert same(read(stream(cas, content)), content)


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


def test_the_hub_tells_where_a_file_is_stored_and_lends_one_token_for_all_files(hub, cas, content) -> None:
    adapter = reach(HUGGINGFACE, hub.endpoint, token=TOKEN)
    pin = adapter.resolve("acme/xet", None)
    sha256 = hashlib.sha256(content).hexdigest()
    first = replace(wanted(content, 0, 3_000_000), sha256=sha256)
    rest = replace(wanted(content, 3_000_000), sha256=sha256)

    assert same(read(adapter.open_xet(pin, first)) + read(adapter.open_xet(pin, rest)), content)
    assert len(hub.asked("/xet-read-token/")) == 1
    assert {asked.token for asked in cas.of("reconstruction")} == {XET_TOKEN}
    assert not hub.asked("", place="cdn")


def test_the_supply_opens_streams_of_either_kind(hub, cas, content) -> None:
    supply = Supply(
        lambda _scheme: reach(HUGGINGFACE, hub.endpoint, token=TOKEN),
        Http(http_settings()),
        Retry(patience=Patience(), sleep=pytest.fail, tell=pytest.fail),
    )
    pin = supply.resolve("hf", "acme/xet", None)

    assert same(read(supply.open_xet(pin, wanted(content))), read(supply.open("hf", pin, wanted(content))))
    assert len(hub.asked("", place="cdn")) == 1
    assert cas.bytes_of("xorb")


def test_a_hub_without_xet_storage_is_refused() -> None:
    supply = Supply(
        lambda _scheme: reach(MODELSCOPE, "http://127.0.0.1:9"),
        Http(http_settings()),
        Retry(patience=Patience(), sleep=pytest.fail, tell=pytest.fail),
    )

    with pytest.raises(errors.HubRefused, match="modelscope has no Xet storage"):
        supply.open_xet(Pin(repository="a/b", revision="main", commit=None), Wanted(path="x", size=1))


def test_a_token_that_is_nearly_over_is_asked_for_anew(hub, cas, content) -> None:
    hub.rules.insert(0, Rule(r"/xet-read-token/", lends(cas.endpoint, XET_TOKEN, lifetime=50)))
    adapter = reach(HUGGINGFACE, hub.endpoint, token=TOKEN)
    pin = adapter.resolve("acme/xet", None)

    for _ in range(2):
        read(adapter.open_xet(pin, wanted(content, 0, 10)))

    assert len(hub.asked("/xet-read-token/")) == 2


def test_what_is_not_as_promised_or_not_in_the_storage_is_refused(hub, content) -> None:
    adapter = reach(HUGGINGFACE, hub.endpoint, token=TOKEN)
    pin = adapter.resolve("acme/xet", None)

    with pytest.raises(errors.HubRefused, match=r"does not keep README\.md in Xet storage"):
        adapter.open_xet(pin, Wanted(path="README.md", size=8))
    with pytest.raises(errors.PathNotFound):
        adapter.open_xet(pin, wanted(content, path="nothing.bin"))
    with pytest.raises(errors.SizeMismatch):
        adapter.open_xet(pin, Wanted(path=BIG, size=5))
    with pytest.raises(errors.DigestMismatch):
        adapter.open_xet(pin, replace(wanted(content), sha256="0" * 64))


@pytest.mark.parametrize(
    ("address", "error"), [("local:///etc", errors.NotAHub), ("http://user@evil", errors.NotAHub), ("", errors.NotAHub)]
)
def test_a_hub_cannot_send_us_to_a_storage_that_is_no_web_server(hub, content, address, error) -> None:
    hub.rules.insert(0, Rule(r"/xet-read-token/", lends(address, XET_TOKEN)))
    adapter = reach(HUGGINGFACE, hub.endpoint, token=TOKEN)

    with pytest.raises(error):
        adapter.open_xet(adapter.resolve("acme/xet", None), wanted(content))


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (answers(403), errors.AccessDenied),
        (answers(503), errors.Unreachable),
        (answers(429, {"Retry-After": "7"}), errors.RateLimited),
        (answers(200, body="<html>"), errors.NotAHub),
        (redirects("http://127.0.0.1:9/elsewhere"), errors.Unreachable),
    ],
)
def test_a_token_that_the_hub_does_not_lend_is_an_error_of_ours(hub, content, behaviour, error) -> None:
    hub.rules.insert(0, Rule(r"/xet-read-token/", behaviour))
    adapter = reach(HUGGINGFACE, hub.endpoint, token=TOKEN)

    with pytest.raises(error) as caught:
        adapter.open_xet(adapter.resolve("acme/xet", None), wanted(content))
    assert TOKEN not in f"{caught.value} {caught.value.hint}"


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

    with pytest.raises(errors.Stalled):
        stream(cas, content, stall=1.0)


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


def test_the_address_of_a_pin_is_quoted_and_found(hub) -> None:
    adapter = reach(HUGGINGFACE, hub.endpoint, token=TOKEN)

    with pytest.raises(errors.PathNotFound):
        adapter.open_xet(Pin(repository="acme/xet", revision="main", commit=None), Wanted(path="a b#%20+&.txt", size=1))
