"""Ways out: TLS and whom it trusts, proxies and who needs none, IPv6, and each of them when it fails.

Bytes are read as transfer reads them, into a buffer.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from connect_proxy import ConnectProxy
from fill_bed import TOKEN
from hub_kinds import http_settings
from raw_server import DRIP, HOLD, RawServer, head
from urllib3.util.ssltransport import SSLTransport

from provision.errors import ConnectionCut, HubRefused, NotAHub, Stalled, Unreachable
from provision.hubs import Location, Pace
from provision.hubs.http import Http, Wanted
from provision.hubs.http.wire import Answer

SIZE = 3_000_001
DATA = random.Random("ways").randbytes(SIZE)
OK = head("200 OK", Content_Length=SIZE) + DATA
WANTED = Wanted(path="a.bin", size=SIZE)


def read(url, pace=None, **settings):
    """All of the file, through one buffer."""
    location = Location(url=f"{url}/a.bin", headers=(("Authorization", f"Bearer {TOKEN}"),))
    http = Http(http_settings(**{"stall": 5.0, **settings}))
    got, buffer = bytearray(), memoryview(bytearray(1024 * 1024))
    with closing(http.open(location, WANTED, pace)) as stream:
        while count := stream.read_into(buffer):
            got += buffer[:count]
    return bytes(got)


def closed_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


def test_a_port_that_nobody_listens_on_says_so():
    with pytest.raises(Unreachable, match="refused"):
        read(f"http://127.0.0.1:{closed_port()}")


def test_a_proxy_is_used_with_its_login_and_sees_where_we_want_to_go():
    with RawServer(OK) as proxy:
        proxies = {"http": f"http://me:p%40ss@127.0.0.1:{proxy.port}"}
        assert read("http://hub.invalid", proxies=proxies) == DATA
    assert proxy.log[0].startswith("GET http://hub.invalid/a.bin HTTP/1.1")
    assert "bWU6cEBzcw==" in proxy.log[0]  # me:p@ss


class KeepingProxy(BaseHTTPRequestHandler):
    """Answers in place of every host, and keeps the connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.log.append((self.client_address, self.path, self.headers["Proxy-Authorization"]))
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(self.path[-4:].encode())

    def log_message(self, *_):
        pass


def test_each_request_on_a_kept_connection_to_a_proxy_names_its_host_and_the_login():
    with ThreadingHTTPServer(("127.0.0.1", 0), KeepingProxy) as proxy:
        proxy.log, proxy.daemon_threads = [], True
        threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()
        http = Http(http_settings(proxies={"http": f"http://me:p%40ss@127.0.0.1:{proxy.server_port}"}))
        addresses = ["http://hub.invalid/here", "http://hub.invalid/also", "http://cdn.invalid/then"]
        for url in addresses:
            assert http.read(Location(url=url), Wanted(path="a.bin", size=4)) == url[-4:].encode()
        proxy.shutdown()
    assert [(asked, login) for _, asked, login in proxy.log] == [(url, "Basic bWU6cEBzcw==") for url in addresses]
    assert len({client for client, _, _ in proxy.log}) == 1


@pytest.mark.parametrize("no", ["127.0.0.1", "*", ".example,127.0.0.1"])
def test_no_proxy_is_honoured(no):
    with RawServer(OK) as server:
        assert read(server.address, proxies={"http": f"http://127.0.0.1:{closed_port()}", "no": no}) == DATA


def test_all_proxy_and_a_bare_host_are_understood():
    with RawServer(OK) as proxy:
        assert read("http://hub.invalid", proxies={"all": f"127.0.0.1:{proxy.port}"}) == DATA


@pytest.mark.parametrize("url", ["http://hub.invalid", "https://hub.invalid"])
def test_a_proxy_that_is_away_is_named_as_such(url):
    proxies = {scheme: f"http://me:secret@127.0.0.1:{closed_port()}" for scheme in ("http", "https")}
    with pytest.raises(Unreachable) as raised:
        read(url, proxies=proxies)
    assert "proxy" in f"{raised.value} {raised.value.hint}"
    assert "secret" not in f"{raised.value} {raised.value.hint}"


def test_a_proxy_that_wants_a_login_is_named_as_such():
    refusal = head("407 Proxy Authentication Required", Content_Length=0)
    with RawServer(refusal) as proxy, pytest.raises(Unreachable, match="proxy"):
        read("https://hub.invalid", proxies={"https": f"http://127.0.0.1:{proxy.port}"})
    assert proxy.log[0].startswith("CONNECT hub.invalid:443")


