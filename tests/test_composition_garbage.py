"""Whatever a hub sends: misfits and nothing else, in bounded time and memory."""

from __future__ import annotations

import json
import struct
import time
import tracemalloc

import pytest
from composition_bed import SMALL, Held, gguf, gguf_words, index, inside, onnx, outside, tensors, text
from hypothesis import given, settings
from hypothesis import strategies as st

import provision.composition
from provision.composition import Misfit, misfits

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
    "brackets": b"[" * 30_000_000,
    "objects": b"[" + b"{}," * 9_000_000 + b"{}]",
    "tensors": b'{"weight_map":{' + b",".join(b'"%d":"a"' % n for n in range(400_000)) + b"}}",
    "digits": b'{"weight_map":' + b"9" * 30_000_000 + b"}",
    "too-long": b'{"weight_map":{}}' + b" " * 40_000_000,
}


@pytest.mark.parametrize("data", HEAVY.values(), ids=list(HEAVY))
def test_an_index_that_is_heavy_on_purpose_costs_little(data):
    seconds, memory = cost({"model.safetensors.index.json": data})

    assert seconds < 10
    assert memory < 400_000_000


def test_a_header_that_is_heavy_on_purpose_costs_little():
    assert cost({"m.onnx": onnx(*[outside(f"{n}") for n in range(100_000)])}) < (60, 100_000_000)

    words = gguf_words("t", [])[:-8] + struct.pack("<Q", 5_000_000) + struct.pack("<Q", 0) * 5_000_000
    begun = time.perf_counter()
    assert [misfit.rule for misfit in misfits(Held({"m.gguf": gguf([], [words])}))] == ["unchecked"]
    assert time.perf_counter() - begun < 60


def cost(files: dict[str, bytes]) -> tuple[float, int]:
    """Seconds, and bytes beside the files themselves; in a second run, since counting them takes far longer."""
    begun = time.perf_counter()
    assert misfits(Held(files)) is not None
    seconds = time.perf_counter() - begun
    tracemalloc.start()
    try:
        misfits(Held(files))
        return seconds, tracemalloc.get_traced_memory()[1]
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


def test_a_listing_of_a_quarter_million_files_takes_seconds():
    names = (f"{n % 500}/model-{n:05}-of-99999.safetensors.index.json" for n in range(125_000))
    others = (f"{n % 7}/diffusion_pytorch_model-{n % 99999:05}-of-99999.bin" for n in range(125_000))
    begun = time.perf_counter()

    assert misfits(Held(dict.fromkeys((*names, *others), b"")))
    assert time.perf_counter() - begun < 60
