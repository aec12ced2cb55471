"""A kept connection: the next request over it is written, and its answer read, as over a fresh one."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field

import pytest
from fill_bed import TOKEN
from hub_kinds import http_settings
from raw_server import head

from provision.errors import AccessDenied, ConnectionCut, ProvisionError, Stalled
from provision.hubs import Location
from provision.hubs.http import Http, Wanted

DATA = b"0123456789"
KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + DATA
WANTED = Wanted(path="a.bin", size=10)


@dataclass
class Keeper:
    """A server that answers request after request on each connection; an empty answer closes it."""

    answers: list[bytes]
    heads: list[str] = field(default_factory=list)
    connections: int = 0

    def __enter__(self):
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _run(self):
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                while self._answer(connection):
                    pass

    def _answer(self, connection):
        asked = b""
        while b"\r\n\r\n" not in asked:
            part = connection.recv(65536)
            if not part:
                return False
            asked += part
        self.heads.append(asked.decode("latin-1"))
        answer = self.answers.pop(0)
        connection.sendall(answer)
        return bool(answer) and b"close" not in answer


def at(server):
    return Location(url=f"{server.address}/a%20b.bin?x=1", headers=(("Authorization", f"Bearer {TOKEN}"),))


def outcome(http, server, wanted=WANTED):
    """The bytes, or the kind of error."""
    try:
        return http.read(at(server), wanted)
    except ProvisionError as error:
        return type(error)


def test_files_that_follow_each_other_share_a_connection():
    with Keeper([KEPT] * 5) as server:
        http = Http(http_settings())
        assert [outcome(http, server) for _ in range(5)] == [DATA] * 5
    assert server.connections == 1


@pytest.mark.parametrize("wanted", [WANTED, Wanted(path="a.bin", size=10, start=2, end=5)], ids=["whole", "part"])
def test_what_is_asked_over_it_is_what_is_asked_over_a_fresh_one(wanted):
    with Keeper([KEPT] * 2) as server:
        http = Http(http_settings())
        assert [outcome(http, server, wanted) for _ in range(2)] == [DATA[wanted.start : wanted.until]] * 2
    fresh, kept = ([line.lower() for line in told.rstrip().split("\r\n")] for told in server.heads)
    assert fresh[0] == kept[0] == "get /a%20b.bin?x=1 http/1.1"
    assert sorted(fresh) == sorted(kept)


ODD = {
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n",
    "chunked, with a length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"a\r\n0123456789\r\n0\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 10\r\n\r\n" + DATA,
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 10\n\n" + DATA,
    "an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n" + KEPT,
    "an old server": b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\nX: close\r\n\r\n" + DATA,
    "no length": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + DATA,
    "one length twice": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 10\r\n\r\n" + DATA,
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 20\r\nX: close\r\n\r\n" + DATA,
    "a length below zero": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\nX: close\r\n\r\n" + DATA,
    "another size": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX: close\r\n\r\n" + DATA,
    "any case, any blanks": b"HTTP/1.1 200\r\ncontent-LENGTH:10 \r\n\r\n" + DATA,
    "a line without a name": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nodd\r\n\r\n" + DATA,
    "no content": b"HTTP/1.1 204 No Content\r\nContent-Length: 10\r\nX: close\r\n\r\n" + DATA,
    "no HTTP": b"220 close\r\n",
    "a refusal": head("404 Not Found", Content_Length=0),
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX: close\r\n\r\n" + DATA[:4],
    "cut in its head": b"HTTP/1.1 200 OK\r\nX: close\r\nContent-",
    "a web page": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\nX: close\r\n\r\n<hi>",
    "compressed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\nX: close\r\n\r\n" + DATA,
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_an_odd_answer_means_the_same_on_a_kept_connection(answer):
    with Keeper([answer]) as server:
        fresh = outcome(Http(http_settings()), server)
    with Keeper([KEPT, answer]) as server:
        http = Http(http_settings())
        assert outcome(http, server) == DATA
        kept = outcome(http, server)
        assert server.connections == 1
    assert kept == fresh


def test_one_that_the_server_is_going_to_close_is_not_used_again():
    with Keeper([KEPT, KEPT.replace(b"\r\n\r\n", b"\r\nConnection: Close\r\n\r\n"), KEPT]) as server:
        http = Http(http_settings())
        assert [outcome(http, server) for _ in range(3)] == [DATA] * 3
    assert server.connections == 2


def test_one_that_the_server_has_closed_is_replaced_without_a_word():
    with Keeper([KEPT.replace(b"OK", b"close"), KEPT]) as server:
        http = Http(http_settings())
        assert [outcome(http, server) for _ in range(2)] == [DATA] * 2
    assert server.connections == 2


@pytest.mark.parametrize(("answer", "kind"), [(b"HTTP/1.1 200", Stalled), (b"", ConnectionCut)], ids=["silent", "cut"])
def test_one_that_fails_is_an_error_of_ours_and_not_used_again(answer, kind):
    with Keeper([KEPT, answer, KEPT]) as server:
        http = Http(http_settings(stall=0.3))
        assert [outcome(http, server) for _ in range(3)] == [DATA, kind, DATA]
    assert server.connections == 2


def test_a_token_of_several_lines_is_refused_before_anything_is_sent():
    with Keeper([KEPT]) as server:
        http = Http(http_settings())
        assert outcome(http, server) == DATA
        with pytest.raises(AccessDenied) as raised:
            http.read(Location(url=f"{server.address}/a", headers=(("Authorization", "a\r\nX: b"),)), WANTED)
    assert "X: b" not in str(raised.value)
    assert len(server.heads) == 1