def test_a_proxy_of_another_kind_is_refused_at_once():
    with pytest.raises(HubRefused) as raised:
        read("http://hub.invalid", proxies={"all": "socks5://127.0.0.1:1080"})
    assert not raised.value.retryable
    assert "ALL_PROXY" in raised.value.hint


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that nobody knows, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program makes the certificate, and is not installed")
    folder = tmp_path_factory.mktemp("tls")
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    made = folder / "certificate.pem", folder / "key.pem"
    names = ["-addext", "subjectAltName=IP:127.0.0.1,IP:::1", "-out", str(made[0]), "-keyout", str(made[1])]
    subprocess.run([*words.split(), *names], check=True, capture_output=True)
    return made


@pytest.fixture
def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def test_a_ca_bundle_of_ones_own_is_believed(certificate, tls):
    with RawServer(OK, tls=tls) as server:
        assert read(server.address, ca_bundle=str(certificate[0])) == DATA


def test_a_certificate_that_nobody_vouches_for_is_not(tls):
    with RawServer(OK, tls=tls) as server, pytest.raises(Unreachable, match="self-signed certificate"):
        read(server.address)
    assert server.log == []


def test_https_does_not_go_on_without_the_s(certificate, tls):
    with RawServer(OK) as plain:
        down = head("302 Found", Location=f"{plain.address}/b", Content_Length=0)
        with RawServer(down, tls=tls) as server, pytest.raises(NotAHub, match="refused"):
            read(server.address, ca_bundle=str(certificate[0]))
    assert plain.log == []


def test_a_tunnel_through_a_proxy_hides_what_is_asked_for(certificate, tls):
    with RawServer(OK, tls=tls) as server, ConnectProxy() as proxy:
        proxies = {"https": proxy.address.replace("//", "//me:secret@")}
        assert read(server.address, ca_bundle=str(certificate[0]), proxies=proxies) == DATA
    assert [asked.split()[:2] for asked in proxy.log] == [["CONNECT", f"127.0.0.1:{server.port}"]]
    assert "bWU6c2VjcmV0" in proxy.log[0]  # me:secret
    assert TOKEN in server.log[0]
    assert TOKEN not in proxy.log[0]
    assert "Proxy-Authorization" not in server.log[0]
    assert proxy.carried > SIZE


def test_a_host_that_needs_no_proxy_is_reached_straight(certificate, tls):
    with RawServer(OK, tls=tls) as server, ConnectProxy() as proxy:
        proxies = {"https": proxy.address, "no": "127.0.0.1"}
        assert read(server.address, ca_bundle=str(certificate[0]), proxies=proxies) == DATA
    assert proxy.log == []


def test_a_proxy_does_not_make_a_certificate_good(tls):
    with RawServer(OK, tls=tls) as server, ConnectProxy() as proxy, pytest.raises(Unreachable, match="certificate"):
        read(server.address, proxies={"https": proxy.address})
    assert server.log == []


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="this machine has no IPv6")  # noqa: PTH110
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("tunnel", [False, True], ids=["straight", "proxy"])
def test_an_ipv6_address_is_an_address(certificate, tls, secure, tunnel):
    with RawServer(OK, host="::1", tls=tls if secure else None) as server, ConnectProxy() as proxy:
        proxies = {"https": proxy.address} if tunnel else {}
        assert read(server.address, ca_bundle=str(certificate[0]), proxies=proxies) == DATA
    assert "://[::1]:" in server.address
    assert bool(proxy.log) == (secure and tunnel)


def test_a_name_that_nobody_knows_says_so():
    with pytest.raises(Unreachable, match=r"hub\.invalid cannot be reached: ."):
        read("https://hub.invalid")


