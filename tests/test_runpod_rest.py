"""The client of REST v2: lists in pages, logs that do not end, proxies; and what a person is told to do by hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time

import cloud_beds
import pytest
from cloud_beds import KEY, eventually
from hub_kinds import http_settings
from raw_server import HOLD, RawServer, head

from provision.errors import CloudRefused, CloudUnavailable
from provision.pods.cloud import Kind, Stock
from provision.pods.runpod import RunPod
from provision.retry import Patience


def answer(body: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    return head(status, Content_Type=kind, Content_Length=len(body)) + body.encode()


def at(server: RawServer, **changes) -> RunPod:
    return RunPod(cloud_beds.settings(server.address, patience=Patience(attempts=1), **changes))


@pytest.mark.parametrize("mark", ['"nextCursor": "a b"', '"pagination": {"nextCursor": "a b"}'])
def test_a_list_in_pages_is_read_to_its_end(mark):
    first = answer(f'{{"pods": [{{"id": "one"}}], {mark}}}')
    with RawServer(first, answer('{"pods": [{"id": "two"}], "nextCursor": null}')) as server:
        assert [pod.id for pod in at(server).pods()] == ["one", "two"]

        assert [head.split()[1] for head in server.log] == ["/v2/pods", "/v2/pods?cursor=a%20b"]


def test_a_list_whose_pages_go_in_a_circle_is_not_taken_for_all_there_is():
    with RawServer(answer('{"pods": [{"id": "one"}], "nextCursor": "a"}')) as server, pytest.raises(CloudUnavailable):
        at(server).pods()


def test_a_page_that_says_404_is_not_taken_for_a_pod_that_is_gone():
    with RawServer(answer("<html>", "404 Not Found", "text/html")) as server:
        cloud = at(server)
        for ask in (cloud.pod, cloud.volume, cloud.delete_pod, cloud.delete_volume):
            with pytest.raises(CloudRefused):
                ask("abc")


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
EVENT = b'id: 2026-06-01T12:02:03Z/1\ndata: {"source": "container", "line": "hello"}\n\n'


def test_a_log_that_does_not_end_is_read_for_a_while():
    with RawServer(STREAM + EVENT + HOLD) as server:
        began = time.monotonic()
        lines = at(server).logs("abc", "")

        assert [line.text for line in lines] == ["hello"]
        assert time.monotonic() - began < 5
        assert "GET /v2/pods/abc/logs?source=container&tail=5000 " in server.log[0]


def test_heartbeats_do_not_keep_a_log_open():
    with cloud_beds.runpod("rest", log_time=60.0, log_quiet=0.1) as bed:
        pod = bed.cloud.create_pod(bed.order("sh", "-c", "echo hello; sleep 600"))
        eventually(lambda: bed.stand_in.pods[0].container.log.text)

        began = time.monotonic()
        assert [line.text for line in bed.cloud.logs(pod.id, "")] == ["hello"]
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("status", ["400 Bad Request", "422 Unprocessable Entity"])
def test_a_log_that_does_not_go_on_by_id_goes_on_by_time(status):
    refused = answer('{"detail": "no such id"}', status)
    with RawServer(refused, STREAM + EVENT + EVENT.replace(b"/1", b"/2") + HOLD) as server:
        lines = at(server).logs("abc", "2026-06-01T12:02:03Z/1")

        assert [line.id for line in lines] == ["2026-06-01T12:02:03Z/2"]
        assert "Last-Event-ID: 2026-06-01T12:02:03Z/1" in server.log[0]
        assert "since=2026-06-01T12%3A02%3A03Z " in server.log[1]


def test_a_log_with_other_trouble_is_an_error():
    with RawServer(answer('{"detail": "no"}', "403 Forbidden")) as server, pytest.raises(CloudRefused):
        at(server).logs("abc", "")


def test_offers_tell_price_and_stock_of_the_data_center():
    with cloud_beds.runpod("rest") as bed:
        bed.stand_in.catalog.stock["cpu5c", "EU-RO-1"] = "LOW"
        offers = {offer.id: offer for offer in bed.cloud.offers("EU-RO-1")}
        elsewhere = {offer.id: offer.stock for offer in bed.cloud.offers("EUR-IS-1")}

    assert (offers["cpu3c-2-4"].kind, offers["cpu3c-2-4"].price) == (Kind.CPU, 0.06)
    assert (offers["cpu3c-4-8"].price, offers["cpu5c-2-4"].stock) == (0.12, Stock.LOW)
    assert (offers["NVIDIA RTX A4000"].kind, offers["NVIDIA RTX A4000"].price) == (Kind.GPU, 0.25)
    assert "NVIDIA GeForce RTX 3070" not in offers  # never in RunPod's own data centers
    assert (elsewhere["cpu3c-2-4"], elsewhere["NVIDIA RTX A4000"]) == (Stock.NONE, Stock.HIGH)


@pytest.mark.parametrize(("size", "dollars"), [(10, 0.7), (50, 3.5), (1000, 70.0), (1001, 70.05), (4000, 220.0)])
def test_a_volume_costs_less_for_each_gb_beyond_a_terabyte(size, dollars):
    assert RunPod(cloud_beds.settings("https://api.runpod.io")).volume_price(size) == dollars


def test_the_address_of_a_pod_is_where_the_settings_say():
    cloud = RunPod(cloud_beds.settings("https://api.runpod.io", pod_url="https://{pod}-{port}.proxy.runpod.net/"))

    assert cloud.address("abc", 8000) == "https://abc-8000.proxy.runpod.net"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_command_for_doing_it_by_hand_gives_the_pod_back():
    with cloud_beds.runpod("rest") as bed:
        pod = bed.cloud.create_pod(bed.order())
        by_hand = bed.cloud.by_hand(pod.id)

        environment = {**os.environ, "RUNPOD_API_KEY": KEY, "NO_PROXY": "*"}
        subprocess.run(["sh", "-c", by_hand.command], env=environment, check=True)

        assert bed.stand_in.pods == []
        assert by_hand.page.startswith("https://console.runpod.io/")


def test_a_proxy_is_used_and_one_that_is_not_there_is_named():
    with RawServer(answer('{"pods": [{"id": "one"}]}')) as proxy:
        through = http_settings(proxies={"http": proxy.address})
        cloud = RunPod(cloud_beds.settings("http://api.example", http=through))

        assert [pod.id for pod in cloud.pods()] == ["one"]
        assert proxy.log[0].startswith("GET http://api.example/v2/pods ")
    away = http_settings(proxies={"http": "http://127.0.0.1:9"})
    with pytest.raises(CloudUnavailable, match="proxy"):
        RunPod(cloud_beds.settings("http://api.example", http=away, patience=Patience(attempts=1))).pods()


@pytest.mark.parametrize("text", ["raise ImportError", "raise ValueError('a damaged config.toml')", "api_key = None"])
def test_an_sdk_that_cannot_be_used_is_done_without(text, tmp_path, monkeypatch):
    (tmp_path / "runpod.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "runpod"]:
        monkeypatch.delitem(sys.modules, name)
    with cloud_beds.runpod("sdk") as bed:
        pod = bed.cloud.create_pod(bed.order())

        assert bed.cloud.pod(pod.id).id == pod.id
        assert bed.stand_in.asked("createPod")


@pytest.mark.parametrize("way", cloud_beds.WAYS)
def test_two_accounts_at_two_addresses_are_used_at_once(way, monkeypatch):
    monkeypatch.setenv("RUNPOD_API_BASE_URL", "http://127.0.0.1:9")  # what the settings say goes before it
    with cloud_beds.runpod(way) as one, cloud_beds.runpod(way) as two:
        pods = [bed.cloud.create_pod(bed.order()) for bed in (one, two)]
        seen: list[list[str]] = [[], []]

        def look(number, bed) -> None:
            for _ in range(10):
                seen[number] += [pod.id for pod in bed.cloud.pods()]

        threads = [threading.Thread(target=look, args=pair) for pair in enumerate((one, two))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

        assert seen == [[pod.id] * 10 for pod in pods]
    assert os.environ["RUNPOD_API_BASE_URL"] == "http://127.0.0.1:9"
