"""GGUF: what llama.cpp's reader refuses, from the header and the length of the file alone."""

from __future__ import annotations

import struct

import pytest
from composition_bed import Held, found, gguf, gguf_number, gguf_text, gguf_words, rules

from provision.composition import misfits
from provision.composition.gguf import BLOCK, LIMIT

Q4_K, F16, UNKNOWN = 12, 1, 250


def only(data: bytes) -> list[str]:
    return rules({"m.gguf": data})


@pytest.mark.parametrize("version", [2, 3])
def test_a_whole_file_fits(version):
    words = gguf_words("tokenizer.ggml.tokens", ["a", "b", ""])
    tensors = [("a", (256, 2), Q4_K, 0), ("b", (3, 5), F16, 288)]

    assert only(gguf(tensors, [words, gguf_number("x", 1)], version, data=288 + 30)) == []


def test_a_vocabulary_alone_fits():
    assert only(gguf([], data=0)) == []


def test_a_file_that_is_a_byte_short_is_grave():
    tensors = [("a", (256, 2), Q4_K, 0)]

    assert only(gguf(tensors, data=288)) == []
    assert only(gguf(tensors, data=287)) == ["gguf-too-short!"]


def test_the_alignment_that_the_file_says_counts():
    tensors = [("a", (4,), F16, 0), ("b", (4,), F16, 4096)]
    pair = gguf_number("general.alignment", 4096)

    assert only(gguf(tensors, [pair], data=4104, alignment=4096)) == []
    assert only(gguf(tensors, [pair], data=4103, alignment=4096)) == ["gguf-too-short!"]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"GGUF", b"GGUF\x03\0\0\0", gguf(data=0)[:40],
        gguf([], [gguf_text("k") + struct.pack("<IIQ", 9, 8, 3) + gguf_text("a")], data=0)[:-8],
    ],
)  # fmt: skip
def test_a_file_that_ends_in_its_header_is_grave(data):
    assert only(data)[0] in {"gguf-too-short!", "bad-gguf!"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "does not begin with GGUF"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0), "do not fit"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63), "do not fit"),
        (gguf([("a", (100,), Q4_K, 0)]), "multiple of 256"),
        (gguf([("a", (2**40, 2**40), 0, 0)]), "64 bits"),
        (gguf([("a", (4,), 0, 7)]), "multiple of 32"),
        (gguf([("a", (4,), 0, 0), ("a", (4,), 0, 32)]), "one name"),
        (gguf(pairs=[gguf_number("general.alignment", 3)]), "power of two"),
        (gguf(pairs=[gguf_number("general.alignment", 0)]), "power of two"),
        (gguf(pairs=[gguf_text("k") + struct.pack("<I", 99)]), "type 99"),
        (gguf(pairs=[gguf_text("k") + struct.pack("<IIQ", 9, 9, 1)]), "type 9"),
        (gguf(pairs=[struct.pack("<Q", 2**40)]), "a key of its metadata"),
    ],
)
def test_what_llama_cpp_refuses_is_grave_and_said(data, said):
    (misfit,) = found({"m.gguf": data})

    assert (misfit.rule, misfit.grave) == ("bad-gguf", True)
    assert said in misfit.detail


@pytest.mark.parametrize(
    ("name", "shape"),
    [("a" * 65, (4,)), ("a" * 127, (4,)), ("a" * 4096, (4,)), ("a", (1, 1, 1, 2, 4)), ("a", (1,) * 16)],
)
def test_tensors_of_image_and_video_models_fit(name, shape):
    """stable-diffusion.cpp has longer names, ComfyUI-GGUF more dimensions."""
    assert only(gguf([(name, shape, 0, 0)])) == []


@pytest.mark.parametrize(("name", "shape"), [("a" * 4097, (4,)), ("a", (1,) * 17)])
def test_tensors_that_no_program_writes_are_given_up_and_not_refused(name, shape):
    assert only(gguf([(name, shape, 0, 0)])) == ["unchecked"]


@pytest.mark.parametrize("version", [1, 4, 0x03000000])
def test_a_version_that_is_old_or_not_known_is_told(version):
    assert only(gguf(version=version)) == ["bad-gguf"]


def test_the_bytes_of_a_type_that_is_not_known_are_not_counted():
    assert only(gguf([("a", (2**30,), UNKNOWN, 0)], data=0)) == []


def test_a_split_model_needs_all_its_parts():
    parts = {f"q4/m-0000{n}-of-00003.gguf": gguf() for n in (1, 2, 3)}
    other = {"q8/m-00001-of-00001.gguf": gguf(), "m.gguf": gguf()}

    assert rules(parts | other) == []
    (misfit,) = found({path: data for path, data in (parts | other).items() if "00002-of-00003" not in path})
    assert (misfit.rule, misfit.grave, misfit.lacking) == ("gguf-part-missing", True, ("q4/m-00002-of-00003.gguf",))


def test_weights_are_not_read_and_numbers_of_metadata_are_passed_over():
    numbers = gguf_text("scores") + struct.pack("<IIQ", 9, 6, 10**6)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + numbers
    tail = gguf_text("a") + struct.pack("<IQIQ", 1, 10**9, 0, 0)
    held = Held({"m.gguf": head + bytes(4 * 10**6) + tail}, {"m.gguf": 5 * 10**9})

    assert misfits(held) == ()
    assert sum(end - start for _, start, end in held.asked) <= 2 * BLOCK


def test_the_vocabulary_of_a_quant_is_three_requests_at_most():
    """A hub lists twenty-five of a model, and each request is a wait."""
    words = gguf_words("tokens", (f"{n:024}" for n in range(280_000)))
    held = Held({"m.gguf": gguf(pairs=[words])})

    assert misfits(held) == ()
    assert len(held.asked) <= 3


def test_a_header_without_end_is_given_up():
    """Words of no length fill a file of 5 GB: the check ends after some of it, and says so."""
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + gguf_text("k") + struct.pack("<IIQ", 9, 8, 6 * 10**8)
    held = Held({"m.gguf": head}, {"m.gguf": 5 * 10**9})

    (misfit,) = misfits(held)

    assert (misfit.rule, misfit.grave) == ("unchecked", False)
    assert 0 < len(held.asked) <= LIMIT
