"""Room at a host: how many bodies are under way from it at once, and what waits for them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import pytest
from fill_bed import BIG, NAME, build, content
from hub_kinds import HUGGINGFACE, http_settings, reach
from misbehaving_hub import MisbehavingHub
from raw_server import RawServer, head

from provision.errors import HubUnavailable, PathNotFound
from provision.hubs import Location
from provision.hubs.http import Http, Wanted
from provision.hubs.http.room import Room
from provision.hubs.supply import Supply
from provision.retry import Patience, Retry
from provision.serve import Folder

DATA = b"0123456789"
OK = head("200 OK", Content_Length=10) + DATA
WANTED = Wanted(path="a.bin", size=10)


def test_no_more_bodies_are_open_at_once_than_a_host_may_send(tmp_path):
    with MisbehavingHub(Folder(build(tmp_path))) as hub:
        supply = Supply(
            lambda _: reach(HUGGINGFACE, hub.endpoint),
            Http(http_settings(per_host=3)),
            Retry(patience=Patience(attempts=1), sleep=[].append),
        )
        pin = supply.resolve("hf", NAME, None)
        full, open_now, most = Barrier(3), [], []

        def fetched(number):
            wanted = Wanted(path=BIG, size=len(content(BIG)), start=number, end=number + 50_000)
            with closing(supply.open("hf", pin, wanted)) as stream:
                open_now.append(number)
                full.wait(10)  # three are open, or this breaks
                most.append(len(open_now))
                full.wait(10)
                open_now.remove(number)
                buffer = memoryview(bytearray(50_000))
                while stream.read_into(buffer):
                    pass

        with ThreadPoolExecutor(9) as pool:
            list(pool.map(fetched, range(9)))
        assert max(most) == 3


def test_a_body_that_is_closed_gives_its_seat_to_the_next():
    with RawServer(OK) as server:
        http, location = Http(http_settings(per_host=1)), Location(url=server.address)
        for _ in range(3):
            body = http.open(location, WANTED)
            body.close()
            body.close()


def test_an_answer_that_is_refused_takes_no_seat():
    with RawServer(head("404 Not Found", Content_Length=0)) as server:
        http, location = Http(http_settings(per_host=1)), Location(url=server.address)
        for _ in range(3):
            with pytest.raises(PathNotFound):
                http.open(location, WANTED)
        assert http._room._seats == {location.url.removeprefix("http://"): set()}


def test_hosts_do_not_share_their_room():
    with RawServer(OK) as one, RawServer(OK) as two:
        http = Http(http_settings(per_host=1))
        with closing(http.open(Location(url=one.address), WANTED)):
            http.open(Location(url=two.address), WANTED).close()


def test_nobody_waits_for_ever_for_those_who_do_not_move():
    room = Room(http_settings(per_host=1, answer=0.1))
    room.take("hub")
    with pytest.raises(HubUnavailable, match="connections to hub"):
        room.take("hub")


def test_those_who_move_are_waited_for():
    """The wait is as long as an answer may take, begun anew for as long as bytes come."""
    room = Room(http_settings(per_host=1, answer=0.1))
    seat, rounds = room.take("hub"), []
    changed, wait = room._changed, room._changed.wait

    def watched(seconds):
        rounds.append(seconds)
        seat.came += 1
        if len(rounds) == 5:
            room.free(seat)
        return wait(0)

    changed.wait = watched
    assert room.take("hub").host == "hub"
    assert rounds == [0.1] * 5
