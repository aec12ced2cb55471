"""What a header says is read as it is written, whoever wrote it."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, TensorSpec, deserialize, serialize
from safetensors_corpus import entry, file, one

from provision.tensorfile import BITS, HeaderFault, parse_header

# The names by which the library takes dtypes for writing; it reads them by those of the format.
WRITABLE = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "int16": "I16",
    "uint16": "U16",
    "float16": "F16",
    "bfloat16": "BF16",
    "int32": "I32",
    "uint32": "U32",
    "float32": "F32",
    "float64": "F64",
    "int64": "I64",
    "uint64": "U64",
    "complex64": "C64",
}

characters = st.characters(exclude_categories=["Cs"])
names = st.text(characters, max_size=40).filter(lambda name: name != "__metadata__")
tensors = st.tuples(st.sampled_from(sorted(WRITABLE)), st.lists(st.integers(0, 4), max_size=5))
metadata = st.none() | st.dictionaries(
    st.text(characters, max_size=20), st.text(characters, max_size=60), min_size=1, max_size=5
)


def count(shape: list[int]) -> int:
    elements = 1
    for dimension in shape:
        elements *= dimension
    return elements


def written(described: dict[str, tuple[str, list[int]]], notes: dict[str, str] | None) -> bytes:
    """A file by the real writer, of zeros."""
    zeros = ctypes.create_string_buffer(8 * 4**5)
    specs = {
        name: TensorSpec(
            dtype=dtype,
            shape=shape,
            data_ptr=ctypes.addressof(zeros),
            data_len=count(shape) * BITS[WRITABLE[dtype]] // 8,
        )
        for name, (dtype, shape) in described.items()
    }
    return bytes(serialize(specs, metadata=notes))


@given(described=st.dictionaries(names, tensors, max_size=12), notes=metadata)
def test_what_the_real_writer_writes_is_read_with_its_facts(described, notes):
    content = written(described, notes)

    header = parse_header(content, len(content))

    assert {tensor.name: (tensor.dtype, tensor.shape) for tensor in header.tensors} == {
        name: (WRITABLE[dtype], tuple(shape)) for name, (dtype, shape) in described.items()
    }
    assert header.parameters == sum(count(shape) for _, shape in described.values())
    assert header.metadata == (notes or {})
    assert header.sha256 == hashlib.sha256(content[: header.size]).hexdigest()
    assert header.size + sum(tensor.end - tensor.begin for tensor in header.tensors) == len(content)


def test_the_one_file_that_the_real_writer_writes_and_refuses_is_refused():
    content = written({}, {})  # no tensors and empty metadata: {},"__metadata__":{}}

    with pytest.raises(SafetensorError):
        deserialize(content)
    with pytest.raises(HeaderFault):
        parse_header(content, len(content))


def test_parameters_are_counted_by_dtype_in_the_order_of_names():
    case = file(
        "mixed",
        f'{{"w":{entry("F4", "[4,2]", "[0,4]")},'
        f'"v":{entry("BF16", "[3]", "[4,10]")},"u":{entry("BF16", "[]", "[10,12]")}}}',
        data=12,
    )

    header = parse_header(case.head, case.file_size)

    assert list(header.dtypes.items()) == [("BF16", 4), ("F4", 8)]
    assert header.parameters == 12


def test_tensors_are_in_the_order_of_their_bytes():
    case = file("order", f'{{"b":{entry(offsets="[1,2]")},"a":{entry()},"z":{entry(shape="[0]", offsets="[1,1]")}}}', 2)

    assert [tensor.name for tensor in parse_header(case.head, case.file_size).tensors] == ["a", "z", "b"]


@pytest.mark.parametrize(
    ("json", "expected"),
    [
        ("{}", {}),
        ('{"__metadata__":null}', {}),
        ('{"__metadata__":{"format":"pt","":""}}', {"format": "pt", "": ""}),
        (r'{"__metadata__":{"a\nb":"\u6a21 \ud83d\ude00"}}', {"a\nb": "模 \U0001f600"}),
    ],
)
def test_metadata_is_read_with_its_escapes_resolved(json, expected):
    case = file("metadata", json)

    assert parse_header(case.head, case.file_size).metadata == expected


def test_the_digest_of_a_header_covers_its_length_its_json_and_its_padding_and_no_tensor():
    short, padded = file("short", f'{{"a":{entry()}}}', 1), file("padded", f'{{"a":{entry()}}} ', 1)

    digests = {
        parse_header(case.head + data, len(case.head) + 1).sha256 for case in (short, padded) for data in (b"1", b"2")
    }

    assert digests == {hashlib.sha256(short.head).hexdigest(), hashlib.sha256(padded.head).hexdigest()}


def test_a_header_cannot_be_changed():
    case = one("good", entry())
    header = parse_header(case.head, case.file_size)

    for facts in (header.dtypes, header.metadata):
        with pytest.raises(TypeError):
            facts["F32"] = 1
    with pytest.raises(AttributeError):
        header.parameters = 0


def test_a_hostile_name_cannot_move_the_cursor_or_turn_the_line_around():
    case = file("hostile", '{"\\u001b[2J\\u202e\\n' + "x" * 1000 + f'":{entry("Q")}}}', 1)

    with pytest.raises(Exception, match="dtype") as caught:
        parse_header(case.head, case.file_size)
    assert caught.value.message.startswith('tensor "\\u001b[2J\\u202e\\u000axxx')
    assert len(caught.value.message) < 200


def test_reading_a_header_imports_no_vendor():
    program = "import sys, provision.tensorfile; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()

    assert not {"numpy", "torch", "pydantic", "safetensors", "huggingface_hub", "urllib3"} & set(loaded)
