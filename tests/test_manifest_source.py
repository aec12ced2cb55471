"""How a source is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import InputError
from provision.manifest import Source

LEGAL = {
    "hf://Org/Name": Source(hub="hf", repository="Org/Name"),
    "hf://gpt2": Source(hub="hf", repository="gpt2"),
    "hf://Org/Name.v1-2_x@refs/pr/3": Source(hub="hf", repository="Org/Name.v1-2_x", revision="refs/pr/3"),
    "hf://Org/Name@1.10": Source(hub="hf", repository="Org/Name", revision="1.10"),
    "modelscope://iic/x--y@v2.0.4": Source(hub="modelscope", repository="iic/x--y", revision="v2.0.4"),
    "https://weights.example.org:8443/a/b": Source(hub="https", repository="weights.example.org:8443/a/b"),
    "https://weights.example.org/": Source(hub="https", repository="weights.example.org"),
}


@pytest.mark.parametrize(("text", "source"), LEGAL.items(), ids=list(LEGAL))
def test_a_source_is_read_and_written(text, source):
    assert Source.parse(text) == source
    assert str(source) == text.removesuffix("/")


MEANT = {
    "https://huggingface.co/Org/Name": "hf://Org/Name",
    "https://huggingface.co/Org/Name/tree/main": "hf://Org/Name@main",
    "https://huggingface.co/Org/Name/tree/refs%2Fpr%2F3": "hf://Org/Name@refs/pr/3",
    "https://huggingface.co/Org/Name/blob/main/a/b.safetensors": "hf://Org/Name@main",
    "http://hf.co/gpt2": "hf://gpt2",
    "https://www.modelscope.cn/models/iic/x/summary": "modelscope://iic/x",
    "Org/Name": "hf://Org/Name",
    "Org/Name@v1": "hf://Org/Name@v1",
    "hf:Org/Name": "hf://Org/Name",
    "HF://Org/Name": "hf://Org/Name",
    "huggingface://Org/Name": "hf://Org/Name",
    "ms://iic/x": "modelscope://iic/x",
    "modelscope:iic/x": "modelscope://iic/x",
    "modelscope:x": None,
    "gpt2": None,
    "s3://bucket/x": None,
    "../up": None,
}


@pytest.mark.parametrize(("text", "meant"), MEANT.items(), ids=list(MEANT))
def test_a_near_miss_is_refused_with_what_was_meant(text, meant):
    with pytest.raises(InputError) as caught:
        Source.parse(text)
    assert caught.value.hint == (f"did you mean `{meant}`?" if meant else "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hf://",
        "hf:///Name",
        "hf://Org/",
        "hf://Org/Name@",
        "hf://Org/Name/tree/main",
        "hf://datasets/Org/Name",
        "hf://Org/a--b",
        "hf://Org/a..b",
        "hf://Org/.hidden",
        "hf://Org/-dash",
        "hf://Org/..",
        "hf://Org/Na me",
        "hf://Org/Naïve",
        "hf://Org/" + "n" * 97,
        "modelscope://x",
        "hf://Org/Name@a b",
        "hf://Org/Name@../up",
        "hf://Org/Name@/main",
        "hf://Org/Name@main/",
        "hf://Org/Name@a//b",
        "hf://Org/Name@-x",
        "hf://Org/Name@a\nb",
        "hf://Org/Name@" + "r" * 256,
        "http://example.org/x",
        "https://me:secret@example.org/x",
        "https://example.org/x?token=secret",
        "https://example.org/x#y",
        "https:///x",
        "https://example.org/a//b",
        "https://example.org/../x",
        "https://example.org/a\u200bb",
        "https://example.org/\ue000",
        "https://example.org:0/x",
        "https://example.org:65536/x",
        "https://example.org/" + "x" * 2000,
        "https://[::1",
    ],
)
def test_what_no_hub_can_have_is_refused(text):
    with pytest.raises(InputError) as caught:
        Source.parse(text)
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


_NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_-]?[A-Za-z0-9.]?[A-Za-z0-9]){0,8}", fullmatch=True).filter(
    lambda n: "--" not in n
)
_REVISIONS = st.none() | st.from_regex(r"[A-Za-z0-9]([./@_-]?[A-Za-z0-9]){0,9}", fullmatch=True).filter(
    lambda r: ".lock" not in r
)


@given(st.sampled_from(["hf", "modelscope"]), _NAMES, _NAMES, _REVISIONS)
def test_what_is_written_reads_back_the_same(hub, owner, name, revision):
    source = Source(hub=hub, repository=f"{owner}/{name}", revision=revision)
    assert Source.parse(str(source)) == source


@given(st.text())
def test_no_text_makes_anything_but_a_source_or_an_input_error(text):
    try:
        source = Source.parse(text)
    except InputError:
        return
    assert Source.parse(str(source)) == source


def test_a_dataset_is_told_to_be_no_model():
    with pytest.raises(InputError, match="only model repositories can be a source"):
        Source.parse("hf://datasets/Org/Name")
