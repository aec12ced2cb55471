"""Where neither the pod's address nor its log can be had, what it leaves on the volume is read through S3."""

from __future__ import annotations

import json

import pytest
from s3_bed import BUCKET, KEYS, admin, moto
from test_pod_status import FULL

from provision.cli.pod.markers import marker
from provision.errors import PodError
from provision.pods.cloud import NetworkVolume, Pod, State
from provision.pods.status import status_document
from provision.pods.ways import Marker

POD = Pod(id="x", name="provision-p", state=State.RUNNING, is_up=True)
VOLUME = NetworkVolume(id=BUCKET, name="models", size=10, datacenter="EU-RO-1")


@pytest.fixture
def bucket(monkeypatch):
    """The volume, as S3 has it, and an environment that has keys for it."""
    with moto() as address:
        client = admin(address)
        client.create_bucket(Bucket=BUCKET)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        monkeypatch.setenv("RUNPOD_S3_ACCESS_KEY", KEYS.access)
        monkeypatch.setenv("RUNPOD_S3_SECRET_KEY", KEYS.secret)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield lambda name, data: client.put_object(Bucket=BUCKET, Key=f".provision/jobs/provision-p{name}", Body=data)


def test_status_and_result_come_through_s3(bucket):
    way = Marker(marker(cloud=None, volume=VOLUME), POD)
    with pytest.raises(PodError, match="nothing of the pod on the volume yet"):
        way.status()
    assert way.result() is None

    bucket(".json", json.dumps(status_document(FULL)).encode())
    bucket(".result.json", b'{"schema": 1}')

    assert way.status() == FULL
    assert way.result() == b'{"schema": 1}'


@pytest.mark.usefixtures("bucket")
def test_a_server_that_is_not_there_is_no_more_than_a_closed_way(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(PodError, match="cannot be read from here"):
        Marker(marker(cloud=None, volume=VOLUME), POD).status()


def test_without_keys_nobody_asks(monkeypatch):
    for name in ("RUNPOD_S3_ACCESS_KEY", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    assert marker(cloud=None, volume=VOLUME) is None
