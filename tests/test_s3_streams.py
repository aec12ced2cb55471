"""Bytes through S3: cut anywhere, sent whole, replaced midway, too short, too long. No byte is fetched twice."""

from __future__ import annotations

import random
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from misbehaving_s3 import Reply, Rule, answers, changed, cut, silent
from s3_bed import BUCKET, Bed, bed_of_a_test, honest_server, soon  # noqa: F401 - fixtures

from provision.errors import VolumeError, VolumeTrouble
from provision.volume.s3.body import READ_SIZE
from provision.volume.s3.file import BEGINNING, S3File

MIB = 1024 * 1024
DATA = random.Random(7).randbytes(3 * MIB + 12_345)


def streamed(file: S3File, block: int = MIB) -> bytes:
    """All of it, as a full verification reads."""
    got, buffer = bytearray(), memoryview(bytearray(block))
    while count := file.read_into(len(got), buffer):
        got += buffer[:count]
    return bytes(got)


def sent(bed: Bed) -> int:
    return sum(asked.sent for asked in bed.s3.asked("a.bin", "GET"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(cuts=st.lists(st.integers(0, len(DATA)), max_size=6), block=st.sampled_from([70_000, MIB]))
def test_a_stream_that_is_cut_anywhere_goes_on_without_a_byte_twice(bed: Bed, cuts: list[int], block: int):
    bed.put("a.bin", DATA)
    bed.s3.log.clear()
    bed.s3.rules[:] = [Rule("GET", "a.bin", cut(after), times=1) for after in cuts]

    with bed.view(attempts=10) as view, view.open_file("a.bin") as file:
        assert streamed(file, block) == DATA

    assert sent(bed) == len(DATA)


def test_a_connection_that_is_reset_is_gone_on_with_where_its_bytes_ended(bed: Bed):
    bed.put("a.bin", DATA)
    bed.s3.rules[:] = [Rule("GET", "a.bin", cut(400_000, reset=True), times=4)]

    with bed.view(attempts=10) as view, view.open_file("a.bin") as file:
        assert streamed(file) == DATA

    begins = [int(one.range.removeprefix("bytes=").partition("-")[0]) for one in bed.s3.asked("a.bin", "GET")]
    assert begins == sorted(begins)


def test_progress_renews_patience_and_none_ends_it(bed: Bed):
    bed.put("a.bin", DATA)
    bed.s3.rules[:] = [Rule("GET", "a.bin", cut(READ_SIZE), times=12)]
    with bed.view(attempts=2) as view, view.open_file("a.bin") as file:
        assert streamed(file) == DATA

    bed.s3.rules[:] = [Rule("GET", "a.bin", cut(0))]
    with bed.view(attempts=3) as view, view.open_file("a.bin") as file:
        with pytest.raises(VolumeError, match="was cut; given up after 3 attempts") as caught:
            streamed(file)
        assert not caught.value.retryable  # who reads it again must not multiply our attempts


def test_a_silent_stream_is_left_and_gone_on_with(bed: Bed):
    over = threading.Event()
    bed.put("a.bin", DATA)
    bed.s3.rules[:] = [Rule("GET", "a.bin", silent(over, after=READ_SIZE), times=1)]

    with bed.view(stall=2.0) as view, view.open_file("a.bin") as file:
        assert soon(lambda: streamed(file), over) == DATA

    assert bed.s3.asked("a.bin", "GET")[1].range.startswith(f"bytes={READ_SIZE}-")


def test_a_file_comes_in_few_requests_and_a_piece_of_it_in_its_own(bed: Bed):
    bed.put("a.bin", DATA)
    with bed.view() as view, view.open_file("a.bin") as file:
        streamed(file, 64 * 1024)
        whole = len(bed.s3.asked("a.bin", "GET"))
        file.read_into(2 * MIB, memoryview(bytearray(5)))

    assert whole <= 5
    assert all("If-Match" in one.headers for one in bed.s3.asked("a.bin", "GET"))
    assert bed.s3.log[-1].range == f"bytes={2 * MIB}-{2 * MIB + 4}"


def test_a_server_without_ranges_is_read_rightly_and_told_of_once(bed: Bed):
    bed.put("a.bin", DATA)
    whole = _whole(DATA)
    bed.s3.rules[:] = [Rule("GET", "a.bin", whole)]

    with bed.view() as view, view.open_file("a.bin") as file:
        assert file.read_at(0, 8) == DATA[:8]
        assert file.read_at(2_000_000, 77) == DATA[2_000_000:2_000_077]
        assert file.read_at(len(DATA) - 3, 9) == DATA[-3:]
        before = len(bed.s3.log)
        assert streamed(file) == DATA
        assert len(bed.s3.log) == before + 1

    assert len(bed.said) == 1
    assert "does not honour ranges" in bed.said[0]


def test_a_server_without_ranges_that_breaks_is_passed_over_to_where_it_broke(bed: Bed):
    bed.put("a.bin", DATA)
    bed.s3.rules[:] = [
        Rule("GET", "a.bin", _whole(DATA, ended=2 * MIB), times=1),
        Rule("GET", "a.bin", _whole(DATA)),
    ]

    with bed.view() as view, view.open_file("a.bin") as file:
        assert streamed(file) == DATA


def _whole(data: bytes, ended: int | None = None):
    def sending(handler, reply: Reply) -> None:
        handler.begin(Reply(200, reply.headers).but(content_range=None, content_length=str(len(data))))
        handler.send(data[:ended])
        handler.close_connection = ended is not None

    return sending


def test_a_body_without_a_length_is_read_to_its_promised_end_and_no_further(bed: Bed):
    bed.put("a.bin", DATA)

    def unmeasured(extra: bytes, end: int | None = None):
        def sending(handler, reply: Reply) -> None:
            handler.begin(reply.but(content_length=None, connection="close"))
            handler.send(reply.body[:end] + extra)
            handler.close_connection = True

        return sending

    bed.s3.rules[:] = [Rule("GET", "a.bin", unmeasured(b"", 1000), times=1), Rule("GET", "a.bin", unmeasured(b""))]
    with bed.view() as view, view.open_file("a.bin") as file:
        assert streamed(file) == DATA

    bed.s3.rules[:] = [Rule("GET", "a.bin", unmeasured(b"more"))]
    with bed.view() as view, view.open_file("a.bin") as file, pytest.raises(VolumeError, match="more bytes than"):
        streamed(file)


OTHER = [
    ("bytes 1-100000/{size}", "other bytes"),
    ("bytes 0-99999999/{size}", "other bytes"),
    ("bytes 5-2/{size}", "other bytes"),
    ("nonsense", "other bytes"),
    ("bytes 0-9/{size}", "another length"),
]


@pytest.mark.parametrize(("told", "words"), OTHER)
def test_a_part_that_was_not_asked_for_is_not_taken(bed: Bed, told: str, words: str):
    bed.put("a.bin", DATA)
    wrong = changed(lambda reply: reply.but(content_range=told.format(size=len(DATA))))
    bed.s3.rules[:] = [Rule("GET", "a.bin", wrong, times=2)]
    with bed.view() as view, view.open_file("a.bin") as file:
        assert file.read_at(0, 100) == DATA[:100]

    bed.s3.rules[:] = [Rule("GET", "a.bin", wrong)]
    with bed.view() as view, view.open_file("a.bin") as file, pytest.raises(VolumeError, match=words):
        file.read_at(0, 100)


def test_a_shorter_part_than_was_asked_for_is_gone_on_from(bed: Bed):
    bed.put("a.bin", DATA)
    short = changed(
        lambda reply: Reply(206, reply.headers, reply.body[:999]).but(
            content_length="999", content_range=f"bytes 0-998/{len(DATA)}"
        )
    )
    bed.s3.rules[:] = [Rule("GET", "a.bin", short, times=1)]

    with bed.view() as view, view.open_file("a.bin") as file:
        assert streamed(file) == DATA

    assert sent(bed) == len(DATA)
    assert bed.waits == []


@pytest.mark.parametrize("ignored", [False, True], ids=["If-Match honoured", "If-Match ignored"])
def test_an_object_that_is_replaced_while_it_is_read_is_an_error_not_a_mixture(bed: Bed, ignored: object):
    bed.put("a.bin", DATA)
    other = bytes(len(DATA))

    def replaced(handler, reply: Reply) -> None:
        bed.put("a.bin", other)
        cut(500_000)(handler, reply)

    bed.s3.rules[:] = [Rule("GET", "a.bin", replaced, times=1)]
    if ignored:
        bed.s3.rules.append(Rule("GET", "a.bin", _without_conditions(other)))
    with bed.view() as view, view.open_file("a.bin") as file, pytest.raises(VolumeTrouble, match="was replaced while"):
        streamed(file)


def _without_conditions(data: bytes):
    def sending(handler, _: Reply) -> None:
        first, last = map(int, handler.asked.range.removeprefix("bytes=").split("-"))
        part = data[first : last + 1]
        told = {"ETag": '"other"', "Content-Range": f"bytes {first}-{last}/{len(data)}"}
        handler.begin(Reply(206, told | {"Content-Length": str(len(part))}))
        handler.send(part)

    return sending


@pytest.mark.parametrize("told", ["last_modified", "content_range"])
def test_a_server_without_etags_gives_a_replaced_object_away_by_time_or_size(bed: Bed, told: str):
    bed.put("a.bin", DATA)
    elsewhen = {
        "last_modified": "Thu, 01 Jan 2026 00:00:00 GMT",
        "content_range": f"bytes 0-{BEGINNING - 1}/{len(DATA) + 1}",
    }
    bed.s3.rules[:] = [
        Rule("GET", "a.bin", changed(lambda reply: reply.but(etag=None, **{told: elsewhen[told]}))),
        Rule("HEAD", "a.bin", changed(lambda reply: reply.but(etag=None))),
    ]

    with bed.view() as view, view.open_file("a.bin") as file, pytest.raises(VolumeTrouble, match="was replaced while"):
        file.read_at(0, 9)
    assert "If-Match" not in bed.s3.log[-1].headers


def test_an_object_that_is_taken_away_while_it_is_read_is_told(bed: Bed):
    bed.put("a.bin", DATA)
    with bed.view() as view, view.open_file("a.bin") as file:
        file.read_into(0, memoryview(bytearray(9)))
        bed.admin.delete_object(Bucket=BUCKET, Key="a.bin")
        with pytest.raises(VolumeTrouble, match="was replaced while"):
            file.stat()
        with pytest.raises(VolumeTrouble, match="was replaced while"):
            file.read_into(MIB, memoryview(bytearray(9)))


def test_facts_are_asked_anew_after_streaming_and_tell_a_replaced_object(bed: Bed):
    bed.put("a.bin", DATA)
    with bed.view() as view, view.open_file("a.bin") as file:
        before = file.stat()
        streamed(file)
        assert file.stat() == before
        file.read_into(0, memoryview(bytearray(9)))
        bed.put("a.bin", DATA + b"x")
        assert file.stat().st_size == len(DATA) + 1
        bed.put("a.bin", bytes(len(DATA)))
        later = {before.st_mtime_ns}
        try:
            later.add(file.stat().st_mtime_ns)
        except VolumeTrouble:  # within the same second only the ETag tells
            later.add(0)
        assert len(later) == 2


def test_many_threads_read_many_files_and_one_file(bed: Bed):
    contents = {f"{number}.bin": random.Random(number).randbytes(300_000 + number) for number in range(12)}
    for name, data in contents.items():
        bed.put(name, data)

    with bed.view(connections=4) as view, ThreadPoolExecutor(8) as pool:

        def read(name: str) -> bytes:
            with view.open_file(name) as file:
                return streamed(file, 50_000)

        assert list(pool.map(read, contents)) == list(contents.values())
        with view.open_file("3.bin") as file:

            def piece(number: int) -> bytes:
                buffer = bytearray(10_000)
                file.read_into(number * 10_000, memoryview(buffer))
                return bytes(buffer) + file.read_at(number, 5)

            data = contents["3.bin"]
            expected = [data[n * 10_000 :][:10_000] + data[n : n + 5] for n in range(30)]
            assert list(pool.map(piece, range(30))) == expected


def test_memory_does_not_grow_with_a_file(bed: Bed):
    size, block = 96 * MIB, bytes(MIB)

    def endless(handler, _reply: Reply) -> None:
        first, last = map(int, handler.asked.range.removeprefix("bytes=").split("-"))
        handler.begin(
            Reply(206, {"Content-Range": f"bytes {first}-{last}/{size}", "Content-Length": str(last + 1 - first)})
        )
        for at in range(first, last + 1, MIB):
            handler.send(block[: last + 1 - at])

    bed.put("a.bin", b"x")
    bed.s3.rules[:] = [
        Rule("HEAD", "a.bin", answers(200, content_length=str(size), last_modified="Thu, 01 Jan 2026 00:00:00 GMT")),
        Rule("GET", "a.bin", endless),
    ]
    with bed.view() as view, view.open_file("a.bin") as file:
        buffer, done = memoryview(bytearray(MIB)), 0
        done += file.read_into(done, buffer)
        tracemalloc.start()
        while count := file.read_into(done, buffer):
            done += count
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert done == size
    assert peak < 24 * MIB, "the server, which is in this process, has some of it"
