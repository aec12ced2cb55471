"""Whatever the strings of an order hold, they arrive as they are: by GraphQL and by REST v2."""

from __future__ import annotations

import json
from dataclasses import replace

import cloud_beds
import pytest
from cloud_beds import CPU, GPU
from hypothesis import given
from hypothesis import strategies as st
from runpod_cloud.graphql import parse
from runpod_cloud.pods import command

from provision.errors import InputError
from provision.pods.cloud import NetworkVolume
from provision.pods.runpod import mutation
from provision.pods.runpod.orders import create_body, masked, secrets_of

NASTY = (
    'a "quoted" word', "it's", 'an end"}) { id } }', "back\\slash", "\\", '\\"', "two\nlines\r\n", "\ttab",
    "$HOME `id` $(id)", "{{ braces }}", "#comment", '"""block"""', "日本語 ünï 😀",
    "\u2028\u2029\ufeff\x7f\x01", "a,b:c",
    " spaces ", "%s %d {}", "x" * 65536,
)  # fmt: skip
VOLUME = NetworkVolume(id="vol1", name="models", size=10, datacenter="EU-RO-1")


def texts():
    """Any text that has an encoding: what has none is refused before it is sent."""
    return st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(texts())
def test_a_literal_is_one_string_of_graphql_with_the_same_text(text):
    (operation,) = parse(f"mutation {{ x(input: {{ a: {mutation.literal(text)}, b: 1 }}) {{ id }} }}")

    assert operation.fields[0].arguments == {"input": {"a": text, "b": 1}}
    assert mutation.literal(text).isascii()


@given(texts(), texts())
def test_no_string_of_an_order_changes_the_mutation_around_it(text, other):
    order = cloud_beds.order(VOLUME, CPU, "sh", "-c", text, WORD=other)
    order = replace(order, name=text, image=other, mount=text, env={**order.env, other: text})

    (operation,) = parse(mutation.create_mutation(order))

    (field,) = operation.fields
    back = [inner.name for inner in field.fields]
    told = field.arguments["input"]
    assert (field.name, back) == ("deployCpuPod", ["id", "desiredStatus", "costPerHr"])
    assert (told["name"], told["imageName"], told["volumeMountPath"]) == (text, other, text)
    assert {pair["key"]: pair["value"] for pair in told["env"]} == order.env
    assert command(told["dockerArgs"]) == ["sh", "-c", text]


def test_a_mutation_asks_for_exactly_what_was_ordered():
    order = cloud_beds.order(VOLUME, CPU, "sh", "-c", "true")
    order = replace(order, name="a", env={"A": "1"}, deadline=1_800_000_000.5)

    cpu = parse(mutation.create_mutation(order))[0].fields[0]
    gpu = parse(mutation.create_mutation(replace(order, offer=GPU)))[0].fields[0]

    common = {
        "name": "a", "imageName": "python:3.12-slim", "cloudType": "SECURE", "dataCenterId": "EU-RO-1",
        "networkVolumeId": "vol1", "volumeMountPath": "/workspace", "containerDiskInGb": 10, "ports": "8000/http",
        "dockerArgs": '{"entrypoint": ["sh"], "cmd": ["-c", "true"]}', "env": [{"key": "A", "value": "1"}],
        "startSsh": False, "supportPublicIp": False, "terminateAfter": "2027-01-15T08:05:00Z",
    }  # fmt: skip
    assert cpu.arguments == {"input": {**common, "instanceId": "cpu3c-2-4"}}
    assert gpu.name == "podFindAndDeployOnDemand"
    assert gpu.arguments == {"input": {**common, "gpuTypeId": GPU.id, "gpuCount": 1, "volumeInGb": 0}}


