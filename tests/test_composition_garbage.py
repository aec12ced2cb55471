"""Whatever a hub sends: misfits and nothing else, in bounded time and memory."""

from __future__ import annotations

import json
import struct
import sys
import tracemalloc

import pytest
from composition_bed import SMALL, Held, gguf, gguf_words, index, inside, onnx, outside, rules, tensors, text
from hypothesis import given, settings
from hypothesis import strategies as st

import provision.composition
from provision.composition import Misfit, misfits
from provision.composition.document import VALUES as MOST

NAMES = st.sampled_from(
    [
        "model.safetensors.index.json", "model.safetensors", "model-00001-of-00002.safetensors", "m.gguf", "m.onnx",
        "d", "pytorch_model.bin.index.json", "model_index.json", "config.json", "tokenizer_config.json",
        "unet/config.json", "unet/model.fp16.safetensors", "lora.safetensors", "adapter_model.safetensors",
        "m-00001-of-00009.gguf", "model-00000-of-00000.safetensors", "model-99999-of-99999.bin",
    ]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
INDEXES = st.fixed_dictionaries(
    {},
    optional={
        "metadata": VALUES | st.fixed_dictionaries({"total_size": VALUES}),
        "weight_map": VALUES | st.dictionaries(st.text(max_size=4), NAMES | st.text(max_size=8) | VALUES, max_size=6),
        "unet": VALUES | st.just(["diffusers", "UNet2DConditionModel"]),
        "tokenizer_class": VALUES,
        "model_type": VALUES,
    },
)
DOCUMENTS = (VALUES | INDEXES).map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
SEEDS = st.sampled_from(
    [
        gguf([("a", (256, 2), 12, 0)], [gguf_words("t", ["a", "b"])]), onnx(outside("d"), inside()), SMALL,
        index(8, w="model.safetensors"), text(unet=["diffusers", "UNet2DConditionModel"]),
    ]
)  # fmt: skip


@st.composite
def mutations(draw) -> bytes:
    """A true file, cut, or with some bytes changed."""
    data = bytearray(draw(SEEDS))
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=60) | mutations() | DOCUMENTS, max_size=6))
def test_any_bytes_under_any_name_give_misfits_and_nothing_else(files):
    for misfit in misfits(Held(files)):
        assert isinstance(misfit, Misfit)
        assert misfit.path in files
        assert misfit.detail.isprintable()
        assert len(misfit.detail) < 1000


HEAVY = {
    "brackets": lambda: b"[" * 30_000_000,
    "objects": lambda: b"[" + b"{}," * 9_000_000 + b"{}]",
    "tensors": lambda: b'{"weight_map":{' + b",".join(b'"%d":"a"' % n for n in range(990_000)) + b"}}",
    "most": lambda: b'{"weight_map":{' + b",".join(b'"%080d":"%040d"' % (n, n) for n in range(MOST // 2 - 10)) + b"}}",
    "digits": lambda: b'{"weight_map":' + b"9" * 30_000_000 + b"}",
    "too-long": lambda: b'{"weight_map":{}}' + b" " * 40_000_000,
}
BUDGET = 100 * 1024 * 1024
"""Bytes that a check may take: a whole program has 150 MiB, and some 45 of them before it begins."""


@pytest.mark.parametrize("kind", HEAVY)
def test_an_index_that_is_heavy_on_purpose_keeps_the_budget_of_memory_and_is_read_once(kind):
    held = Held({"model.safetensors.index.json": HEAVY[kind]()})

    assert weighed(held)[0] < BUDGET
    assert len(held.asked) <= 1


def test_the_largest_indexes_known_are_checked():
    homes = {f"model.layers.{n}.mlp.experts.weight": "model-00001-of-00163.safetensors" for n in range(140_000)}

    assert rules({"model.safetensors.index.json": index(1, **homes)}) == ["shard-missing"]


def test_a_header_that_is_heavy_on_purpose_keeps_the_budget_and_is_given_up():
    sides = Held({"m.onnx": onnx(*[outside(f"{n}") for n in range(20_000)])})
    words = gguf_words("t", [])[:-8] + struct.pack("<Q", 5_000_000) + struct.pack("<Q", 0) * 5_000_000
    vocabulary = Held({"m.gguf": gguf([], [words])})
    shard = Held({"lora.safetensors": header(9_000_000)})

    for held in (sides, vocabulary, shard):
        taken, found = weighed(held)
        assert taken < BUDGET
        assert [misfit.rule for misfit in found] == ["unchecked"]
        assert len(held.asked) <= 2 * 16


def header(length: int) -> bytes:
    """A safetensors file without a tensor, and a header of so many bytes."""
    return struct.pack("<Q", length) + b"{}".ljust(length)


def weighed(held: Held) -> tuple[int, tuple[Misfit, ...]]:
    """Bytes that a check takes at most, beside the files themselves, and what it finds."""
    tracemalloc.start()
    try:
        found = misfits(held)
        return tracemalloc.get_traced_memory()[1], found
    finally:
        tracemalloc.stop()


def test_a_model_of_a_hundred_shards_holds_the_names_only():
    """Headers are read once each, one after the other."""
    shards = {
        f"model-{n:05}-of-00100.safetensors": tensors(**{f"layer.{n}.{i}": 1 for i in range(40)}) for n in range(1, 101)
    }
    homes = {f"layer.{n}.{i}": f"model-{n:05}-of-00100.safetensors" for n in range(1, 101) for i in range(40)}
    held = Held(shards | {"model.safetensors.index.json": index(8000, **homes)})

    assert misfits(held) == ()
    assert len(held.asked) == 201


def test_a_hub_of_a_thousand_heavy_files_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr(provision.composition, "BUDGET", 1_000_000)
    held = Held({}, {f"{n}/model.safetensors.index.json": 200_000 for n in range(1000)})
    held.files = dict.fromkeys(held.sizes, b"{}")

    found = misfits(held)

    assert sum(end - start for _, start, end in held.asked) <= 1_000_000
    assert [misfit.rule for misfit in found if not misfit.grave] == ["unchecked"]


def test_twice_the_files_are_twice_the_work():
    """However they are named: a hub may list a quarter million."""
    assert calls(listing(4000)) < 2.5 * calls(listing(2000))


@pytest.mark.parametrize("name", ["m{}-00001-of-99999.gguf", "model{}-00002-of-99999.safetensors"])
def test_what_a_name_announces_costs_nothing(name):
    held = Held({}, dict.fromkeys((name.format(n) for n in range(30)), 0))
    held.files = dict.fromkeys(held.sizes, b"")

    assert calls(held.files) < 30 * 3000
    assert any("99,998" in misfit.detail for misfit in misfits(held))


def listing(count: int) -> dict[str, bytes]:
    names = [f"{n % 50}/model-{n:05}-of-99999.safetensors.index.json" for n in range(count)]
    names += [f"{n % 7}/diffusion_pytorch_model-{n:05}-of-99999.bin" for n in range(count)]
    names += [f"{n}/model_index.json" for n in range(count)] + [f"{n}/unet/model.safetensors" for n in range(count)]
    return dict.fromkeys(names, b"")


def calls(files: dict[str, bytes]) -> int:
    """Calls of functions that a check makes: what it costs, on a machine of any speed."""
    made = 0

    def count(*_: object) -> None:
        nonlocal made
        made += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        assert misfits(Held(files))
    finally:
        sys.setprofile(before)
    return made
