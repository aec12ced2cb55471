"""The day on which RunPod's GraphQL is no more: SDK 1.12 knows nothing else, and is left for REST v2."""

from __future__ import annotations

import importlib
import importlib.util

import cloud_beds
import pytest
from raw_server import RawServer

from provision.errors import CloudRefused, CloudUnavailable, PodError
from provision.pods.runpod import RunPod

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        importlib.util.find_spec("runpod") is None or importlib.util.find_spec("runpod.api.rest") is not None,
        reason="needs RunPod's SDK 1.12 (test_runpod_sdk runs this under it)",
    ),
]

GRAPHQL = ("deployCpuPod", "pod", "myself", "podTerminate")


@pytest.fixture
def bed():
    with cloud_beds.runpod("sdk") as bed:
        yield bed


def graphql_requests(bed):
    return [request for request in bed.stand_in.requests if request.path == "/graphql"]


def test_pods_are_still_found_looked_at_and_given_back(bed):
    pod = bed.cloud.create_pod(bed.order())
    bed.stand_in.dials.is_graphql_retired = True

    assert bed.cloud.pod(pod.id).id == pod.id
    before = len(graphql_requests(bed))
    assert [one.id for one in bed.cloud.pods()] == [pod.id]
    bed.cloud.delete_pod(pod.id)

    assert bed.cloud.pod(pod.id) is None
    assert len(graphql_requests(bed)) == before  # it is left for good
    assert bed.naps == []


def test_a_pod_is_given_back_though_that_is_the_first_to_meet_it(bed):
    pod = bed.cloud.create_pod(bed.order())
    bed.stand_in.dials.is_graphql_retired = True

    bed.cloud.delete_pod(pod.id)

    assert bed.stand_in.pods == []


def test_a_pod_whose_order_met_it_is_not_ordered_again_by_itself_and_the_next_one_goes_by_v2(bed):
    bed.stand_in.dials.is_graphql_retired = True
    order = bed.order()

    with pytest.raises(CloudUnavailable, match="retired"):
        bed.cloud.create_pod(order)
    assert not bed.stand_in.asked("createPod")
    assert bed.cloud.pods() == []

    pod = bed.cloud.create_pod(order)

    assert [one.id for one in bed.stand_in.pods] == [pod.id]
    assert len(bed.stand_in.asked("createPod")) == 1
    assert bed.cloud.requests(order)[0].url.endswith("/v2/pods")


def answer(status: bytes, kind: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (status, kind, len(body), body)


GONE = {
    "page": answer(b"410 Gone", b"text/html", b"<html>Gone</html>"),
    "problem": answer(b"410 Gone", b"application/problem+json", b'{"status": 410, "detail": "retired"}'),
    "errors": answer(b"410 Gone", b"application/json", b'{"errors": [{"message": "GraphQL has been retired"}]}'),
    "errors of another shape": answer(b"410 Gone", b"application/json", b'{"errors": ["retired"]}'),
    "data": answer(b"410 Gone", b"application/json", b'{"data": null}'),
    "nothing": answer(b"410 Gone", b"text/plain", b""),
}


@pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
def test_it_is_known_by_its_status_whatever_the_body(gone):
    pods = answer(b"200 OK", b"application/json", b'{"pods": [{"id": "abc", "name": "x"}]}')
    with RawServer(gone, gone, pods) as server:
        cloud = RunPod(cloud_beds.settings(server.address, "sdk"))

        assert [pod.id for pod in cloud.pods()] == ["abc"]

    assert [head.split()[1] for head in server.log] == ["/graphql", "/graphql", "/v2/pods"]


@pytest.mark.parametrize("kind", ["page502", "503", "429", "empty", "null"])
def test_a_day_of_trouble_is_not_that_day(bed, kind):
    bed.stand_in.faults.on("myself", kind, times=2)  # the second looks into the first

    bed.cloud.pods()
    bed.cloud.pods()

    assert len(bed.stand_in.asked("listPods")) == 1
    assert bed.cloud.requests(bed.order())[0].url.endswith("/graphql")


@pytest.mark.parametrize("kind", ["404", "500", "503", "page200", "page502", "403", "cut"])
def test_while_graphql_fails_in_any_other_way_pods_are_found_looked_at_and_given_back_by_v2(bed, kind):
    pod = bed.cloud.create_pod(bed.order())
    for operation in GRAPHQL:
        bed.stand_in.faults.on(operation, kind, times=None)

    assert [one.id for one in bed.cloud.pods()] == [pod.id]
    assert bed.cloud.pod(pod.id).id == pod.id
    bed.cloud.delete_pod(pod.id)

    assert bed.cloud.pod(pod.id) is None
    assert bed.stand_in.pods == []
    assert bed.naps == []


@pytest.mark.parametrize("kind", ["404", "500", "page502", "403"])
def test_a_pod_is_never_ordered_by_v2_in_its_place(bed, kind):
    for operation in GRAPHQL:
        bed.stand_in.faults.on(operation, kind, times=None)

    with pytest.raises(PodError):
        bed.cloud.create_pod(bed.order())

    assert not bed.stand_in.asked("createPod")


@pytest.mark.parametrize("kind", ["401", "402", "403", "422"])
def test_a_refusal_of_another_question_does_not_say_that_no_pod_was_rented(bed, kind):
    bed.stand_in.faults.on("deployCpuPod", "cut", after=True)
    bed.stand_in.faults.on("myself", kind)

    with pytest.raises(CloudUnavailable):
        bed.cloud.create_pod(bed.order())

    assert len(bed.stand_in.pods) == 1


def test_what_both_say_is_told_as_graphql_said_it(bed):
    bed.stand_in.faults.on("myself", "402", times=None)
    bed.stand_in.faults.on("listPods", "503", times=None)

    with pytest.raises(CloudRefused, match="balance"):
        bed.cloud.pods()


def test_each_account_is_asked_with_its_own_key_though_the_sdk_has_one_for_all(bed, monkeypatch):
    pod = bed.cloud.create_pod(bed.order())
    sdk = importlib.import_module("runpod")

    class Elsewhere(type(sdk)):
        """Another account's thread sets the SDK's key whenever this one has."""

        api_key = property(lambda _: "rpa_ANOTHERACCOUNT00", lambda *_: None)

    monkeypatch.delattr(sdk, "api_key")
    monkeypatch.setattr(sdk, "__class__", Elsewhere)

    assert [one.id for one in bed.cloud.pods()] == [pod.id]
    assert bed.cloud.pod(pod.id).id == pod.id
    assert not bed.stand_in.asked("listPods")
