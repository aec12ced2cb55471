"""Bodies of files: what is taken for a web page, and how long an answer may take."""

from __future__ import annotations

import gzip
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest
from hub_kinds import KINDS, http_settings, reach
from raw_server import DRIP, FLOOD, RawServer, head

from provision.errors import ConnectionCut, NotAHub, Stalled
from provision.hubs import Location
from provision.hubs.http import Http, Wanted

DATA = b"0123456789"


def read(server, wanted, **settings):
    return Http(http_settings(**settings)).read(Location(url=f"{server.address}/a.bin"), wanted)


PAGE = head("200 OK", Content_Type="text/html")  # ends with the connection: no length is told


@pytest.mark.parametrize("path", ["README.md", "notes.txt", "config.json", "LICENSE", "docs/index.html"])
def test_text_that_a_server_takes_for_a_page_is_left_to_its_digest(path):
    with RawServer(PAGE + DATA) as server:
        assert read(server, Wanted(path=path, size=10)) == DATA


@pytest.mark.parametrize("path", ["a.safetensors", "a.gguf", "a.bin", "v1.0/a.pt"])
def test_a_page_of_unknown_length_is_no_model(path):
    with RawServer(PAGE + DATA) as server, pytest.raises(NotAHub):
        read(server, Wanted(path=path, size=10))


def test_a_page_of_another_length_is_no_file_at_all():
    told = head("200 OK", Content_Type="text/html", Content_Length=4)
    with RawServer(told + b"<htm") as server, pytest.raises(NotAHub):
        read(server, Wanted(path="README.md", size=10))


CHUNKED = head("200 OK", Transfer_Encoding="chunked")
ENDLESS = {
    "100 Continue": DRIP + b"HTTP/1.1 100 Continue\r\n\r\n",
    "100 Continue, fast": FLOOD + b"HTTP/1.1 100 Continue\r\n\r\n",
    "a header": b"HTTP/1.1 200 OK\r\nX: " + DRIP + b"y",
    "the body": head("200 OK", Content_Length=1000) + DRIP + b" ",
    "a chunk's extension": CHUNKED + b"1;" + DRIP + b"y",
    "trailers": CHUNKED + b"1\r\nx\r\n0\r\n" + DRIP + b"T: 1\r\n",
    "trailers, fast": CHUNKED + b"1\r\nx\r\n0\r\n" + FLOOD + b"T: 1\r\n",
}
REDIRECT = {"a redirect's body": head("302 Found", Location="/x", Content_Length=60_000) + DRIP + b"x"}
each_hub = pytest.mark.parametrize("kind", KINDS, ids=str)


def ends_in_time(limit, work):
    """The error of `work`, which must have ended long before its peer would have."""
    pool = ThreadPoolExecutor(1)
    outcome = pool.submit(work)
    pool.shutdown(wait=False)  # a work that does not end is a failure here, not a test without end
    with pytest.raises((Stalled, ConnectionCut, NotAHub)) as raised:
        outcome.result(limit)
    return raised.value


@pytest.mark.parametrize("answer", (ENDLESS | REDIRECT).values(), ids=(ENDLESS | REDIRECT).keys())
def test_no_read_of_a_file_outlasts_its_bound_however_often_something_comes(answer):
    with RawServer(answer) as server:
        wanted = Wanted(path="a.bin", size=1000)
        error = ends_in_time(5, lambda: read(server, wanted, stall=0.4, answer=1.0, call=1.0))
    assert type(error) is Stalled


@each_hub
@pytest.mark.parametrize("answer", ENDLESS.values(), ids=ENDLESS.keys())
def test_no_question_to_a_hub_outlasts_its_bound_however_often_something_comes(kind, answer):
    with RawServer(answer) as server:
        hub = reach(kind, server.address, stall=0.4, call=1.0)
        error = ends_in_time(5, lambda: hub.resolve("acme/one", None))
    assert type(error) in {Stalled, ConnectionCut}  # some clients count trailers themselves


@each_hub
def test_the_body_of_a_redirect_is_not_waited_for(kind):
    with RawServer(REDIRECT["a redirect's body"]) as server:
        hub = reach(kind, server.address, stall=0.4, call=5.0)
        assert type(ends_in_time(5, lambda: hub.resolve("acme/one", None))) is NotAHub  # a circle


@pytest.mark.parametrize(("slowest", "stalls"), [(1024, True), (1, False)])
def test_a_stream_that_hardly_moves_is_given_up(slowest, stalls):
    """Some fifty bytes a second; the rest is left when enough has come."""
    with RawServer(head("200 OK", Content_Length=1000) + DRIP + b"x") as server:
        settings = http_settings(stall=0.2, slowest=slowest)
        body = Http(settings).open(Location(url=server.address), Wanted(path="a.bin", size=1000))
        chunks, came = body.chunks(), 0
        with pytest.raises(Stalled, match="bytes a second") if stalls else nullcontext():
            while came <= 60:
                came += len(next(chunks))
        body.close()


def test_time_that_the_reader_takes_for_itself_is_not_the_hubs():
    now = [0.0]
    with RawServer(head("200 OK", Content_Length=20) + DATA + DATA) as server:
        settings = http_settings(clock=lambda: now[0])
        body = Http(settings).open(Location(url=server.address), Wanted(path="a.bin", size=20))
        got = b""
        for chunk in body.chunks():
            got += chunk
            now[0] += 10_000
        body.close()
    assert got == DATA + DATA


@each_hub
@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "deflate", "br"])
def test_an_answer_that_must_be_unpacked_is_refused_unread(kind, encoding):
    """Unpacked it may be a thousand times as large, or never begin: an empty member, and zeros without end."""
    packed = head("200 OK", Content_Type="application/json", Content_Encoding=encoding) + gzip.compress(b"")
    with RawServer(packed + FLOOD + b"\0" * 65_536) as server:
        hub = reach(kind, server.address, call=5.0)
        error = ends_in_time(4, lambda: hub.resolve("acme/one", None))
    assert type(error) is NotAHub
    assert "compressed" in str(error)
    assert "identity" in server.log[0].lower().partition("accept-encoding:")[2].splitlines()[0]
