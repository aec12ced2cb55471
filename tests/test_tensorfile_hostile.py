"""Whatever the bytes are: a header that the library accepts too, or a fault, at a bounded cost."""

from __future__ import annotations

import itertools
import json
import math
import re
import struct
import tracemalloc

import pytest
import safetensors
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors_corpus import Case, entry, file, one
from safetensors_foreign import FOREIGN
from safetensors_legal import LEGAL
from safetensors_malformed import MALFORMED, STRICTER

from provision.tensorfile import BITS, FaultKind, Header, HeaderFault, header_length, nature, parse_header

SMALL_LEGAL, SMALL = (
    [case for case in corpus if case.file_size < 4096 and len(case.head) < 4096]
    for corpus in (LEGAL, MALFORMED + STRICTER + FOREIGN)
)


def verdict(content: bytes) -> Header | HeaderFault:
    """What we say of a whole file. Any exception but a fault of the header is a failure of the test."""
    nature(content[:512])
    try:
        header = parse_header(content, len(content))
    except HeaderFault as fault:
        return fault
    assert header_length(content[:8], len(content)) == header.size - 8
    return header


STRICTER_KINDS = {case.kind for case in STRICTER}


def check(content: bytes) -> None:
    """We accept no more than the library, and less only for the reasons that the corpus gives."""
    ours = verdict(content)
    try:
        safetensors.deserialize(content)
    except safetensors.SafetensorError:
        assert isinstance(ours, HeaderFault)
    else:
        assert isinstance(ours, Header) or ours.kind in STRICTER_KINDS


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_safetensors(content):
    check(content)


@given(st.binary(max_size=200), st.integers(0, 3))
def test_random_bytes_after_a_good_length_are_refused_or_safetensors(content, data):
    check(struct.pack("<Q", len(content)) + content + bytes(data))


@settings(max_examples=600)
@given(st.sampled_from(SMALL_LEGAL) | st.sampled_from(SMALL), st.data())
def test_a_mutated_file_is_refused_or_safetensors(case, data):
    content = bytearray(case.head[8:])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        gone = data.draw(st.integers(0, 3))
        new = data.draw(
            st.binary(max_size=3) | st.sampled_from([b",", b'"', b"{", b"}", b"[", b"]", b":", b"0", b"1", b"\\"])
        )
        content[at : at + gone] = new
    check(struct.pack("<Q", len(content)) + content + bytes(max(case.file_size - len(case.head), 0)))


TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[0-9]+|\s+|.', re.DOTALL)
STRANGERS = [b" ", b"\n\t", b"\f", b",", b":", b"null", b"true", b"1.0", b"-0", b'"\\u0061"', b'"\\ud800"', b'"x":1,']


@settings(max_examples=1000)
@given(case=st.sampled_from(SMALL_LEGAL), data=st.data())
def test_a_header_of_rearranged_tokens_is_refused_or_safetensors(*, case, data):
    tokens = TOKEN.findall(case.head[8:])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(tokens)))
        end = at + data.draw(st.sampled_from([0, 0, 0, 1, 1, 2, 9]))
        source = data.draw(st.integers(0, len(tokens)))
        moved = tokens[source : source + data.draw(st.sampled_from([1, 1, 4, 12]))]
        tokens[at:end] = data.draw(
            st.sampled_from([[], moved, [b" "]]) | st.sampled_from(STRANGERS).map(lambda token: [token])
        )
    text = b"".join(tokens)
    check(struct.pack("<Q", len(text)) + text + bytes(case.file_size - len(case.head)))


@st.composite
def nearly_legal(draw) -> tuple[dict, int]:
    """Entries that follow one another without a hole, and the size of their data; one number of them may be off."""
    entries: list[dict] = []
    end = 0
    for dtype in draw(st.lists(st.sampled_from(sorted(BITS)), max_size=4)):
        shape = draw(st.lists(st.sampled_from([0, 1, 2, 3, 4, 8]), max_size=3))
        begin, end = end, end + math.prod(shape) * BITS[dtype] // 8
        entries.append({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]})
    numbers = [
        (entry[key], at) for entry in entries for key in ("shape", "data_offsets") for at in range(len(entry[key]))
    ]
    if numbers and draw(st.booleans()):
        row, at = draw(st.sampled_from(numbers))
        row[at] = draw(st.sampled_from([row[at] + 1, max(row[at] - 1, 0), 0, 2**63, 2**64 - 1, 2**64]))
    names = draw(st.lists(st.text(max_size=6), min_size=len(entries), max_size=len(entries), unique=True))
    pairs = draw(st.permutations(list(zip(names, entries, strict=True))))
    return dict(pairs), end


