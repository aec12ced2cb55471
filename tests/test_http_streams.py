"""Streams: bytes of a body, read into the reader's own buffer, and what becomes of the connection."""

from __future__ import annotations

import ctypes
import mmap
import tracemalloc
from contextlib import closing
from dataclasses import replace

import pytest
from fill_bed import BIG, NAME, build, content
from hub_kinds import HUGGINGFACE, http_settings, reach
from misbehaving_hub import MisbehavingHub
from raw_server import DRIP, FLOOD, HOLD, RESET, RawServer, head

from provision.buffer import new_buffer
from provision.errors import ConnectionCut, Stalled
from provision.hubs import Location, Pace
from provision.hubs.http import Http, Wanted
from provision.serve import Folder

DATA = b"0123456789"
WANTED = Wanted(path="a.bin", size=10)
OK = head("200 OK", Content_Length=10) + DATA
CHUNKED = head("200 OK", Transfer_Encoding="chunked")
PART = "206 Partial Content"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"


def opened(server, wanted=WANTED, pace=None, **settings):
    http = Http(http_settings(**{"stall": 5.0, **settings}))
    return closing(http.open(Location(url=f"{server.address}/a.bin"), wanted, pace))


def read(stream, size=4096):
    """All that comes, through one buffer of `size` bytes."""
    buffer, got = memoryview(bytearray(size)), b""
    while count := stream.read_into(buffer):
        got += buffer[:count]
    return got


@pytest.mark.parametrize("size", [1, 3, 10, 4096])
@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (OK, 10),
        (CHUNKED + b"4\r\n0123\r\n6;x=y\r\n456789\r\n0\r\nT: 1\r\n\r\n", None),
        (head("200 OK") + DATA, None),
        (head(PART, Content_Range="bytes 0-9/10", Transfer_Encoding="chunked") + b"a\r\n0123456789\r\n0\r\n\r\n", 10),
        (head(PART, Content_Range="bytes 0-9/10") + DATA + b"surplus", 10),
        (OK + b"surplus", 10),
    ],
    ids=["length", "chunked", "until close", "chunked part", "part until close", "surplus"],
)
def test_a_body_ends_where_it_was_announced_to_end(answer, end, size):
    with RawServer(answer) as server, opened(server) as stream:
        assert (stream.start, stream.end) == (0, end)
        assert read(stream, size) == DATA
        assert stream.read_into(memoryview(bytearray(1))) == 0


@pytest.mark.parametrize(
    "answer",
    [
        OK[:-1],
        OK[:-1] + RESET,
        CHUNKED + b"a\r\n01234",
        CHUNKED + b"5\r\n01234\r\n",
        head(PART, Content_Range="bytes 0-9/10") + DATA[:-1],
        head(PART, Content_Range="bytes 0-9/10", Transfer_Encoding="chunked") + b"5\r\n01234\r\n0\r\n\r\n",
    ],
    ids=["length", "reset", "in a chunk", "between chunks", "part until close", "chunked part"],
)
@pytest.mark.parametrize("size", [3, 4096])
def test_a_short_body_is_a_cut_connection_and_not_an_end(answer, size):
    with RawServer(answer) as server, opened(server) as stream, pytest.raises(ConnectionCut, match=r"127\.0\.0\.1"):
        read(stream, size)


def test_what_came_before_a_cut_is_given():
    with RawServer(OK[:-5]) as server, opened(server) as stream:
        buffer = memoryview(bytearray(10))
        assert bytes(buffer[: stream.read_into(buffer)]) == DATA[:5]
        with pytest.raises(ConnectionCut):
            stream.read_into(buffer)


def test_a_part_that_ends_early_says_where():
    """As servers do that cap their parts."""
    capped = head(PART, Content_Range="bytes 3-5/10", Content_Length=3) + DATA[3:6]
    with RawServer(capped) as server, opened(server, replace(WANTED, start=3)) as stream:
        assert (stream.start, stream.end, read(stream)) == (3, 6, DATA[3:6])


@pytest.mark.parametrize(
    ("told", "length"), [("3-9/10", 7), ("3-5/10", 2), ("3-4/10", 3), ("2-5/10", 3), ("4-5/10", 2)]
)
def test_a_part_of_other_bytes_than_were_asked_for_is_refused_unread(told, length):
    answer = head(PART, Content_Range=f"bytes {told}", Content_Length=length) + HOLD
    with RawServer(answer) as server, pytest.raises(ConnectionCut, match="bytes"):
        opened(server, replace(WANTED, start=3, end=6))


@pytest.mark.parametrize("answer", [OK[:-3], CHUNKED + b"a\r\n0123456"], ids=["length", "chunked"])
def test_bytes_are_given_when_they_are_there_and_not_when_the_buffer_is_full(answer):
    with RawServer(answer + HOLD) as server, opened(server) as stream:
        assert stream.read_into(memoryview(bytearray(10))) == 7


def test_a_silence_longer_than_the_window_of_the_pace_is_a_stall():
    pace = Pace(slowest=1, window=0.2)
    with RawServer(OK[:-3] + HOLD) as server, opened(server, pace=pace, stall=60.0) as stream, pytest.raises(Stalled):
        read(stream)


