"""Indexes and shards: what transformers and diffusers need of them."""

from __future__ import annotations

import pytest
from composition_bed import SMALL, found, gguf, index, rules, tensors, text, without

ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
SHARDED = {
    "config.json": text(model_type="llama"),
    INDEX: index(20, a=ONE, b=ONE, c=TWO),
    ONE: tensors(a=4, b=4),
    TWO: tensors(c=2),
}


def test_an_index_with_all_its_tensors_fits():
    assert rules(SHARDED) == []


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors.index.json",
        "model.safetensors.index.fp16.json",
        "diffusion_pytorch_model.safetensors.index.json",
        "diffusion_pytorch_model.safetensors.fp16.index.json",
        "consolidated.safetensors.index.json",
        "deep/er/model.safetensors.index.json",
    ],
)
def test_a_shard_that_is_missing_is_grave_under_any_name_of_an_index(name):
    folder = name.rpartition("/")[0]
    files = {name: index(20, a="one.safetensors", c="two.safetensors")}
    path = f"{folder}/one.safetensors" if folder else "one.safetensors"

    misfit = next(m for m in found(files | {path: tensors(a=4)}) if m.grave)

    assert (misfit.rule, misfit.path) == ("shard-missing", name)
    assert misfit.lacking == (path.replace("one", "two"),)
    assert "two.safetensors" in misfit.detail


def test_a_pickled_set_needs_its_shards_and_is_not_opened():
    shards = {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}
    files = {"pytorch_model.bin.index.json": index(1, **shards)} | dict.fromkeys(shards.values(), b"\x80\x02 pickle")

    assert rules(files) == []
    assert rules(without(files, shards["b"])) == ["shard-missing!"]


def test_a_tensor_in_no_shard_is_told_since_converters_leave_tied_ones_in_the_index():
    misfits = found(SHARDED | {INDEX: index(20, a=ONE, b=ONE, c=TWO, d=TWO)})

    assert [(m.rule, m.grave) for m in misfits] == [("tensor-missing", False)]
    assert "`d`" in misfits[0].detail


def test_a_tensor_in_another_shard_than_the_index_says_is_told():
    assert rules(SHARDED | {INDEX: index(20, a=ONE, b=TWO, c=TWO)}) == ["tensor-misplaced"]


def test_a_tensor_in_two_shards_is_told():
    assert rules(SHARDED | {TWO: tensors(c=2, a=4), INDEX: index(28, a=ONE, b=ONE, c=TWO)}) == ["tensor-twice"]


def test_a_wrong_total_size_is_told_and_not_grave_since_no_reader_looks_at_it():
    assert rules(SHARDED | {INDEX: index(21, a=ONE, b=ONE, c=TWO)}) == ["total-size"]
    assert rules(SHARDED | {INDEX: index(None, a=ONE, b=ONE, c=TWO)}) == []


def test_an_index_without_metadata_is_told_since_transformers_asks_for_it():
    assert rules(SHARDED | {INDEX: text(weight_map={"a": ONE, "b": ONE, "c": TWO})}) == ["unreadable-index"]


def test_a_tensor_that_is_given_twice_is_told():
    twice = f'{{"metadata":{{}},"weight_map":{{"a":"{TWO}","a":"{ONE}","b":"{ONE}","c":"{TWO}"}}}}'

    assert rules(SHARDED | {INDEX: twice.encode()}) == ["unreadable-index"]


@pytest.mark.parametrize(
    "document",
    [
        b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"weight_map": []}', b'{"weight_map": {"a": 1}}',
        b'{"weight_map": {"a": "../../x.safetensors"}}', b'{"weight_map": {"a": "/etc/passwd"}}',
        b'{"weight_map": {"a": "x\\u0000"}}', b'{"weight_map": {"a": ""}}', b'{"weight_map": {"a": "\\ud800"}}',
        b'{"weight_map": {"a": ' + b"9" * 5000 + b"}}",
    ],
)  # fmt: skip
def test_an_index_that_says_nothing_fit_is_one_grave_misfit(document):
    misfits = [m for m in found(SHARDED | {INDEX: document}) if m.path == INDEX]

    assert [(m.rule, m.grave) for m in misfits] == [("unreadable-index", True)]
    assert misfits[0].detail.isprintable()


