"""ONNX models with tensors in other files: these must be there, long enough, and in the model's folder."""

from __future__ import annotations

import pytest
from composition_bed import Held, field, found, inside, onnx, outside, rules

from provision.composition import misfits
from provision.composition.onnx import BLOCK, LIMIT


def test_a_model_that_holds_its_weights_fits():
    assert rules({"model.onnx": onnx(inside(), inside())}) == []


def test_a_model_with_its_side_file_fits():
    files = {"onnx/model.onnx": onnx(outside("model.onnx_data", 0, 8), outside("model.onnx_data", 8, 8))}

    assert rules(files | {"onnx/model.onnx_data": bytes(16)}) == []


def test_a_side_file_that_is_missing_is_grave_and_looked_for_beside_the_model():
    (misfit,) = found({"onnx/model.onnx": onnx(outside("model.onnx_data")), "model.onnx_data": bytes(8)})

    assert (misfit.rule, misfit.grave, misfit.lacking) == ("onnx-data-missing", True, ("onnx/model.onnx_data",))


@pytest.mark.parametrize(("offset", "length"), [(9, 8), (16, 1), (0, 17), (10**18, 10**18)])
def test_a_side_file_that_is_too_short_is_grave(offset, length):
    assert rules({"m.onnx": onnx(outside("d", offset, length)), "d": bytes(16)}) == ["onnx-data-short!"]


@pytest.mark.parametrize("location", ["../d", "/etc/passwd", "", "a/../../d"])
def test_a_location_that_leaves_the_folder_is_grave_and_never_looked_at(location):
    held = Held({"sub/m.onnx": onnx(outside(location)), "d": bytes(8)})

    (misfit,) = misfits(held)

    assert (misfit.rule, misfit.grave) == ("bad-onnx", True)
    assert misfit.detail.isprintable()
    assert {path for path, _, _ in held.asked} == {"sub/m.onnx"}


@pytest.mark.parametrize("location", ["a\\b", "C:/d", "c:w", "d\0", "x" * 3000, "a//b"])
def test_a_location_that_no_lock_can_hold_is_told(location):
    assert rules({"m.onnx": onnx(outside(location))}) == ["unchecked"]


def test_more_side_files_than_are_counted_are_told():
    files = {f"d{n}": bytes(8) for n in range(1001)}

    assert rules({"m.onnx": onnx(*map(outside, files))} | files) == ["unchecked"]


def test_an_offset_or_length_of_no_text_is_none_as_for_onnx():
    assert rules({"m.onnx": onnx(outside("d", "", "")), "d": bytes(1)}) == []


@pytest.mark.parametrize("value", ["-1", "1e3", "x", "9" * 30, "\u0663"])
def test_an_offset_that_is_no_number_is_grave(value):
    assert rules({"m.onnx": onnx(outside("d", value)), "d": bytes(16)}) == ["bad-onnx!"]


def test_a_location_without_the_word_that_it_counts_is_ignored_as_readers_do():
    tensor = outside("gone").removesuffix(field(14, 1))

    assert rules({"m.onnx": onnx(tensor)}) == []


def graph_of(*tensors: bytes) -> bytes:
    return b"".join(field(5, tensor) for tensor in tensors)


@pytest.mark.parametrize(
    "node",
    [
        field(5, field(5, outside("gone"))),
        field(5, field(10, outside("gone"))),
        field(5, field(22, field(1, outside("gone")))),
        field(5, field(23, field(2, outside("gone")))),
        field(5, field(6, graph_of(outside("gone")))),
        field(5, field(11, field(1, field(5, field(5, outside("gone")))))),
    ],
    ids=["constant", "list", "sparse", "sparse-list", "branch", "constant-in-a-branch"],
)
def test_tensors_are_found_wherever_they_can_be(node):
    assert rules({"m.onnx": onnx(nodes=[node])}) == ["onnx-data-missing!"]
    assert rules({"m.onnx": field(25, field(7, node))}) == ["onnx-data-missing!"]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"version https://git-lfs.github.com/spec/v1\n", b"<!DOCTYPE html>", onnx(inside())[:-1], b"\xff" * 20,
        field(7, b"") + b"\x3a\x7f", field(1, 10) + b"\x0b",
    ],
)  # fmt: skip
def test_what_is_no_protobuf_is_grave(data):
    assert rules({"m.onnx": data}) == ["bad-onnx!"]


def test_messages_in_each_other_without_end_are_refused():
    node = b""
    for _ in range(2000):
        node = field(5, field(6, field(1, node)))

    assert rules({"m.onnx": onnx(nodes=[node])}) == ["bad-onnx!"]


def test_many_models_that_hold_their_weights_are_few_requests():
    """Each is a wait for a hub: nine models of a hundred tensors."""
    model = onnx(*[inside(bytes(BLOCK + 1)) for _ in range(100)])
    held = Held({f"{n}.onnx": model for n in range(9)})

    assert misfits(held) == ()
    assert len(held.asked) <= 9 * 8


def test_weights_inside_are_passed_over_and_many_are_not_walked_to_the_end():
    tensors = [inside(bytes(BLOCK + 1)) for _ in range(LIMIT + 20)]
    held = Held({"m.onnx": onnx(outside("gone"), *tensors)})

    assert [misfit.rule for misfit in misfits(held)] == ["onnx-data-missing"]
    assert len(held.asked) <= LIMIT
