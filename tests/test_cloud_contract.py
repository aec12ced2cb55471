"""The laws of `provision.pods.cloud.Cloud`, asked of every cloud: this machine, and RunPod by each way to its pods.

With RunPod's SDK in this Python, its way is one of them: `test_runpod_sdk` runs this file under each release.
"""

from __future__ import annotations

import urllib.request
from contextlib import suppress

import cloud_beds
import pytest
from cloud_beds import PYTHON, SECRET, SERVER, eventually, printed

from provision.errors import InputError
from provision.pods.cloud import Kind, State


@pytest.fixture(params=["local", *cloud_beds.WAYS])
def bed(request, tmp_path):
    opened = cloud_beds.local(tmp_path) if request.param == "local" else cloud_beds.runpod(request.param)
    with opened as bed:
        yield bed


@pytest.fixture
def cloud(bed):
    return bed.cloud


def test_a_cloud_has_a_name(cloud):
    assert cloud.name in {"runpod", "local"}


def test_a_new_volume_is_found_by_its_id_and_in_the_list(bed, cloud):
    before = cloud.volumes()

    volume = cloud.create_volume("models", 12, bed.datacenter)

    assert (volume.name, volume.size, volume.datacenter) == ("models", 12, bed.datacenter)
    assert cloud.volume(volume.id) == volume
    assert cloud.volumes() == [*before, volume]


def test_a_volume_grows_and_never_shrinks(bed, cloud):
    volume = bed.volume()

    grown = cloud.resize_volume(volume.id, 20)
    with pytest.raises(InputError):
        cloud.resize_volume(volume.id, 15)

    assert (grown.id, grown.size) == (volume.id, 20)
    assert cloud.volume(volume.id).size == 20


def test_a_volume_that_is_deleted_is_gone_and_may_be_deleted_again(bed, cloud):
    volume = bed.volume()

    cloud.delete_volume(volume.id)
    cloud.delete_volume(volume.id)

    assert cloud.volume(volume.id) is None
    assert volume not in cloud.volumes()


def test_a_volume_that_nobody_made_is_none_and_cannot_grow(cloud):
    assert cloud.volume("nobodymadeit") is None
    with pytest.raises(InputError):
        cloud.resize_volume("nobodymadeit", 20)


def test_there_are_data_centers_and_elsewhere_no_volume_is_made(cloud):
    places = cloud.datacenters()

    assert places
    assert all(place.id for place in places)
    with pytest.raises(InputError):
        cloud.create_volume("models", 10, "XX-NO-9")
    assert cloud.volumes() == []


def test_a_larger_volume_never_costs_less(cloud):
    prices = [cloud.volume_price(size) for size in (10, 100, 1000, 2000, 4000)]

    assert prices == sorted(prices)


def test_offers_differ_and_have_a_price_or_none(bed, cloud):
    offers = cloud.offers(bed.datacenter)

    assert any(offer.kind is Kind.CPU for offer in offers)
    assert len({offer.id for offer in offers}) == len(offers)
    assert all(offer.price is None or offer.price >= 0 for offer in offers)


def test_a_pod_is_found_by_its_id_and_in_the_list_with_what_was_ordered(bed, cloud):
    order = bed.order()

    pod = cloud.create_pod(order)

    found = eventually(lambda: next((one for one in cloud.pods() if one.id == pod.id and one.is_up), None))
    assert cloud.pod(pod.id) == found
    assert pod.state in {State.STARTING, State.RUNNING}
    assert (pod.name, pod.volume_id, pod.datacenter) == (order.name, order.volume.id, bed.datacenter)
    assert (found.id, found.name, found.state) == (pod.id, order.name, State.RUNNING)
    assert found.env.items() >= order.env.items()
    assert found.price == pod.price == order.offer.price


def test_a_pod_that_is_deleted_is_gone_and_may_be_deleted_again(bed, cloud):
    pod = cloud.create_pod(bed.order())

    cloud.delete_pod(pod.id)
    cloud.delete_pod(pod.id)

    eventually(lambda: cloud.pod(pod.id) is None)
    assert pod.id not in [pod.id for pod in cloud.pods()]


@pytest.mark.parametrize("pod_id", ["nobodyrentedit", "../../v2", 'a"b', "a b", ""])
def test_a_pod_that_nobody_rented_is_none_and_deleting_it_is_no_error(cloud, pod_id):
    assert cloud.pod(pod_id) is None
    cloud.delete_pod(pod_id)
    assert list(cloud.logs(pod_id, "")) == []


def test_a_pod_runs_its_command_with_its_variables_and_its_volume(bed, cloud):
    order = bed.order("sh", "-c", 'echo "$WORD" >"$PROVISION_VOLUME/word"; cat "$PROVISION_VOLUME/word"; sleep 600')
    order = cloud_beds.order(order.volume, order.offer, *order.command, WORD='it\'s $HOME \\ "quoted" ünï')

    pod = cloud.create_pod(order)

    assert printed(cloud, pod, order.env["WORD"]) == [order.env["WORD"]]


def test_logs_go_on_where_they_were_left(bed, cloud):
    pod = cloud.create_pod(bed.order("sh", "-c", "echo one; echo two; echo three; sleep 600"))
    printed(cloud, pod, "three")

    one, two, three = cloud.logs(pod.id, "")

    assert [one.text, two.text, three.text] == ["one", "two", "three"]
    assert [line.text for line in cloud.logs(pod.id, one.id)] == ["two", "three"]
    assert list(cloud.logs(pod.id, three.id)) == []


def test_what_a_pod_serves_is_found_at_its_address(bed, cloud):
    pod = cloud.create_pod(bed.order(PYTHON, "-c", SERVER))

    def answer() -> bytes:
        with suppress(OSError, ValueError), urllib.request.urlopen(cloud.address(pod.id, cloud_beds.PORT)) as page:
            return page.read()
        return b""

    assert eventually(answer) == b"hello"


def test_a_person_is_told_how_to_give_a_pod_back(cloud):
    by_hand = cloud.by_hand("podpodpod")

    assert "podpodpod" in by_hand.command
    assert cloud_beds.KEY not in by_hand.command


def test_what_would_be_sent_is_told_without_its_secrets_and_nothing_is_rented(bed, cloud):
    order = bed.order("sh", "-c", "true", HF_TOKEN="hf_tokentokentoken", SHORT="xyzzy")

    shown = "".join(f"{request.method} {request.url}\n{request.body}" for request in cloud.requests(order))

    assert order.name in shown
    assert order.volume.id in shown
    assert not {word for word in (SECRET, "hf_tokentoken", "xyzzy", cloud_beds.KEY) if word in shown}
    assert cloud.pods() == []