@contextmanager
def hanging_up(ending):
    """An address whose server ends each connection by `ending`, after the first byte of whatever comes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run():
            connection, _ = listening.accept()
            with connection:
                connection.recv(1)
                ending(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(10)


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


HANGING_UP = {
    "a reset": (reset, Unreachable),
    "an end": (lambda _: None, Unreachable),
    "nonsense": (lambda connection: connection.sendall(b"220 mail.example ESMTP\r\n"), Unreachable),
    "silence": (lambda connection: connection.recv(65536) and connection.recv(1), Stalled),
}


@pytest.mark.parametrize(("ending", "kind"), HANGING_UP.values(), ids=HANGING_UP)
def test_a_handshake_that_fails_is_no_connection(ending, kind):
    with hanging_up(ending) as address, pytest.raises((Unreachable, Stalled, ConnectionCut)) as raised:
        read(address, connect=0.5)
    assert type(raised.value) is kind
    assert raised.value.hint


def test_a_tunnel_whose_other_end_hangs_up_is_no_fault_of_the_proxy():
    with hanging_up(reset) as address, ConnectProxy() as proxy, pytest.raises(Unreachable) as raised:
        read(address, proxies={"https": proxy.address})
    assert str(raised.value).startswith("127.0.0.1:")


@contextmanager
def begun(certificate, tls, sent, wrap):
    """The answer `sent`, its headers read, by a client that `wrap` makes of a context and a socket."""
    left, right = socket.socketpair()
    context = ssl.create_default_context(cafile=str(certificate[0]))
    with tls.wrap_socket(left, server_side=True, do_handshake_on_connect=False) as server:
        handshake = threading.Thread(target=server.do_handshake)
        handshake.start()
        with wrap(context, right) as client:
            handshake.join()
            server.sendall(sent)
            answer = Answer(client, method="GET")
            answer.begin()
            yield answer
            answer.close()


def straight(context, sock):
    return context.wrap_socket(sock, server_hostname="127.0.0.1")


def in_a_tunnel(context, sock):
    """As urllib3 does within the TLS of a proxy."""
    return SSLTransport(sock, context, server_hostname="127.0.0.1")


def test_records_that_are_there_come_in_one_call(certificate, tls):
    """TLS gives 16 KiB at a time; a hash and a write for each would cost more than the rest."""
    sent, buffer = head("200 OK", Content_Length=100_000) + DATA[:100_000], memoryview(bytearray(100_000))
    with begun(certificate, tls, sent, straight) as answer:
        assert answer.take(buffer) == 100_000
        assert buffer == DATA[:100_000]


@pytest.mark.parametrize("wrap", [straight, in_a_tunnel])
@pytest.mark.parametrize("size", [20_000, 30_000], ids=["in our buffer", "in TLS"])
@pytest.mark.parametrize("surplus", [0, 1, 40_000])
def test_a_connection_is_free_when_nothing_else_has_come(certificate, tls, wrap, size, surplus):
    """The last stretch of a body is buffered where it is short, and read straight from TLS where it is not."""
    sent, buffer = head("200 OK", Content_Length=size) + DATA[: size + surplus], memoryview(bytearray(size))
    with begun(certificate, tls, sent, wrap) as answer:
        while answer.take(buffer):
            pass
        assert answer.is_read == (surplus == 0)


@pytest.mark.parametrize("status", ["200 OK", "302 Found"])
def test_more_than_was_announced_is_never_the_next_answer(certificate, tls, status):
    """TLS has received it, and keeps it where nobody sees that something is there."""
    odd = head(status, Location="/b", Connection="keep-alive", Content_Length=30_000) + DATA[:30_000]
    evil = head("200 OK", Connection="keep-alive", Content_Length=30_000) + bytes(30_000)
    honest = head("200 OK", Content_Length=30_000) + DATA[:30_000]
    wanted = Wanted(path="a.bin", size=30_000)
    with RawServer(odd + evil[:2_000] + HOLD, honest, tls=tls) as server:
        http = Http(http_settings(ca_bundle=str(certificate[0])))
        for name in "ab":
            assert http.read(Location(url=f"{server.address}/{name}"), wanted) == DATA[:30_000]
    assert len(server.log) > 1


CUT = {"an end": OK[:-5], "silence": OK[:-5] + HOLD, "drops": head("200 OK", Content_Length=SIZE) + DRIP + b"x"}


@pytest.mark.parametrize("answer", CUT.values(), ids=CUT)
def test_a_secure_body_is_cut_or_stalls_as_a_plain_one_does(certificate, tls, answer):
    kind = ConnectionCut if answer is CUT["an end"] else Stalled
    with RawServer(answer, tls=tls) as server, pytest.raises((ConnectionCut, Stalled)) as raised:
        read(server.address, Pace(slowest=10_000, window=0.3), ca_bundle=str(certificate[0]))
    assert type(raised.value) is kind