@settings(max_examples=500)
@given(
    file=nearly_legal(),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 1]),
    off=st.sampled_from([0, 0, 0, 1, -1]),
)
def test_a_layout_is_accepted_exactly_when_the_library_accepts_it(*, file, ascii_only, indent, off):
    described, data = file
    text = json.dumps(described, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    content = struct.pack("<Q", len(text)) + text + bytes(max(data + off, 0))

    try:
        safetensors.deserialize(content)
    except safetensors.SafetensorError:
        assert isinstance(verdict(content), HeaderFault)
    else:
        assert isinstance(verdict(content), Header)


def numbered(form: str, size: int) -> str:
    """`form` with 0, 1, 2, ... in it, joined by commas, about `size` characters long."""
    length = len(form % 0) + 6
    return ",".join(form % number for number in itertools.islice(itertools.count(), size // length))


MEGABYTE = 2**20
COSTLY = (
    file("many-entries", "{" + numbered('"%d":' + entry(shape="[0]", offsets="[0,0]"), MEGABYTE) + "}"),
    file("many-entries-over-one-range", "{" + numbered('"%d":' + entry(), MEGABYTE) + "}", 1),
    file("many-pairs-of-metadata", '{"__metadata__":{' + numbered('"%d":""', MEGABYTE) + "}}"),
    one("large-rank", entry(shape="[0" + ",1" * (MEGABYTE // 2) + "]", offsets="[0,0]"), 0),
    one("large-rank-of-large-dimensions", entry(shape="[0" + ",9999" * (MEGABYTE // 5) + "]", offsets="[0,0]"), 0),
    one("nested-lists", entry(shape="[" * MEGABYTE), 0),
    file("nested-objects", '{"a":' * (MEGABYTE // 5), 0),
    one("nested-unknown-field", entry(more=',"x":' + "[" * MEGABYTE), 1),
    one("a-number-of-a-million-digits", entry(shape=f"[{'9' * MEGABYTE}]")),
    file("one-long-name", f'{{"{"x" * MEGABYTE}":{entry("Q")}}}', 1),
    file("one-long-name-never-closed", '{"' + "x" * MEGABYTE),
    file("one-long-name-of-escapes", '{"' + "\\n" * (MEGABYTE // 2) + f'":{entry()}}}', 1),
    file("a-long-run-of-backslashes", '{"' + "\\" * MEGABYTE),
    file("a-long-run-of-quotes", "{" + '"' * MEGABYTE),
    file("long-space-before-a-fault", "{" + " " * MEGABYTE + "x"),
    file("long-space-in-every-place", f'{{"a":{entry().replace(",", "," + " " * (MEGABYTE // 8))}}}', 1),
    file("long-padding", "{}" + " " * MEGABYTE),
    file("long-padding-before-a-fault", "{}" + " " * MEGABYTE + "x"),
)


@pytest.mark.parametrize("case", COSTLY, ids=str)
def test_a_megabyte_of_header_costs_at_most_twenty_megabytes(case: Case):
    tracemalloc.start()
    try:
        kept = verdict_of(case)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert kept is not None
    assert peak < 20 * len(case.head)


def verdict_of(case: Case) -> Header | HeaderFault:
    try:
        return parse_header(case.head, case.file_size)
    except HeaderFault as fault:
        return fault


@pytest.mark.parametrize("size", [-(2**70), -1, 0, 1, 2**63, 2**64, 2**70])
def test_any_number_may_be_given_as_the_size_of_a_file(size):
    case = one("good", entry())

    with pytest.raises(HeaderFault) as caught:
        parse_header(case.head, size)
    assert caught.value.kind in (FaultKind.EMPTY, FaultKind.HEADER_TOO_SMALL, FaultKind.TRAILING_BYTES)
