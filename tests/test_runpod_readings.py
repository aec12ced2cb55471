"""What RunPod's answers tell, of both shapes, and that no answer whatever is taken for granted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.errors import CloudUnavailable
from provision.pods.cloud import Datacenter, Kind, NetworkVolume, Offer, State, Stock
from provision.pods.runpod import readings
from provision.pods.runpod.logs import lines_of

GRAPHQL = {
    "id": "abc123", "containerDiskInGb": 10, "costPerHr": 0.06, "desiredStatus": "RUNNING", "dockerArgs": "",
    "env": ["A=1", "B=x=y", "C="], "gpuCount": 0, "imageName": "python:3.12-slim", "name": "a pod",
    "uptimeSeconds": 7, "runtime": {"ports": None}, "machine": {"gpuDisplayName": "RTX A4000"},
}  # fmt: skip
V2 = {
    "id": "abc123", "name": "a pod", "status": "RUNNING", "env": {"A": "1", "B": "x=y", "C": ""}, "cost": 0.06,
    "mounts": {"network": [{"volumeId": "vol1", "path": "/workspace"}]}, "dataCenterId": "EU-RO-1",
    "cpu": {"id": "cpu3c", "vcpuCount": 2, "memory": 4}, "runtime": {"uptime": 7},
    "createdAt": "2026-06-01T12:00:00Z", "startedAt": None,
}  # fmt: skip
ENV = {"A": "1", "B": "x=y", "C": ""}


def test_both_shapes_tell_of_the_same_pod():
    old, new = readings.pod_of(GRAPHQL), readings.pod_of(V2)

    for pod in (old, new):
        assert (pod.id, pod.name, pod.state, pod.is_up, pod.price) == ("abc123", "a pod", State.RUNNING, True, 0.06)
        assert pod.env == ENV
    assert (new.machine, new.volume_id, new.datacenter, new.began) == ("cpu3c-2-4", "vol1", "EU-RO-1", 1780315200.0)
    assert (old.machine, old.began) == ("RTX A4000", None)


@pytest.mark.parametrize("shape", [GRAPHQL, V2])
def test_a_pod_that_says_running_is_up_only_once_its_container_has_been_seen(shape):
    assert readings.pod_of({**shape, "runtime": None}).is_up is False


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("CREATED", State.STARTING), ("PROVISIONING", State.STARTING), ("RESTARTING", State.STARTING),
        ("EXITED", State.STOPPED), ("PAUSED", State.STOPPED), ("DEAD", State.FAILED), ("ERROR", State.FAILED),
        ("A NEW WORD", State.STARTING), (None, State.STARTING), ([], State.STARTING),
    ],
)  # fmt: skip
def test_every_status_is_a_state_and_a_new_word_is_not_yet_running(status, state):
    for pod in (readings.pod_of({**GRAPHQL, "desiredStatus": status}), readings.pod_of({**V2, "status": status})):
        assert pod.state is state
        assert pod.is_up is (state is State.STARTING)


def test_a_terminated_pod_is_no_pod():
    assert readings.pod_of(None) is None
    assert readings.pod_of({**V2, "status": "TERMINATED"}) is None
    assert readings.pods_of([V2, {**GRAPHQL, "desiredStatus": "TERMINATED"}]) == [readings.pod_of(V2)]


@pytest.mark.parametrize(
    "document", [{}, [], "x", 3, {"id": None}, {"id": ""}, {"id": 'a"b'}, {"id": "../x"}, {"id": "a" * 65}]
)
def test_a_pod_without_an_id_that_can_be_used_is_not_overlooked(document):
    with pytest.raises(CloudUnavailable):
        readings.pods_of([V2, document])


def test_a_volume_is_read_and_one_without_an_id_or_a_size_is_not_understood():
    told = {"id": "vol1", "name": "models", "size": 50, "dataCenter": "EU-RO-1", "type": "STANDARD"}

    assert readings.volumes_of([told]) == [NetworkVolume(id="vol1", name="models", size=50, datacenter="EU-RO-1")]
    for odd in ({**told, "id": "a b"}, {**told, "size": "50"}, {**told, "size": None}, {**told, "size": -1}, None):
        with pytest.raises(CloudUnavailable):
            readings.volumes_of([told, odd])


CPU = {
    "id": "cpu3c", "name": "Compute-Optimized", "vcpu": {"min": 2, "max": 32}, "ramGbPerVcpu": 2,
    "price": {"securePerVcpu": 0.03, "serverlessPerVcpu": 0.05}, "availability": "HIGH",
    "dataCenters": [{"id": "EU-RO-1", "name": "x", "availability": "LOW"}],
}  # fmt: skip
GPU = {
    "id": "NVIDIA RTX A4000", "name": "RTX A4000", "secure": True, "price": {"secure": 0.25, "community": 0.17},
    "availability": "HIGH", "dataCenters": [{"id": "EU-RO-1", "availability": "MEDIUM"}],
}  # fmt: skip


def test_a_cpu_flavor_is_offered_in_two_sizes_at_its_price_for_each_vcpu():
    assert readings.cpu_offers([CPU], "EU-RO-1") == [
        Offer(kind=Kind.CPU, id="cpu3c-2-4", name="Compute-Optimized, 2 vCPUs, 4 GB", price=0.06, stock=Stock.LOW),
        Offer(kind=Kind.CPU, id="cpu3c-4-8", name="Compute-Optimized, 4 vCPUs, 8 GB", price=0.12, stock=Stock.LOW),
    ]


@pytest.mark.parametrize(
    ("change", "ids"),
    [
        ({"vcpu": {"min": 4, "max": 8}}, ["cpu3c-4-8"]), ({"vcpu": {"min": 2, "max": 2}}, ["cpu3c-2-4"]),
        ({"vcpu": None}, ["cpu3c-2-4", "cpu3c-4-8"]), ({"ramGbPerVcpu": 2.5}, ["cpu3c-2-5", "cpu3c-4-10"]),
        ({"ramGbPerVcpu": None}, []), ({"id": "cpu3c-2-4"}, ["cpu3c-2-4", "cpu3c-4-8"]), ({"id": "CPU!"}, []),
        ({"id": 3}, []),
    ],
)  # fmt: skip
def test_only_what_can_be_rented_is_offered(change, ids):
    assert [offer.id for offer in readings.cpu_offers([{**CPU, **change}, "x", None], "EU-RO-1")] == ids


def test_only_gpus_of_runpods_own_data_centers_are_offered():
    others = [{**GPU, "id": "B", "secure": False}, {**GPU, "id": "C", "secure": "true"}, {"id": "D"}]

    assert readings.gpu_offers([GPU, *others], "EU-RO-1") == [
        Offer(kind=Kind.GPU, id="NVIDIA RTX A4000", name="RTX A4000", price=0.25, stock=Stock.MEDIUM)
    ]


@pytest.mark.parametrize("price", [0, None, -1, True, "0.25", float("nan"), float("inf"), 10**400])
def test_a_price_that_is_none_is_not_the_lowest(price):
    assert readings.gpu_offers([{**GPU, "price": {"secure": price}}], "EU-RO-1")[0].price is None
    assert readings.cpu_offers([{**CPU, "price": {"securePerVcpu": price}}], "EU-RO-1")[0].price is None


@pytest.mark.parametrize(
    ("change", "stock"),
    [
        ({"dataCenters": [{"id": "EU-RO-1", "availability": "NONE"}]}, Stock.NONE),
        ({"dataCenters": [{"id": "US-KS-2", "availability": "HIGH"}]}, Stock.NONE),
        ({"dataCenters": None}, Stock.UNKNOWN),
        ({"dataCenters": [{"id": "EU-RO-1", "availability": "A LOT"}]}, Stock.UNKNOWN),
    ],
)  # fmt: skip
def test_stock_is_that_of_the_data_center(change, stock):
    assert readings.gpu_offers([{**GPU, **change}], "EU-RO-1")[0].stock is stock


def test_a_type_of_which_there_is_none_anywhere_has_no_list_and_without_stock_nothing_is_known():
    without = {name: value for name, value in GPU.items() if name != "dataCenters"}
    unasked = {name: value for name, value in without.items() if name != "availability"}

    assert readings.gpu_offers([without], "EU-RO-1")[0].stock is Stock.NONE
    assert readings.gpu_offers([unasked], "EU-RO-1")[0].stock is Stock.UNKNOWN


def test_data_centers_without_volumes_are_left_out():
    told = [
        {"id": "EU-RO-1", "name": "EU Romania 1", "networkVolumeTypes": ["STANDARD"]},
        {"id": "US-TX-3", "name": "US Texas 3", "networkVolumeTypes": []}, {"id": "X"}, 7,
    ]  # fmt: skip

    assert readings.datacenters_of(told) == [Datacenter(id="EU-RO-1", name="EU Romania 1")]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*V2, *GRAPHQL, *CPU, *GPU]), inner),
    max_leaves=25,
)
NAMES = sorted({*V2, *GRAPHQL, *CPU, *GPU} - {"id"})
KNOWN = st.fixed_dictionaries({"id": st.just("abc")}, optional=dict.fromkeys(NAMES, ANYTHING))


@settings(max_examples=40, deadline=None)
@given(st.lists(ANYTHING | KNOWN))
def test_any_answer_is_read_or_not_understood(listing):
    for read in (
        readings.pods_of, readings.volumes_of, readings.datacenters_of, lambda told: readings.cpu_offers(told, "x"),
        lambda told: readings.gpu_offers(told, "x"),
    ):  # fmt: skip
        for told in (listing, *listing):
            try:
                repr(read(told)).encode()
            except CloudUnavailable as error:
                assert "not understood" in error.message  # noqa: PT017 - it need not come


def event(number: int, text: str, **changes) -> bytes:
    data = json.dumps({"ts": "2026-06-01T12:02:03Z", "source": "container", "line": text, **changes})
    return f"id: 2026-06-01T12:02:03Z/{number}\ndata: {data}\n\n".encode()


def test_events_are_lines_with_ids_and_one_that_is_cut_waits():
    stream = b": ping\n\n" + event(1, "one\n") + event(2, "zw\u00f6lf") + b"data: not json\n\n" + event(3, "three")[:-9]

    lines = lines_of(stream, "")

    assert [(line.id[-1], line.text) for line in lines] == [("1", "one"), ("2", "zwölf")]


def test_what_the_system_says_is_not_what_the_pod_printed():
    assert lines_of(event(1, "pulling", source="system") + event(2, "hello"), "")[0].text == "hello"


@pytest.mark.parametrize("ends", [b"\r\n", b"\r", b"\n"])
def test_lines_of_events_end_as_the_standard_allows(ends):
    stream = (event(1, "one") + event(2, "two")).replace(b"\n", ends)

    assert [line.text for line in lines_of(stream, "")] == ["one", "two"]


def test_a_stream_that_begins_with_the_known_line_gives_what_follows():
    lines = lines_of(event(1, "one") + event(2, "two") + event(3, "three"), "2026-06-01T12:02:03Z/2")

    assert [line.text for line in lines] == ["three"]


def test_an_id_that_cannot_be_sent_back_is_none():
    stream = b'id: a\xc3\xbc\ndata: {"line": "x"}\n\ndata: {"line": "y"}\n\n'

    assert [(line.id, line.text) for line in lines_of(stream, "")] == [("", "x"), ("", "y")]


@given(st.binary(max_size=300), st.text(max_size=5))
def test_any_bytes_are_lines_or_none(stream, after):
    lines_of(stream, after)
