"""Addresses that parsers read differently: the token goes to the hub's own origin, whoever is right."""

from __future__ import annotations

import pytest
from hub_kinds import KINDS, TOKEN, http_settings, reach
from raw_server import RawServer, head

from provision.errors import HubRefused, HubUnavailable, NotAHub
from provision.hubs import Pin
from provision.hubs.address import host_of, origin_of, usable
from provision.hubs.http import Http, Wanted

NOT_FOUND = head("404 Not Found", Content_Length=0, Content_Type="application/json")
TRAPS = ["http://{evil}\\@{home}/x", "http://{evil}\\{home}/", "http://{home}@{evil}/", "http://{evil}%5C@{home}/x"]


def api(kind, endpoint):
    reach(kind, endpoint, token=TOKEN).resolve("acme/one", None)


def file(kind, endpoint):
    pin = Pin(repository="acme/one", revision=kind.branch, commit="0" * 40)
    location = reach(kind, endpoint, token=TOKEN).location(pin, "a.bin")
    Http(http_settings()).read(location, Wanted(path="a.bin", size=10))


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("route", [api, file], ids=lambda route: route.__name__)
@pytest.mark.parametrize("trap", TRAPS)
def test_no_address_however_it_is_written_takes_the_token_elsewhere(kind, route, trap):
    with RawServer(NOT_FOUND) as evil:
        hop = RawServer()
        address = trap.format(evil=f"127.0.0.1:{evil.port}", home=f"127.0.0.1:{hop.port}")
        hop.answers.append(head("302 Found", Location=address, Content_Length=0))
        with hop as home, pytest.raises((HubRefused, HubUnavailable)):
            route(kind, home.address)
    assert TOKEN in home.log[0]
    assert TOKEN not in "".join(evil.log)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_cdn_cannot_ask_for_the_token_that_it_was_not_given(kind):
    cdn, home = RawServer(), RawServer()
    back = f"http://127.0.0.1:{cdn.port}\\@127.0.0.1:{home.port}/give"
    cdn.answers.append(head("302 Found", Location=back, Content_Length=0))
    home.answers.append(head("302 Found", Location=f"{cdn.address}/signed", Content_Length=0))
    with cdn, home, pytest.raises(NotAHub):
        file(kind, home.address)
    assert len(cdn.log) == 1
    assert TOKEN not in cdn.log[0]


NO_ADDRESS = [
    "http://a\\@b/", "http://a/\\b", "http://user@a/", "http://user:pw@a/", "http://a b/", "http://a/ b", "http://a/\tb",
    "http://a\n", "http://a/\x7f", "http://a/\u202e", "http://\uff41/", "http://a:0/", "http://a:65536/", "http://a:/",
    "http://", "http:a", "//a", "a.bin", "ftp://a/", "http://[::1", "http://[v1.a]/", "http://a%2eb/",
]  # fmt: skip


@pytest.mark.parametrize("url", NO_ADDRESS)
def test_what_could_be_read_in_two_ways_is_no_address(url):
    with pytest.raises(NotAHub) as raised:
        usable(url)
    assert "pw" not in str(raised.value)


def test_an_origin_is_scheme_host_and_port_and_nothing_else():
    assert (
        origin_of("HTTPS://Hub.Example/a?b#c") == origin_of("https://hub.example:443") == ("https", "hub.example", 443)
    )
    assert origin_of("http://[::1]:8080/ä") == ("http", "[::1]", 8080)
    assert host_of("https://user:pw@hub.example:1/a@b") == "hub.example:1"
