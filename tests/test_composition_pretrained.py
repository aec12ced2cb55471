"""Folders of transformers, LoRA and adapters: what is missing, and what only looks so."""

from __future__ import annotations

import pytest
from composition_bed import SMALL, found, gguf, onnx, rules, tensors, text, without

BERT = {
    "config.json": text(model_type="bert", architectures=["BertModel"]),
    "model.safetensors": SMALL,
    "tokenizer_config.json": text(tokenizer_class="BertTokenizer"),
    "vocab.txt": b"[PAD]\n",
}


def test_a_model_with_its_tokenizer_fits():
    assert rules(BERT) == []


def test_a_model_without_any_weights_is_told_since_a_tokenizer_may_be_all_that_is_wanted():
    misfits = found(without(BERT, "model.safetensors"))

    assert [(m.rule, m.path, m.grave) for m in misfits] == [("weights-missing", "config.json", False)]


@pytest.mark.parametrize(
    ("name", "data"),
    [("model.gguf", gguf()), ("onnx/model.onnx", onnx()), ("tf_model.h5", b"x"), ("flax_model.msgpack", b"x"),
     ("model.pt", b"x"), ("openvino_model.bin", b"x"), ("odd.name.safetensors", SMALL)],
)  # fmt: skip
def test_weights_of_another_format_are_weights(name, data):
    assert rules(without(BERT, "model.safetensors") | {name: data}) == []


def test_a_configuration_of_something_else_needs_no_weights():
    assert rules({"config.json": text(resolution=512)}) == []


def test_weights_beside_a_tokenizer_without_config_are_told():
    assert rules(without(BERT, "config.json")) == ["config-missing"]


@pytest.mark.parametrize(
    "files",
    [
        ["unet.safetensors"], ["model.safetensors"], ["text_encoder/model.fp16.safetensors"],
        ["diffusion_pytorch_model.safetensors"],
    ],
)  # fmt: skip
def test_single_files_that_were_picked_out_are_no_fault(files):
    assert rules(dict.fromkeys(files, SMALL)) == []


def test_a_tokenizer_without_its_vocabulary_is_grave():
    (misfit,) = found(without(BERT, "vocab.txt"))

    assert (misfit.rule, misfit.path, misfit.grave) == ("vocabulary-missing", "tokenizer_config.json", True)
    assert "`BertTokenizer`" in misfit.detail


def test_where_nobody_asked_for_weights_a_missing_vocabulary_is_told():
    assert rules(without(BERT, "vocab.txt", "model.safetensors")) == ["weights-missing", "vocabulary-missing"]


@pytest.mark.parametrize("kind", ["LlamaTokenizer", "T5TokenizerFast", "PreTrainedTokenizerFast", "Qwen2Tokenizer"])
def test_the_classes_that_are_known_need_one(kind):
    assert "vocabulary-missing!" in rules(
        without(BERT, "vocab.txt") | {"tokenizer_config.json": text(tokenizer_class=kind)}
    )


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer.json", "tokenizer.model", "tokenizer.model.v3", "spiece.model", "sentencepiece.bpe.model",
        "vocab.json", "merges.txt", "qwen.tiktoken", "source.spm", "tekken.json", "bpe.codes", "prophetnet.tokenizer",
        "dict.txt", "tokenization_chatglm.py", "byte_maps.json", "tokenizer.4.0.0.json",
    ],
)  # fmt: skip
def test_any_vocabulary_will_do(name):
    assert rules(without(BERT, "vocab.txt") | {name: b"{}"}) == []


@pytest.mark.parametrize(
    "config",
    [text(tokenizer_class="ByT5Tokenizer"), text(tokenizer_class="CanineTokenizer"), text(model_max_length=1),
     text(tokenizer_class="ByteTokenizer"), text(tokenizer_class="CharTokenizer"), text(tokenizer_class="BertJapanese"),
     text(tokenizer_class="BertTokenizer", auto_map={"AutoTokenizer": "x.y"}), text(tokenizer_class=7)],
)  # fmt: skip
def test_tokenizers_that_have_none_are_no_fault(config):
    assert rules(without(BERT, "vocab.txt") | {"tokenizer_config.json": config}) == []


@pytest.mark.parametrize("document", [b"", b"[]", b"\xff", b"{" * 10_000])
def test_a_tokenizer_configuration_that_is_no_object_is_grave(document):
    assert rules(without(BERT, "vocab.txt") | {"tokenizer_config.json": document}) == ["unreadable-config!"]


def test_an_adapter_without_its_configuration_is_told():
    adapter = {"adapter_model.safetensors": tensors(w=1)}

    assert rules(adapter) == ["adapter-config"]
    assert rules(adapter | {"adapter_config.json": text(peft_type="LORA")}) == []


@pytest.mark.parametrize(
    ("down", "up"),
    [
        ("lora_unet_a.lora_down.weight", "lora_unet_a.lora_up.weight"),
        ("base_model.model.q_proj.lora_A.weight", "base_model.model.q_proj.lora_B.weight"),
        ("unet.q.lora.down.weight", "unet.q.lora.up.weight"),
        ("model.q.lora_A.default.weight", "model.q.lora_B.default.weight"),
    ],
)
def test_a_half_of_a_pair_is_told(down, up):
    assert rules({"loras/My_LoRA_v1.safetensors": tensors(**{down: 4, up: 4, "alpha": 1})}) == []
    assert rules({"loras/My_LoRA_v1.safetensors": tensors(**{down: 4, "alpha": 1})}) == ["lora-pair"]
    assert rules({"checkpoint.safetensors": tensors(**{down: 4})}) == [], "only what calls itself LoRA is looked into"
