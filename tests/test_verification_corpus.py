"""Every named edge of the safetensors format, as the file that stands where another, or the same, was promised."""

from __future__ import annotations

from dataclasses import replace

import pytest
from safetensors_foreign import FOREIGN
from safetensors_legal import LEGAL
from safetensors_malformed import MALFORMED
from test_verification_states import WEIGHTS
from verification_bed import bed_of, lock_of

from provision.lock import HeaderFacts
from provision.tensorfile import parse_header

SMALL = 2 * 2**20  # what is larger is sparse, and is looked at, not read
TARGET = "models/w.safetensors"


def bed_with_header(root, data):
    bed = bed_of(root, {"w.safetensors": data})
    header = parse_header(data, len(data))
    facts = HeaderFacts(sha256=header.sha256, tensors=1, parameters=0, dtypes=())
    bed.locks = [lock_of([replace(file, header=facts) for file in bed.files])]
    return bed


@pytest.fixture
def bed(tmp_path):
    bed = bed_with_header(tmp_path, WEIGHTS)
    assert bed.verify().ok
    return bed


def put(path, head, size):
    with path.open("wb") as file:
        file.write(head[:size])
        file.truncate(size)


@pytest.mark.parametrize("case", [*MALFORMED, *FOREIGN], ids=str)
def test_what_is_no_safetensors_file_is_never_taken_for_the_promised_one(bed, case):
    put(bed.at(TARGET), case.head, case.file_size)
    for mode in ("quick", "full"):
        assert bed.states(mode, records=False)[TARGET] in {"size", "header"} | ({"digest"} if mode == "full" else set())


@pytest.mark.parametrize("case", [*MALFORMED, *FOREIGN], ids=str)
def test_nor_where_it_has_the_promised_length(bed, case):
    put(bed.at(TARGET), case.head, len(WEIGHTS))
    assert bed.states("quick", records=False)[TARGET] == "header"
    assert bed.states("full", records=False)[TARGET] == "digest"


@pytest.mark.parametrize("case", [case for case in LEGAL if case.file_size <= SMALL], ids=str)
def test_every_legal_file_is_verified(tmp_path, case):
    data = case.head + bytes(case.file_size - len(case.head))
    bed = bed_with_header(tmp_path, data)
    assert bed.states("quick") == {TARGET: "unproven"}
    assert bed.verify().ok
    assert bed.verify("quick").ok


def test_what_stands_instead_of_weights_is_named(bed):
    put(bed.at(TARGET), b"<html>Blocked by your proxy</html>", 34)
    assert bed.verify("quick").findings[0].detail == "this is an HTML page"