@pytest.mark.parametrize(("slowest", "comes"), [(1, True), (100_000, False)])
def test_a_stream_keeps_the_pace_that_is_asked_of_it(slowest, comes):
    """Fifty bytes a second or so."""
    dripping = head("200 OK", Content_Length=30) + DRIP + b"x"
    with (
        RawServer(dripping) as server,
        opened(server, Wanted(path="a", size=30), Pace(slowest=slowest, window=0.2)) as it,
    ):
        if comes:
            assert len(read(it)) == 30
        else:
            with pytest.raises(Stalled, match="100,000 bytes a second"):
                read(it)


def test_time_that_the_reader_takes_for_itself_does_not_slow_the_stream():
    now = [0.0]
    with RawServer(OK) as server, opened(server, clock=lambda: now[0], pace=Pace(slowest=1000, window=1)) as stream:
        for _ in DATA:
            assert stream.read_into(memoryview(bytearray(1))) == 1
            now[0] += 10_000


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with MisbehavingHub(Folder(build(tmp_path_factory.mktemp("hub")))) as hub:
        yield hub


def test_a_connection_that_was_read_to_its_end_serves_the_next_range(hub):
    http = Http(http_settings())
    location = reach(HUGGINGFACE, hub.endpoint).location(hub_pin(hub), BIG)
    hub.log.clear()
    for start in range(0, 50_000, 10_000):
        wanted = Wanted(path=BIG, size=len(content(BIG)), start=start, end=start + 10_000)
        with closing(http.open(location, wanted)) as stream:
            buffer = memoryview(bytearray(10_000))
            while stream.read_into(buffer):
                pass
    assert len(hub.asked("", "cdn")) == 5
    assert len({request.client for request in hub.asked("", "cdn")}) == 1


def test_a_connection_that_was_left_early_does_not(hub):
    http = Http(http_settings())
    location = reach(HUGGINGFACE, hub.endpoint).location(hub_pin(hub), BIG)
    hub.log.clear()
    for _ in range(3):
        with closing(http.open(location, Wanted(path=BIG, size=len(content(BIG))))) as stream:
            assert stream.read_into(memoryview(bytearray(10)))
    assert len({request.client for request in hub.asked("", "cdn")}) == 3


def test_reading_allocates_nothing_that_grows_with_what_is_read():
    size = 8 * 1024 * 1024
    buffer = memoryview(bytearray(1024 * 1024))
    answer = head("200 OK", Content_Length=size) + bytes(size)
    with RawServer(answer) as server, opened(server, Wanted(path="a.bin", size=size)) as stream:
        stream.read_into(buffer)
        tracemalloc.start()
        try:
            while stream.read_into(buffer):
                pass
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 16 * 1024


@pytest.mark.parametrize("size", [0, 1, 4096, 1024 * 1024])
def test_a_large_buffer_begins_where_a_page_has_begun_already(size):
    buffer = new_buffer(size)
    assert (len(buffer), buffer.readonly, bytes(buffer[:9])) == (size, False, bytes(min(size, 9)))
    if size >= 256 * 1024:
        assert ctypes.addressof(ctypes.c_char.from_buffer(buffer)) % mmap.PAGESIZE == 64


def hub_pin(hub):
    return reach(HUGGINGFACE, hub.endpoint).resolve(NAME, None)


def test_a_chunk_of_less_than_nothing_is_an_error_of_the_line():
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n" + b"x" * 9000
    with RawServer(answer) as server, opened(server) as body, pytest.raises(ConnectionCut):
        list(body.chunks())


def test_a_connection_on_which_something_was_odd_serves_nobody_else():
    """What is left on it could be taken for the answer to the next question."""
    odd = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n012\r\nzz\r\n"
    honest = head("200 OK", Content_Length=10) + DATA
    with RawServer(odd, honest) as server:
        http, location = Http(http_settings()), Location(url=server.address)
        with closing(http.open(location, WANTED)) as body, pytest.raises(ConnectionCut):
            list(body.chunks())
        assert http.read(location, WANTED) == DATA, "by the second connection, whose answer it is"


@pytest.mark.parametrize("before", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n", 2 * HINTS])
def test_what_a_server_says_before_its_answer_is_passed_over(before):
    """Whatever it is, even if nobody asked for it (RFC 9110 §15.2)."""
    with RawServer(before + OK) as server, opened(server) as stream:
        assert read(stream) == DATA


def test_a_server_that_says_nothing_else_is_not_waited_for():
    with RawServer(FLOOD + HINTS) as server, pytest.raises(Stalled):
        opened(server, answer=0.3)


def test_more_than_was_announced_is_never_the_answer_to_another_question():
    """Here it came with the headers, and lies in the reader's own buffer."""
    odd = (
        head("200 OK", Connection="keep-alive", Content_Length=10) + DATA + b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n"
    )
    other = head("200 OK", Content_Length=10) + DATA[::-1]
    with RawServer(odd + HOLD, other) as server:
        http, location = Http(http_settings()), Location(url=f"{server.address}/a.bin")
        assert http.read(location, WANTED) == DATA
        assert http.read(location, WANTED) == DATA[::-1], "by a connection of its own"
