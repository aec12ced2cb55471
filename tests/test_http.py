"""Bytes over HTTP, below any hub: what an answer means, whose token goes where, proxies, certificates, odd servers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime, formatdate

import pytest
from fill_bed import NOW, PLAIN, SMALL, TOKEN, build, content, file_of
from hub_kinds import HUGGINGFACE, http_settings, reach
from hypothesis import given
from hypothesis import strategies as st
from misbehaving_hub import MisbehavingHub
from raw_server import HOLD, RESET, RawServer, head

from provision.errors import (
    AccessDenied,
    ConnectionCut,
    HubRefused,
    HubUnavailable,
    NotAHub,
    PathNotFound,
    RateLimited,
    SizeMismatch,
    Stalled,
    Unreachable,
)
from provision.hubs import Location, Pin
from provision.hubs.answers import retry_after, transient
from provision.hubs.http import REDIRECT_LIMIT, Http, Wanted
from provision.serve import Folder, Settings

DATA = b"0123456789"
OK = head("200 OK", Content_Length=10) + DATA
WANTED = Wanted(path="a.bin", size=10)
MIDDLE = replace(WANTED, start=3, end=6)


def http(**settings):
    return Http(http_settings(**{"stall": 5.0, **settings}))


def read(server, wanted=WANTED, **settings):
    location = Location(url=f"{server.address}/a.bin", headers=(("Authorization", f"Bearer {TOKEN}"),))
    return http(**settings).read(location, wanted)


def refused(kind, *answers, wanted=WANTED, **settings):
    """The error that these answers are, and that it says what to do."""
    with RawServer(*answers) as server, pytest.raises((HubRefused, HubUnavailable, SizeMismatch)) as raised:
        read(server, wanted, **settings)
    assert type(raised.value) is kind
    assert raised.value.hint
    assert TOKEN not in f"{raised.value} {raised.value.hint}"
    return raised.value


RETRY_AFTER = {
    "0": 0.0,
    "7": 7.0,
    " 120 ": 120.0,
    "999999999999999": 999_999_999.0,
    formatdate(NOW + 90, usegmt=True): 90.0,
    formatdate(NOW - 90, usegmt=True): 0.0,
    datetime.fromtimestamp(NOW + 90, UTC).strftime("%A, %d-%b-%y %H:%M:%S GMT"): 90.0,
    datetime.fromtimestamp(NOW + 90, UTC).strftime("%a %b %e %H:%M:%S %Y"): 90.0,
    format_datetime(datetime.fromtimestamp(NOW + 90, UTC)): 90.0,
    "": None,
    "-5": None,
    "1.5": None,
    "soon": None,
    "Sun, 99 Nov 2026 99:99:99 GMT": None,
    "Mon, 01 Jan 99999999999999999999 00:00:00 GMT": None,
    "Mon, 01 Jan 2020 00:00:00 +99999999999999": None,
    "Mon, 01 Jan 0001 00:00:00 +2359": 0.0,
}


@pytest.mark.parametrize(("text", "seconds"), RETRY_AFTER.items(), ids=RETRY_AFTER)
def test_retry_after_is_a_number_or_any_of_the_three_dates_of_rfc_9110(text, seconds):
    assert retry_after({"Retry-After": text}, NOW) == seconds


def test_retry_after_is_the_same_in_every_time_zone(monkeypatch):
    import time

    asctime = datetime.fromtimestamp(NOW + 90, UTC).strftime("%a %b %e %H:%M:%S %Y")
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        assert retry_after({"Retry-After": asctime}, NOW) == 90.0
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.text() | st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ [-+]?\w+"))
def test_no_retry_after_is_a_fault_of_ours(text):
    seconds = retry_after({"Retry-After": text}, NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"RateLimit": '"api";r=0;t=55'}, 55.0),
        ({"RateLimit": '"api";r=12;t=55'}, None),
        ({"RateLimit": '"api";r=0;t=55', "Retry-After": "7"}, 7.0),
        ({"RateLimit": "nonsense"}, None),
    ],
)
def test_a_spent_rate_limit_says_when_it_is_renewed(headers, seconds):
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [(429, {}, RateLimited), (503, {"Retry-After": "1"}, RateLimited), (503, {}, Unreachable), (500, {}, Unreachable)],
)
def test_a_status_that_may_pass(status, headers, kind):
    assert type(transient(status, headers, "hub", NOW)) is kind


def part(content_range, body=DATA[3:6], **headers):
    return head("206 Partial Content", Content_Length=len(body), Content_Range=content_range, **headers) + body


@pytest.mark.parametrize(
    "answer",
    [
        part("bytes 3-5/10"),
        part("BYTES 3-5/10"),
        part("bytes 3-5/*"),
        part("bytes 0-5/10", DATA[:6]),
        OK,
        head("200 OK", Transfer_Encoding="chunked") + b"4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n",
        head("200 OK") + DATA,
        head("200 OK", Content_Length=10, Content_Encoding="identity") + DATA,
    ],
    ids=["exact", "loud", "no total", "from before", "whole", "chunked", "until close", "identity"],
)
def test_a_part_is_found_in_whatever_holds_it(answer):
    with RawServer(answer) as server:
        assert read(server, MIDDLE) == DATA[3:6]
    assert "Range: bytes=3-5" in server.log[0]
    assert "Accept-Encoding: identity" in server.log[0]


@pytest.mark.parametrize(
    ("content_range", "kind"),
    [
        ("bytes 4-6/10", ConnectionCut),
        ("bytes 0-2/10", ConnectionCut),
        ("bytes */10", ConnectionCut),
        ("bytes 3-x/10", ConnectionCut),
        ("3-5/10", ConnectionCut),
        ("", ConnectionCut),
        ("bytes 0-5/10", ConnectionCut),  # three bytes came
        ("bytes 3-9/10", ConnectionCut),
        ("bytes 3-4/10", ConnectionCut),
        ("bytes 5-3/10", ConnectionCut),
        ("bytes 3-5/11", SizeMismatch),
        ("bytes 3-5/9999999999999999999999", ConnectionCut),
    ],
)
def test_a_part_that_is_not_the_one_asked_for_is_refused(content_range, kind):
    refused(kind, part(content_range), wanted=MIDDLE)


def test_a_server_that_refuses_ranges_is_asked_for_all_of_it():
    with RawServer(head("416 Range Not Satisfiable", Content_Length=0), OK) as server:
        assert read(server, MIDDLE) == DATA[3:6]
    assert ["Range:" in asked for asked in server.log] == [True, False]


ODD = {
    "nothing": (b"", ConnectionCut),
    "a reset": (RESET, ConnectionCut),
    "garbage": (b"SSH-2.0-OpenSSH_9.6\r\n", ConnectionCut),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Le", ConnectionCut),
    "half a body": (OK[:-5], ConnectionCut),
    "a reset in the body": (OK[:-5] + RESET, ConnectionCut),
    "a broken chunk": (head("200 OK", Transfer_Encoding="chunked") + b"xyz\r\n", ConnectionCut),
    "half a chunk": (head("200 OK", Transfer_Encoding="chunked") + b"a\r\n01234", ConnectionCut),
    "a head without end": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n", ConnectionCut),
    "a line without end": (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", ConnectionCut),
    "two lengths": (head("200 OK", Content_Length="10, 11") + DATA, ConnectionCut),
    "another length": (head("200 OK", Content_Length=11) + DATA, SizeMismatch),
    "no content": (head("204 No Content"), HubRefused),
    "compressed": (head("200 OK", Content_Length=10, Content_Encoding="gzip") + DATA, NotAHub),
    "a page": (head("200 OK", Content_Length=5, Content_Type="text/html") + b"<htm>", NotAHub),
    "a proxy's own refusal": (head("407 Proxy Authentication Required", Content_Length=0), HubRefused),
}


@pytest.mark.parametrize(("answer", "kind"), ODD.values(), ids=ODD)
def test_an_odd_answer_is_one_error_with_a_way_out(answer, kind):
    refused(kind, answer)


@pytest.mark.parametrize("answer", [HOLD, b"HTTP/1.1 200" + HOLD, OK[:-3] + HOLD], ids=["mute", "head", "body"])
def test_silence_is_given_up(answer):
    refused(Stalled, answer, stall=0.3)


REFUSED = {
    "too long": (head("200 OK", Content_Length=10_000_000), SizeMismatch),
    "compressed": (head("200 OK", Content_Length=10, Content_Encoding="gzip"), NotAHub),
    "not there": (head("404 Not Found", Content_Length=10), PathNotFound),
    "later": (head("503 Service Unavailable", Content_Length=10), Unreachable),
    "of another file": (head("416 Range Not Satisfiable", Content_Length=10, Content_Range="bytes */9"), SizeMismatch),
    "elsewhere": (head("302 Found", Content_Length=10_000_000, Location="ftp://x/"), NotAHub),
}


@pytest.mark.parametrize(("answer", "kind"), REFUSED.values(), ids=REFUSED)
def test_a_refused_answer_is_left_at_once_and_not_when_its_error_is_forgotten(answer, kind):
    with RawServer(answer + HOLD) as server:
        with pytest.raises(kind) as raised:
            read(server, MIDDLE)
        assert server.left.wait(4)
    assert raised.value


def test_more_than_was_announced_is_not_read():
    with RawServer(OK + b"surplus") as server:
        assert read(server) == DATA


def test_a_web_page_that_was_asked_for_is_a_file():
    page = head("200 OK", Content_Length=10, Content_Type="text/html") + DATA
    with RawServer(page) as server:
        assert read(server, replace(WANTED, path="docs/index.html")) == DATA


def test_the_token_does_not_follow_to_another_origin():
    with RawServer(OK) as other, RawServer(head("302 Found", Location=f"{other.address}/b", Content_Length=0)) as home:
        assert read(home) == DATA
    assert f"Authorization: Bearer {TOKEN}" in home.log[0]
    assert TOKEN not in other.log[0]


def test_the_token_follows_within_its_origin():
    with RawServer(head("307 Temporary Redirect", Location="/b.bin", Content_Length=0), OK) as home:
        assert read(home) == DATA
    assert [asked.split()[1] for asked in home.log] == ["/a.bin", "/b.bin"]
    assert all(TOKEN in asked for asked in home.log)


@pytest.mark.parametrize("location", ["", "/a.bin", "ftp://x/", "http://[::1", "http://x:99999/", "data:,0123456789"])
def test_a_redirect_that_leads_nowhere_is_refused(location):
    refused(NotAHub, head("302 Found", Location=location, Content_Length=0))


def test_a_chain_of_redirects_ends():
    hops = [head("302 Found", Location=f"/{n}", Content_Length=0) for n in range(50)]
    with RawServer(*hops) as server, pytest.raises(NotAHub, match="circle"):
        read(server)
    assert len(server.log) == REDIRECT_LIMIT + 1


@pytest.mark.parametrize("url", ["http://[::1", "http://127.0.0.1:99999/", "http://127.0.0.1:x/", "http:///a", "a.bin"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises((NotAHub, Unreachable)) as raised:
        http(connect=1.0).read(Location(url=url), WANTED)
    assert raised.value.hint


@pytest.mark.parametrize("token", ["two\nlines", "schlüssel\u2603"])
def test_a_token_that_no_header_can_carry_is_not_shown(token):
    location = Location(url="http://127.0.0.1:9/", headers=(("Authorization", token),))
    with RawServer(OK) as server, pytest.raises(AccessDenied) as raised:
        http().read(replace(location, url=server.address), WANTED)
    assert raised.value.__cause__ is None
    assert token not in f"{raised.value!r} {raised.value.hint} {location!r}"


def test_one_connection_to_each_host_serves_file_after_file(tmp_path):
    """A handshake for each of thousands of small files would take longer than their bytes."""
    with MisbehavingHub(Folder(build(tmp_path)), Settings(token=TOKEN)) as hub:
        adapter, files = reach(HUGGINGFACE, hub.endpoint, token=TOKEN), http()
        pin = Pin(repository="acme/weights", revision="main", commit=None)
        for path in (SMALL, PLAIN, SMALL, PLAIN):
            wanted = Wanted(path=path, size=file_of(path).size)
            assert files.read(adapter.location(pin, path), wanted) == content(path)
    assert {place: len({ask.client for ask in hub.log if ask.place == place}) for place in ("hub", "cdn")} == {
        "hub": 1,
        "cdn": 1,
    }
