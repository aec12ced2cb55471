"""What becomes of a request when RunPod is in trouble: what is asked again, what is never sent twice, what is told."""

from __future__ import annotations

import gc
import json
import logging
import traceback

import cloud_beds
import pytest
from cloud_beds import KEY, SECRET, WAYS
from raw_server import HOLD, RawServer

from provision.errors import CloudRefused, CloudUnavailable, InputError, Interrupted, NoCapacity, PodError
from provision.pods.runpod import RunPod
from provision.retry import Patience

CREATE = ("createPod", "deployCpuPod", "podFindAndDeployOnDemand")
TOKEN = "hf_tokentokentokentoken"
PASSING = ("cut", "torn", "429", "500", "503", "page200", "page502", "page520", "page524", "empty")


@pytest.fixture(params=WAYS)
def bed(request):
    with cloud_beds.runpod(request.param) as bed:
        yield bed


@pytest.mark.parametrize("kind", [*PASSING, "null"])
def test_what_passes_is_asked_again(bed, kind):
    pod = bed.cloud.create_pod(bed.order())

    bed.stand_in.faults.on("list", kind, times=3)
    assert [one.id for one in bed.cloud.pods()] == [pod.id]
    bed.stand_in.faults.on("get", kind)
    assert bed.cloud.pod(pod.id).id == pod.id
    bed.stand_in.faults.on("delete", kind)
    bed.cloud.delete_pod(pod.id)
    assert bed.naps


def test_patience_has_an_end_and_says_what_could_not_be_done(bed):
    bed.stand_in.faults.on("*", "503", times=None)

    with pytest.raises(CloudUnavailable, match="list the pods"):
        bed.cloud.pods()
    with pytest.raises(CloudUnavailable, match="delete the pod"):
        bed.cloud.delete_pod("abc")
    with pytest.raises(CloudUnavailable, match="list the volumes"):
        bed.cloud.volumes()

    assert len(bed.naps) == 9  # four attempts at each


@pytest.mark.parametrize("kind", ["401", "403", "422"])
def test_a_refusal_is_not_asked_again(bed, kind):
    bed.stand_in.faults.on("*", kind, times=None)

    for ask in (bed.cloud.pods, lambda: bed.cloud.pod("abc"), lambda: bed.cloud.delete_pod("abc"), bed.cloud.volumes):
        with pytest.raises(CloudRefused) as refused:
            ask()
        assert refused.value.hint
    assert bed.naps == []


@pytest.mark.parametrize("kind", ["capacity", "capacity-resources", "capacity-none"])
def test_lack_of_capacity_sends_to_the_next_machine(bed, kind):
    bed.stand_in.faults.on("create", kind)

    with pytest.raises(NoCapacity):
        bed.cloud.create_pod(bed.order())

    assert len(bed.stand_in.asked(*CREATE)) == 1
    assert bed.stand_in.pods == []


def test_a_machine_of_which_there_is_none_is_lack_of_capacity(bed):
    order = bed.order()
    bed.stand_in.capacity["cpu3c", "*"] = 0

    with pytest.raises(NoCapacity):
        bed.cloud.create_pod(order)


@pytest.mark.parametrize(
    ("kind", "hint"),
    [("401", "API key"), ("402", "add funds"), ("403", "permission"), ("422", "change"), ("elsewhere", "change")],
)
def test_a_pod_that_is_refused_says_what_to_do(bed, kind, hint):
    bed.stand_in.faults.on("create", kind)

    with pytest.raises(CloudRefused) as refused:
        bed.cloud.create_pod(bed.order())

    assert hint in refused.value.hint
    assert len(bed.stand_in.asked(*CREATE)) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", [*PASSING, "null"])
def test_a_pod_is_never_ordered_twice_whatever_came_back(bed, kind, after):
    order = bed.order()
    bed.stand_in.faults.on("create", kind, after=after)

    with pytest.raises(PodError) as failed:
        bed.cloud.create_pod(order)

    assert isinstance(failed.value, CloudUnavailable | NoCapacity)
    assert isinstance(failed.value, CloudUnavailable) or kind == "null"
    assert len(bed.stand_in.asked(*CREATE)) == 1
    assert bed.naps == []
    rented = after or kind == "torn"  # half of the true answer
    assert [pod.name for pod in bed.cloud.pods()] == [order.name] * rented  # the renter looks for the name


def test_a_volume_is_never_created_twice(bed):
    bed.stand_in.faults.on("createNetworkVolume", "page502", after=True)

    with pytest.raises(CloudUnavailable):
        bed.volume()

    assert len(bed.cloud.volumes()) == 1


@pytest.mark.parametrize("size", [9, 5000])
def test_a_volume_of_a_size_that_there_is_not_is_a_fault_of_the_input(bed, size):
    with pytest.raises(InputError, match="create the volume"):
        bed.cloud.create_volume("models", size, "EU-RO-1")


def test_a_volume_in_use_is_not_deleted(bed):
    pod = bed.cloud.create_pod(bed.order())

    with pytest.raises(CloudRefused, match="in use"):
        bed.cloud.delete_volume(pod.volume_id)


def test_runpod_is_given_the_time_it_asks_for():
    with cloud_beds.runpod("rest") as bed:
        bed.stand_in.faults.on("listPods", "429")
        bed.cloud.pods()
        assert bed.naps[0] >= 1.0


