"""Lists of pods: each pod comes with its parcel, and hundreds of them must not blind whoever looks for what is left."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import cloud_beds
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_server import FLOOD, RawServer

from provision.errors import CloudUnavailable
from provision.pods.job import PARCEL_LIMIT, VARIABLE_LIMIT
from provision.pods.runpod import RunPod, abridged
from provision.pods.runpod.abridged import LONG, Abridged
from provision.retry import Patience

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"


def listed(number: int) -> bytes:
    """A pod with the largest parcel that there may be."""
    count = PARCEL_LIMIT // VARIABLE_LIMIT
    env = {"PROVISION_VOLUME_ID": "vol1"} | {
        f"PROVISION_PARCEL_{part}": "A/" * (VARIABLE_LIMIT // 2) for part in range(count)
    }
    return json.dumps({"id": f"pod{number}", "name": f"n{number}", "status": "RUNNING", "env": env}).encode()


def listing(count: int) -> bytes:
    return b'{"pods": [' + b", ".join(map(listed, range(count))) + b"]}"


def at(server: RawServer) -> RunPod:
    return RunPod(cloud_beds.settings(server.address, patience=Patience(attempts=1)))


def test_pods_with_large_parcels_are_all_listed() -> None:
    with RawServer(HEAD + listing(20)) as server:
        pods = at(server).pods()

    assert [(pod.id, pod.name, pod.volume_id) for pod in pods] == [(f"pod{n}", f"n{n}", "vol1") for n in range(20)]


def test_two_hundred_of_them_are_read_without_being_held() -> None:
    one = listed(0)
    tracemalloc.start()
    list_ = Abridged()
    list_.take(b"[")
    for _ in range(200):
        for begin in range(0, len(one), 256 * 1024):
            list_.take(one[begin : begin + 256 * 1024])
        list_.take(b", ")
    list_.take(b"0]")
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(json.loads(list_.text)) == 201
    assert held < 8 * 1024 * 1024


def test_a_list_without_an_end_is_none() -> None:
    with (
        RawServer(HEAD + b'{"pods": [' + FLOOD + b"[0], " * 100_000) as server,
        pytest.raises(CloudUnavailable, match="no end"),
    ):
        at(server).pods()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40) | st.sampled_from(["\\" * 9, '"' * 9, '\\"' * 5]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
)


def emptied(value: Any, longest: int) -> Any:
    """`value` without its long strings."""
    if isinstance(value, str):
        return value if len(json.dumps(value)) - 2 <= longest else ""
    if isinstance(value, list):
        return [emptied(item, longest) for item in value]
    if isinstance(value, dict):
        return {emptied(name, longest): emptied(item, longest) for name, item in value.items()}
    return value


@given(json_values, st.integers(1, 7))
def test_wherever_a_text_is_cut_it_is_the_same_without_its_long_strings(value: Any, step: int) -> None:
    text = json.dumps(value).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(abridged, "LONG", 12)
        found = Abridged()
        for begin in range(0, len(text), step):
            found.take(text[begin : begin + step])

    assert json.loads(found.text) == emptied(value, 12)
    assert found.size == len(found.text)


@pytest.mark.parametrize("text", [b'{"a": "x', b'{"a": "x\\', b'["' + b"x" * (LONG + 1), b'"a" "b"', b"<html>"])
def test_what_is_no_json_stays_none(text: bytes) -> None:
    found = Abridged()
    found.take(text)

    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        json.loads(found.text)