@pytest.mark.parametrize("way", cloud_beds.WAYS)
@pytest.mark.parametrize("offer", [CPU, GPU], ids=["cpu", "gpu"])
def test_every_string_of_an_order_arrives_in_the_pod_as_it_is(way, offer):
    with cloud_beds.runpod(way) as bed:
        volume = bed.volume()
        for text in NASTY:
            order = cloud_beds.order(volume, offer, "sleep", "600", text, WORD=text, **{f"K_{text[:9]}": "x"})
            order = replace(order, name=text, image=f"image:{text}", mount=f"/mnt/{text}")

            pod = bed.cloud.create_pod(order)

            (told,) = [one.order for one in bed.stand_in.pods if one.id == pod.id]
            assert (told.name, told.image, told.mount) == (text, f"image:{text}", f"/mnt/{text}")
            assert told.env == order.env
            assert command(told.args) == ["sleep", "600", text]
            assert (told.volume_id, told.datacenters, told.ports) == (volume.id, ["EU-RO-1"], ["8000/http"])
            assert (told.cloud, told.disk) == ("SECURE", 10)
            assert bed.cloud.pod(pod.id).name == text
            bed.cloud.delete_pod(pod.id)


@pytest.mark.parametrize("way", cloud_beds.WAYS)
@pytest.mark.parametrize("text", ["half a letter \udc80", "a nul \0"])
def test_what_is_no_text_is_refused_before_anything_is_sent(way, text):
    with cloud_beds.runpod(way) as bed:
        good = bed.order()
        bad = (
            replace(good, name=text), replace(good, image=text), replace(good, command=("sh", text)),
            replace(good, mount=text), replace(good, env={"A": text}), replace(good, env={text: "x"}),
        )  # fmt: skip
        for order in bad:
            with pytest.raises(InputError, match="no text") as refused:
                bed.cloud.create_pod(order)
            assert text not in str(refused.value) or text in order.env

        assert not bed.stand_in.asked("createPod", "deployCpuPod")


def test_a_machine_that_is_no_instance_is_refused_before_anything_is_sent():
    with cloud_beds.runpod("rest") as bed:
        for name in ("cpu3c", "cpu3c-2", "cpu3c-0-4", 'cpu3c-2-4"'):
            with pytest.raises(InputError, match="no CPU instance"):
                bed.cloud.create_pod(replace(bed.order(), offer=replace(CPU, id=name)))
        assert not bed.stand_in.asked("createPod")


@pytest.mark.parametrize("way", cloud_beds.WAYS)
def test_what_is_told_beforehand_is_what_is_sent_but_for_secrets(way):
    with cloud_beds.runpod(way) as bed:
        order = bed.order("sh", "-c", 'echo "$A"', HF_TOKEN="hf_tokentokentoken")

        (told,) = bed.cloud.requests(order)
        bed.cloud.create_pod(order)

        (sent,) = bed.stand_in.asked("createPod", "deployCpuPod")
        assert (told.method, told.url) == (sent.method, bed.stand_in.url + sent.path)
        unmasked = sent.text
        for name, value in order.env.items():
            if masked(order).env[name] != value:
                unmasked = unmasked.replace(value, "***")
        assert meaning(told.body) == meaning(unmasked)


def meaning(body):
    document = json.loads(body)
    return [operation.fields for operation in parse(document["query"])] if "query" in document else document


def test_masks_keep_what_is_public_and_tell_the_size_of_what_is_long():
    public = {"PROVISION_LEASE": "provision-x", "PROVISION_DEADLINE": "1800000000", "OTHER": "{{ RUNPOD_SECRET_hf }}"}
    secret = {"HF_TOKEN": "hf_tokentokentoken", "MINE": "xyzzy", "EMPTY": ""}
    long = {"PROVISION_SCRIPT": "x" * 9000, "PROVISION_PARCEL_0": "y" * 12300, "LONG": "z" * 2000}
    mixed = {"PROVISION_PACKAGE": "https://me:passw0rd@host/a.whl"}
    order = replace(cloud_beds.order(VOLUME, CPU), env=public | secret | long | mixed)

    assert masked(order).env == {
        **public, **dict.fromkeys(secret, "***"), "PROVISION_SCRIPT": "<… 9 kB>", "PROVISION_PARCEL_0": "<… 12 kB>",
        "LONG": "<… 2 kB>", "PROVISION_PACKAGE": "https://***@host/a.whl",
    }  # fmt: skip
    assert {"hf_tokentokentoken", "https://me:passw0rd@host/a.whl"} <= {*secrets_of(order)}
    assert "provision-x" not in secrets_of(order)
    assert create_body(masked(order))["env"] == masked(order).env
