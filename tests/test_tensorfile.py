"""Every verdict on a header agrees with the `safetensors` library, or stands on a sentence of the format."""

from __future__ import annotations

import struct

import pytest
import safetensors
from safetensors_corpus import Case, entry, file, library_refuses, one
from safetensors_foreign import FOREIGN
from safetensors_legal import LEGAL
from safetensors_malformed import MALFORMED, STRICTER

from provision.errors import ExitCode
from provision.tensorfile import (
    HEADER_LENGTH_BYTES,
    HEADER_LIMIT,
    FaultKind,
    HeaderFault,
    header_length,
    nature,
    parse_header,
)

ALL = LEGAL + MALFORMED + STRICTER + FOREIGN


def fault_of(case: Case) -> HeaderFault:
    with pytest.raises(HeaderFault) as caught:
        parse_header(case.head, case.file_size)
    return caught.value


def test_the_corpus_is_large_and_every_case_has_a_name_of_its_own():
    assert len(LEGAL) >= 40
    assert len(MALFORMED + STRICTER + FOREIGN) >= 100
    assert len({case.name for case in ALL}) == len(ALL)
    assert {case.kind for case in ALL} >= set(FaultKind) - {FaultKind.SHORT_READ}


@pytest.mark.parametrize("case", LEGAL, ids=str)
def test_what_is_accepted_the_library_accepts(case, tmp_path):
    header = parse_header(case.head, case.file_size)

    assert library_refuses(case, tmp_path) == ""
    assert header.size == len(case.head)
    assert header.parameters == sum(header.dtypes.values()) == sum(tensor.elements for tensor in header.tensors)


@pytest.mark.parametrize("case", [case for case in LEGAL if case.file_size < 2**24], ids=str)
def test_what_is_read_is_what_the_library_reads(case):
    header = parse_header(case.head, case.file_size)

    read = safetensors.deserialize(case.head + bytes(case.file_size - len(case.head)))
    assert sorted(
        (tensor.name, tensor.dtype, list(tensor.shape), tensor.end - tensor.begin) for tensor in header.tensors
    ) == sorted((name, what["dtype"], what["shape"], len(what["data"])) for name, what in read)


@pytest.mark.parametrize("case", MALFORMED + FOREIGN, ids=str)
def test_what_the_library_refuses_is_refused_by_name(case, tmp_path):
    assert library_refuses(case, tmp_path)
    assert fault_of(case).kind == case.kind


@pytest.mark.parametrize("case", STRICTER, ids=str)
def test_what_the_format_forbids_is_refused_though_the_library_takes_it(case, tmp_path):
    assert case.rule
    assert library_refuses(case, tmp_path) == ""
    assert fault_of(case).kind == case.kind


@pytest.mark.parametrize("case", MALFORMED + STRICTER + FOREIGN, ids=str)
def test_a_fault_is_one_short_printable_sentence(case):
    fault = fault_of(case)

    assert fault.exit_code is ExitCode.BYTES
    assert fault.message.isprintable()
    assert 10 < len(fault.message) < 250


def test_the_last_header_of_legal_length_is_accepted_and_one_more_byte_is_not(tmp_path):
    last = file("at-the-limit", b"{}" + b" " * (HEADER_LIMIT - 2))
    over = file("over-the-limit", b"{}" + b" " * (HEADER_LIMIT - 1), 0, FaultKind.HEADER_TOO_LARGE)

    assert parse_header(last.head, last.file_size).size == HEADER_LENGTH_BYTES + HEADER_LIMIT
    assert library_refuses(last, tmp_path) == ""
    assert fault_of(over).kind == over.kind
    assert "header too large" in library_refuses(over, tmp_path)


@pytest.mark.parametrize("case", LEGAL, ids=str)
def test_eight_bytes_tell_how_much_to_read_next(case):
    length = header_length(case.head[:HEADER_LENGTH_BYTES], case.file_size)

    assert HEADER_LENGTH_BYTES + length == len(case.head)
    assert header_length(case.head, case.file_size) == length


@pytest.mark.parametrize("given", [0, 7, 8, 9, 60])
def test_too_few_bytes_of_a_good_file_are_a_short_read_and_no_verdict_on_the_file(given):
    case = one("good", entry())

    with pytest.raises(HeaderFault) as caught:
        parse_header(case.head[:given], case.file_size)
    assert caught.value.kind is FaultKind.SHORT_READ


def test_bytes_after_the_header_are_ignored():
    case = one("good", entry())

    assert parse_header(case.head + b"}", case.file_size) == parse_header(case.head, case.file_size)


@pytest.mark.parametrize("size", [-1, 0, 3])
def test_bytes_beyond_the_size_of_the_file_do_not_count(size):
    case = one("good", entry())

    with pytest.raises(HeaderFault) as caught:
        parse_header(case.head, size)
    assert caught.value.kind is (FaultKind.EMPTY if size < 1 else FaultKind.HEADER_TOO_SMALL)


@pytest.mark.parametrize("case", LEGAL, ids=str)
def test_no_legal_file_is_called_something_else(case):
    assert nature(case.head) is None
    assert nature(case.head[:HEADER_LENGTH_BYTES]) is None


@pytest.mark.parametrize("case", FOREIGN, ids=str)
def test_a_foreign_file_says_what_it_is_instead(case):
    phrase = nature(case.head)

    assert phrase
    assert fault_of(case).message == f"this is {phrase}, not safetensors"


@pytest.mark.parametrize("case", [case for case in FOREIGN if case.file_size < 2**20], ids=str)
def test_eight_bytes_are_enough_to_refuse_a_foreign_file_by_its_name(case):
    with pytest.raises(HeaderFault) as caught:
        header_length(case.head[:HEADER_LENGTH_BYTES], case.file_size)

    cut_short = {FaultKind.HTML: FaultKind.XML}  # a page may begin like any other markup
    assert caught.value.kind in (case.kind, cut_short.get(case.kind))


@pytest.mark.parametrize(
    "magic", [b"\x1f\x8b\x08\0", b"PK\x03\x04", b"\x80\x02}\0", b'{"\0\0'], ids=["gzip", "zip", "pickle", "json"]
)
def test_a_legal_header_whose_length_spells_the_magic_of_another_format_is_accepted(magic):
    length = int.from_bytes(magic, "little")
    head = struct.pack("<Q", length) + b"{}" + b" " * (length - 2)

    assert nature(head[:512]) is None
    assert parse_header(head, len(head)).size == len(head)


def test_a_cut_safetensors_file_keeps_its_name_whatever_its_length_spells():
    assert fault_of(Case(name="cut", head=b"\x1f\x8b\x08\0\0\0\0\0{", file_size=9)).kind is FaultKind.TRUNCATED