def test_a_shard_that_is_no_safetensors_is_grave():
    assert "bad-header!" in rules(SHARDED | {TWO: b"version https://git-lfs.github.com/spec/v1\n"})


def test_what_readers_take_before_an_index_makes_its_faults_less_grave():
    files = without(SHARDED, TWO) | {"model.safetensors": SMALL}

    assert rules(files) == ["shard-missing"]


def test_an_index_none_of_whose_shards_was_asked_for_is_told_only():
    assert rules({INDEX: SHARDED[INDEX]}) == ["shard-missing"]
    assert rules({INDEX: SHARDED[INDEX], "q4.gguf": gguf()}) == ["shard-missing"]


def test_an_index_without_shards_that_hides_the_pickles_beside_it_is_grave():
    assert rules({INDEX: SHARDED[INDEX], "pytorch_model.bin": b"\x80\x02"}) == ["shard-missing!"]


def test_the_index_of_pickles_that_were_left_out_beside_safetensors_is_no_fault():
    pickles = {"pytorch_model.bin.index.json": index(1, a="pytorch_model-00001-of-00001.bin")}

    assert rules(SHARDED | pickles) == []


def test_a_number_that_is_missing_is_grave_where_readers_know_the_name_and_told_elsewhere():
    assert rules({TWO: SMALL}) == ["shard-missing!"]
    assert rules({"part-00002-of-00003.safetensors": SMALL}) == ["shard-missing"]
    assert rules({"model-00000-of-00002.safetensors": SMALL, "model-00001-of-00002.safetensors": SMALL}) == [
        "index-missing"
    ]


def test_shards_that_no_index_names_are_told_where_readers_need_one():
    assert rules(without(SHARDED, INDEX)) == ["index-missing"]
    assert rules({"part-00001-of-00001.safetensors": SMALL}) == []


def test_left_over_shards_beside_an_index_are_told_and_no_more():
    left_over = {"model-00001-of-00003.safetensors": SMALL}

    assert rules(SHARDED | left_over) == ["shard-missing"]
    assert "shard-missing!" in rules(SHARDED | left_over | {INDEX: b"{"})
    other_tag = {"model-00001-of-00003.fp16.safetensors": SMALL}
    assert rules(SHARDED | other_tag) == ["shard-missing!"]


def test_a_left_over_set_that_is_whole_needs_no_index_of_its_own():
    assert rules(SHARDED | {"model-00001-of-00001.safetensors": SMALL}) == []


def test_an_index_may_name_a_shard_from_here():
    assert rules(SHARDED | {INDEX: index(20, a=f"./{ONE}", b=f"./{ONE}", c=TWO)}) == []


def test_safetensors_that_readers_do_not_look_for_make_no_missing_pickle_less_grave():
    shards = {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}
    half = {"pytorch_model.bin.index.json": index(1, **shards), shards["a"]: b"\x80\x02"}

    assert rules(half | {"extra_lora.safetensors": tensors(alpha=1)}) == ["shard-missing!"]
    assert rules(half | {"model.safetensors": SMALL}) == ["shard-missing"]


def test_the_stale_index_of_pickles_beside_weights_of_any_name_is_no_fault():
    stale = {"pytorch_model.bin.index.json": index(1, a="pytorch_model-00001-of-00001.bin")}

    assert rules(stale | {"gptq_model-4bit-128g.safetensors": SMALL}) == []


def test_ten_thousand_missing_shards_are_one_misfit_of_one_line():
    homes = {f"t{n}": f"shard-{n}.safetensors" for n in range(10_000)}
    (misfit,) = found({INDEX: text(metadata={}, weight_map=homes), "shard-0.safetensors": tensors(t0=1)})

    assert "9,996 more" in misfit.detail
    assert len(misfit.detail) < 400
    assert len(misfit.lacking) <= 100