def test_a_pod_that_has_just_been_deleted_is_gone_though_it_is_still_told_of(bed):
    bed.stand_in.dials.gone_seconds = 60
    pod = bed.cloud.create_pod(bed.order())

    bed.cloud.delete_pod(pod.id)
    bed.cloud.delete_pod(pod.id)

    assert bed.cloud.pod(pod.id) is None
    assert bed.cloud.pods() == []


def test_a_pod_without_a_runtime_is_not_up_whatever_it_says(bed):
    bed.stand_in.dials.runtime_seconds = 60
    pod = bed.cloud.create_pod(bed.order())

    assert bed.cloud.pod(pod.id).is_up is False


def test_whoever_stops_waiting_stops(bed):
    def stop(_seconds):
        raise Interrupted("enough")

    bed.stand_in.faults.on("list", "503", times=None)
    way = "rest" if "createPod" in bed.cloud.requests(bed.order())[0].url else "sdk"
    cloud = RunPod(cloud_beds.settings(bed.stand_in.url, way, sleep=stop))

    with pytest.raises(Interrupted):
        cloud.pods()


@pytest.mark.parametrize("kind", ["401", "402", "422", "500", "cut", "page502", "null", "empty", "410"])
def test_no_secret_is_in_what_is_told_of_a_failure(bed, kind, caplog):
    caplog.set_level(logging.DEBUG)
    order = bed.order("sh", "-c", "true", HF_TOKEN=TOKEN)
    bed.stand_in.faults.on("create", kind)

    with pytest.raises(PodError) as failed:
        bed.cloud.create_pod(order)

    assert failed.value.__context__ is None  # an error of the SDK holds the whole query
    told = "".join(traceback.format_exception(failed.value)) + failed.value.hint + caplog.text + repr(bed.cloud)
    assert not [secret for secret in (KEY, TOKEN, SECRET) if secret in told]


@pytest.mark.parametrize("way", WAYS)
def test_words_that_repeat_what_was_sent_are_not_passed_on(way):
    body = json.dumps({"detail": f"bad env {SECRET} {KEY}", "errors": [{"message": f"no {TOKEN} {SECRET}"}]}).encode()
    answer = b"HTTP/1.1 422 No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with RawServer(answer) as server:
        cloud = RunPod(cloud_beds.settings(server.address, way))
        volume = cloud_beds.NetworkVolume(id="vol1", name="m", size=10, datacenter="EU-RO-1")
        with pytest.raises(PodError) as failed:
            cloud.create_pod(cloud_beds.order(volume, cloud_beds.CPU, HF_TOKEN=TOKEN))

    assert "***" in failed.value.message
    assert not [secret for secret in (KEY, TOKEN, SECRET) if secret in failed.value.message]


def test_settings_and_orders_show_no_secret(bed):
    settings = cloud_beds.settings("https://api.runpod.io")

    assert KEY not in repr(settings)
    assert SECRET not in repr(bed.order())
    assert SECRET not in repr(bed.cloud.create_pod(bed.order()))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("key", ["two\nlines", "ünï"])
def test_a_key_that_is_none_is_refused_and_not_shown(way, key):
    with cloud_beds.runpod(way) as bed:
        cloud = RunPod(cloud_beds.settings(bed.stand_in.url, way, key=key))

        with pytest.raises(CloudRefused) as refused:
            cloud.volumes()
        with pytest.raises(PodError) as failed:
            cloud.pods()

    for error in (refused.value, failed.value):
        assert key not in "".join(traceback.format_exception(error))
        assert error.__context__ is None


@pytest.mark.parametrize("way", WAYS)
def test_an_address_where_nobody_answers_is_named(way):
    cloud = RunPod(cloud_beds.settings("http://127.0.0.1:9", way, patience=Patience(attempts=1)))

    for ask in (cloud.pods, cloud.volumes):
        with pytest.raises(CloudUnavailable):
            ask()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ODD = {
    "truncated": HEAD + b'Content-Length: 100\r\n\r\n{"networkVolumes": [',
    "no json": HEAD + b'Content-Length: 20\r\n\r\n{"networkVolumes": [',
    "deep": HEAD + b"Content-Length: 100000\r\n\r\n" + b"[" * 100_000,
    "a list": HEAD + b"Content-Length: 2\r\n\r\n[]",
    "another name": HEAD + b'Content-Length: 16\r\n\r\n{"volumes":  [ ]}',
    "null": HEAD + b'Content-Length: 23\r\n\r\n{"networkVolumes":null}',
    "silent": HOLD,
    "half a head": b"HTTP/1.1 200",
    "no http": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "elsewhere": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_an_answer_that_makes_no_sense_is_unavailable_and_takes_no_longer_than_its_time(answer):
    with RawServer(answer) as server:
        cloud = RunPod(cloud_beds.settings(server.address, timeout=0.5, patience=Patience(attempts=1)))

        with pytest.raises(CloudUnavailable, match="list the volumes"):
            cloud.volumes()
    gc.collect()


def test_requests_say_who_is_asking_and_carry_the_key_in_a_header_only(bed):
    bed.cloud.volumes()
    bed.cloud.create_pod(bed.order())
    bed.cloud.pods()

    for request in bed.stand_in.requests:
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert headers["authorization"] == f"Bearer {KEY}"
        assert headers["user-agent"].startswith(("provision/", "RunPod-Python-SDK/"))
        assert KEY not in request.path + request.query + request.text
