"""The second origin: signed addresses, ranges, and what happens when the folder changes underneath."""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from hub_folder import LARGE, NAME, ask, build

from provision.serve import Folder, Settings
from provision.serve.server import Binding, Server


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def place(tmp_path):
    return build(tmp_path / "served", "hf")


@pytest.fixture
def server(place, clock):
    with Server(Folder(place.parents[2]), Settings(address_lifetime=60), clock=clock) as server:
        yield server


@pytest.fixture
def address(server):
    return ask(f"{server.endpoint}/{NAME}/resolve/main/{LARGE}").headers["Location"]


def test_an_address_is_honoured_until_it_expires(address, clock):
    assert ask(address).status == 200
    clock.now += 59
    assert ask(address).status == 200
    clock.now += 1
    late = ask(address)
    assert (late.status, late.headers["Content-Type"]) == (403, "application/xml")
    assert b"<Code>AccessDenied</Code>" in late.body


def test_an_address_that_was_tampered_with_is_refused(address):
    path = address.partition("?")[0]
    later = address.replace("Expires=1000060", "Expires=1999999")
    for tampered in (later, path, path + "?Expires=never&Signature=%C3%A9", address.replace("/hf/", "/modelscope/")):
        refused = ask(tampered)
        assert refused.status == 403, tampered
        assert b"<Code>SignatureDoesNotMatch</Code>" in refused.body
    assert later != address


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [("bytes=0-0", 0, 1), ("bytes=8-1048583", 8, 1048584), ("bytes=100-", 100, None), ("bytes=-7", -7, None)],
)
def test_a_range_is_exactly_the_asked_bytes(place, address, wanted, start, stop):
    content = (place / LARGE).read_bytes()
    part = ask(address, Range=wanted)
    assert (part.status, part.body) == (206, content[start:stop])
    first = start if start >= 0 else len(content) + start
    assert part.headers["Content-Range"] == f"bytes {first}-{first + len(part.body) - 1}/{len(content)}"


def test_a_range_past_the_end_is_416_and_tells_the_size(place, address):
    size = (place / LARGE).stat().st_size
    past = ask(address, Range=f"bytes={size}-")
    assert (past.status, past.headers["Content-Range"]) == (416, f"bytes */{size}")


def test_a_range_of_another_version_is_answered_with_the_whole(place, address):
    content = (place / LARGE).read_bytes()
    etag = ask(address, "HEAD").headers["ETag"]
    assert ask(address, Range="bytes=5-", If_Range=etag).status == 206
    assert ask(address, Range="bytes=5-", If_Range='"other"').body == content


def test_head_tells_size_and_identity_without_a_body(place, address):
    head = ask(address, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str((place / LARGE).stat().st_size)
    assert head.headers["Accept-Ranges"] == "bytes"
    assert head.headers["ETag"].strip('"') == address.partition("?")[0].rpartition("/")[2]


def test_an_address_names_bytes_and_never_gives_newer_ones(place, address):
    (place / LARGE).write_bytes(b"newer")
    gone = ask(address)
    assert gone.status == 404
    assert b"<Code>NoSuchKey</Code>" in gone.body


def test_redirects_name_the_host_that_the_client_used_unless_told_otherwise(place, server):
    port = server.endpoint.rpartition(":")[2]
    by_name = ask(f"http://localhost:{port}/{NAME}/resolve/main/{LARGE}").headers["Location"]
    assert by_name.startswith("http://localhost:")
    with Server(Folder(place.parents[2]), binding=Binding(cdn_name="localhost")) as elsewhere:
        location = ask(f"{elsewhere.endpoint}/{NAME}/resolve/main/{LARGE}").headers["Location"]
        assert location.startswith(elsewhere.cdn_endpoint)
        assert elsewhere.cdn_endpoint.startswith("http://localhost:")
        assert ask(location).status == 200


def test_an_application_can_be_wrapped_while_it_serves(server, address):
    honest = server.cdn

    async def flipped(scope, receive, send):
        async def sending(message):
            if message["type"] == "http.response.body":
                message = {**message, "body": message["body"][:-1]}
            await send(message)

        await honest(scope, receive, sending if scope["method"] == "GET" else send)

    server.cdn = flipped
    with pytest.raises(http.client.IncompleteRead):
        ask(address)
    server.cdn = honest
    assert ask(address).status == 200


def test_a_server_ends_quietly_though_a_client_hangs_on(place, caplog):
    async def stall(_scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    with Server(Folder(place.parents[2])) as server:
        server.hub = stall
        hanging = socket.create_connection(("127.0.0.1", urlsplit(server.endpoint).port), timeout=20)
        hanging.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        told = b""
        while not told.endswith(b"half"):
            told += hanging.recv(1000)
    with hanging:
        assert hanging.recv(1000) == b""
    assert caplog.messages == []
