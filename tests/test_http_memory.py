"""What is remembered of a large file between its ranges: where the hub sent us, and which object that was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from fill_bed import BIG, NAME, TOKEN, build, content
from hub_kinds import KINDS, http_settings, reach
from misbehaving_hub import MisbehavingHub, Rule, answers
from raw_server import RawServer, head

from provision.errors import HubUnavailable, ObjectChanged, PathNotFound, Unreachable
from provision.hubs import Location
from provision.hubs.answers import strong_etag
from provision.hubs.http import Http, Wanted, memory
from provision.hubs.supply import Supply
from provision.retry import Patience, Retry
from provision.serve import Folder

SIZE = 20_000_000
DATA = b"0123456789"
EXPIRED = head("403 Forbidden", Content_Length=0)


def part(**headers):
    return head("206 Partial Content", Content_Range=f"bytes 10-19/{SIZE}", Content_Length=10, **headers) + DATA


def whole(**headers):
    return head("200 OK", Content_Length=SIZE, **headers) + DATA  # no more of it is read


def sent_to(*servers):
    return [
        head("302 Found", Location=f"{server.address}/signed-{n}", Content_Length=0) for n, server in enumerate(servers)
    ]


class Reader:
    """Opens one range of one file again and again, with a token."""

    def __init__(self, server, size=SIZE):
        self.http = Http(http_settings(stall=5.0))
        self.location = Location(url=f"{server.address}/a.bin", headers=(("Authorization", f"Bearer {TOKEN}"),))
        self.wanted = Wanted(path="a.bin", size=size, start=10, end=20)

    def start(self):
        """The offset at which the answer begins."""
        with closing(self.http.open(self.location, self.wanted)) as stream:
            buffer = memoryview(bytearray(10))
            assert bytes(buffer[: stream.read_into(buffer)]) == DATA
            return stream.start


def heads(server, name):
    lines = (line for asked in server.log for line in asked.splitlines())
    return [line.partition(": ")[2] for line in lines if line.lower().startswith(f"{name.lower()}:")]


def test_later_ranges_go_where_the_hub_sent_the_first():
    with RawServer(part()) as cdn, RawServer(*sent_to(cdn)) as hub:
        reader = Reader(hub)
        assert [reader.start() for _ in range(3)] == [10, 10, 10]
    assert (len(hub.log), len(cdn.log)) == (1, 3)
    assert TOKEN in hub.log[0]
    assert TOKEN not in "".join(cdn.log)


def test_a_file_that_comes_in_one_piece_is_not_remembered():
    size = memory.LARGE
    small = head("206 Partial Content", Content_Range=f"bytes 10-19/{size}", Content_Length=10, ETag='"a"') + DATA
    with RawServer(small) as cdn, RawServer(*sent_to(cdn)) as hub:
        reader = Reader(hub, size)
        assert [reader.start() for _ in range(2)] == [10, 10]
    assert len(hub.log) == 2
    assert heads(cdn, "If-Range") == []


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found", "410 Gone"]
)
def test_an_address_that_is_over_is_replaced_at_once(status):
    over = head(status, Content_Length=0)
    with RawServer(part(), over, part()) as cdn, RawServer(*sent_to(cdn, cdn, cdn)) as hub:
        reader = Reader(hub)
        assert [reader.start() for _ in range(3)] == [10, 10, 10]
    assert len(hub.log) == 2
    assert [asked.split()[1] for asked in cdn.log] == ["/signed-0", "/signed-0", "/signed-1", "/signed-1"]


def test_an_address_that_the_hub_has_just_given_and_is_refused_is_an_error():
    with RawServer(part(), EXPIRED) as cdn, RawServer(*sent_to(cdn, cdn)) as hub:
        reader = Reader(hub)
        reader.start()
        with pytest.raises(HubUnavailable, match="no longer honours"):
            reader.start()
    assert len(hub.log) == 2


def test_the_hub_is_asked_again_after_a_trouble_elsewhere():
    busy = head("503 Service Unavailable", Content_Length=0)
    with RawServer(part()) as other, RawServer(part(), busy) as cdn, RawServer(*sent_to(cdn, other)) as hub:
        reader = Reader(hub)
        reader.start()
        with pytest.raises(Unreachable):
            reader.start()
        assert reader.start() == 10
    assert (len(hub.log), len(cdn.log), len(other.log)) == (2, 2, 1)


def test_what_the_hub_itself_refuses_stays_refused():
    gone = head("404 Not Found", Content_Length=0)
    with RawServer(part(), EXPIRED) as cdn, RawServer(*sent_to(cdn), gone) as hub:
        reader = Reader(hub)
        reader.start()
        with pytest.raises(PathNotFound):
            reader.start()


def test_later_ranges_are_asked_of_the_same_object():
    with RawServer(part(ETag='"a"')) as server:
        reader = Reader(server)
        assert [reader.start() for _ in range(2)] == [10, 10]
    assert heads(server, "If-Range") == ['"a"']


UNCHANGED = {
    "a part of it": [part(ETag='"a"'), part(ETag='"a"')],
    "a part without a name": [part(ETag='"a"'), part()],
    "a part with a weak name": [part(ETag='"a"'), part(ETag='W/"b"')],
    "all of it": [part(ETag='"a"'), whole(ETag='"a"')],
    "ranges ignored": [whole(ETag='"a"'), whole(ETag='"a"')],
    "ranges ignored, no name": [whole(ETag='"a"'), whole()],
    "weak names": [part(ETag='W/"a"'), part(ETag='W/"b"')],
    "no names": [part(), whole()],
    "ranges refused": [part(ETag='"a"'), head("416 Range Not Satisfiable", Content_Length=0), whole(ETag='"a"')],
}
CHANGED = {
    "a part of another": [part(ETag='"a"'), part(ETag='"b"')],
    "all of another": [part(ETag='"a"'), whole(ETag='"b"')],
    "all of another, ranges ignored": [whole(ETag='"a"'), whole(ETag='"b"')],
    "all of something, where parts came": [part(ETag='"a"'), whole()],
    "all of something with a weak name": [part(ETag='"a"'), whole(ETag='W/"a"')],
    "ranges refused": [part(ETag='"a"'), head("416 Range Not Satisfiable", Content_Length=0), whole(ETag='"b"')],
}


@pytest.mark.parametrize("given", UNCHANGED.values(), ids=UNCHANGED)
def test_the_same_object_may_answer_in_many_ways(given):
    with RawServer(*given) as server:
        reader = Reader(server)
        reader.start()
        assert reader.start() == (10 if b" 206 " in given[-1][:20] else 0)


@pytest.mark.parametrize("given", CHANGED.values(), ids=CHANGED)
def test_a_changed_object_is_an_error_and_not_a_mixture(given):
    with RawServer(*given) as server:
        reader = Reader(server)
        reader.start()
        for _ in range(2):  # and stays one
            with pytest.raises(ObjectChanged) as raised:
                reader.start()
            del server.answers[:-1]
    assert "a.bin" in str(raised.value)
    assert f"127.0.0.1:{server.port}" in str(raised.value)
    assert "--upgrade --dry-run" in raised.value.hint


def test_the_object_is_the_same_after_a_fresh_address_of_the_same_cdn():
    with RawServer(part(ETag='"a"'), EXPIRED, part(ETag='"b"')) as cdn, RawServer(*sent_to(cdn, cdn)) as hub:
        reader = Reader(hub)
        reader.start()
        with pytest.raises(ObjectChanged):
            reader.start()
    assert heads(cdn, "If-Range") == ['"a"', '"a"']
    assert heads(hub, "If-Range") == []


def test_another_cdn_may_name_the_same_object_differently():
    other, cdn = RawServer(part(ETag='"b"')), RawServer(part(ETag='"a"'), EXPIRED)
    with other, cdn, RawServer(*sent_to(cdn, other)) as hub:
        reader = Reader(hub)
        assert [reader.start() for _ in range(2)] == [10, 10]
    assert heads(other, "If-Range") == []


@pytest.mark.parametrize(
    ("etag", "strong"),
    [('"a"', True), ('""', False), ('W/"a"', False), ("a", False), ('"a', False), ('"a"b"', False), ('"a b"', False),
     ('"' + "a" * 201 + '"', False), ("", False)],
)  # fmt: skip
def test_a_strong_etag_is_quoted_and_fit_to_be_sent_back(etag, strong):
    assert strong_etag({"ETag": etag}) == (etag if strong else None)


def test_memory_is_bounded():
    kept = memory.Memory()
    wanted = Wanted(path="a", size=SIZE)
    locations = [Location(url=f"http://hub/{n}") for n in range(memory._MOST + 10)]
    for location in locations:
        kept.learn(location, wanted, memory.Answered(address="http://cdn/x", etag='"a"', ranged=True))
    assert (len(kept._addresses), len(kept._validators)) == (memory._MOST, memory._MOST)
    assert kept.address(locations[0]) is None
    assert kept.address(locations[-1]) == "http://cdn/x"


def honours_ten(hub):
    """A CDN that answers 403 after ten requests for each address that the hub gave."""

    async def counting(honest, scope, receive, send):
        if len(hub.asked("", "cdn")) > 10 * len(hub.asked(BIG)):
            await answers(403)(honest, scope, receive, send)
        else:
            await honest(scope, receive, send)

    return counting


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(("threads", "attempts"), [(1, 1), (4, 3)])  # others may use up an address at once
def test_a_cdn_that_counts_costs_no_error_and_few_questions(kind, threads, attempts, tmp_path):
    """32 ranges, by one thread or by several, of a file whose every address is good for ten."""
    with MisbehavingHub(Folder(build(tmp_path))) as hub:
        hub.rules.append(Rule("", honours_ten(hub), place="cdn"))
        supply = Supply(
            lambda _: reach(kind, hub.endpoint),
            Http(http_settings()),
            Retry(patience=Patience(attempts=attempts), sleep=[].append),
        )
        pin = supply.resolve(kind.scheme, NAME, None)
        step = 65_536

        def fetched(number):
            wanted = Wanted(path=BIG, size=len(content(BIG)), start=number * step, end=(number + 1) * step)
            buffer, got = memoryview(bytearray(step)), b""
            with closing(supply.retry.call(lambda: supply.open(kind.scheme, pin, wanted))) as stream:
                while count := stream.read_into(buffer):
                    got += buffer[:count]
            return got

        hub.log.clear()
        with ThreadPoolExecutor(threads) as pool:
            assert b"".join(pool.map(fetched, range(32))) == content(BIG)[: 32 * step]
        assert len(hub.asked(BIG)) <= 4 * threads
