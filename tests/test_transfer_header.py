"""A locked safetensors header: bytes that are as promised otherwise get no name while it is another."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fill_bed import NAME, TOKEN, Bed, file_of, lock_of
from hub_folder import weights
from hub_kinds import HUGGINGFACE
from misbehaving_hub import MisbehavingHub

from provision.digest import sha256_of
from provision.errors import HeaderMismatch
from provision.lock import HeaderFacts
from provision.serve import Folder, Settings
from provision.tensorfile import HEADER_LENGTH_BYTES, HEADER_LIMIT
from provision.volume import header

HEADED, HEADLESS = "weights.safetensors", "notes.safetensors"


@pytest.fixture
def bed(tmp_path):
    place = tmp_path / "served" / "hf" / NAME
    place.mkdir(parents=True)
    weights(place / HEADED, {"a": 1000})
    (place / HEADLESS).write_bytes(b"<html>not found</html>")
    with MisbehavingHub(Folder(tmp_path / "served"), Settings(token=TOKEN)) as hub:
        (tmp_path / "volume").mkdir()
        yield Bed(hub=hub, kind=HUGGINGFACE, volume=tmp_path / "volume")


def promised(bed, path, header):
    data = (bed.volume.parent / "served" / "hf" / NAME / path).read_bytes()
    size = 8 + int.from_bytes(data[:8], "little")
    sha256 = sha256_of(data[:size]) if header is None else header
    facts = HeaderFacts(sha256=sha256, tensors=1, parameters=1000, dtypes=(("F16", 1000),))
    return replace(file_of(path, data), header=facts)


def test_a_file_whose_header_is_the_locked_one_gets_its_name(bed):
    file = promised(bed, HEADED, None)
    assert bed.fill(lock_of(HUGGINGFACE, None, file)).error is None
    assert (bed.volume / file.target).exists()


@pytest.mark.parametrize("stands", [False, True], ids=["fetched", "stands already"])
@pytest.mark.parametrize("path", [HEADED, HEADLESS])
def test_a_file_with_another_header_than_the_locked_one_is_refused(bed, path, stands):
    file = promised(bed, path, "0" * 64)
    target = bed.volume / file.target
    if stands:
        target.parent.mkdir()
        target.write_bytes((bed.volume.parent / "served" / "hf" / NAME / path).read_bytes())
    error = bed.fill(lock_of(HUGGINGFACE, None, file)).error
    assert isinstance(error, HeaderMismatch)
    assert "the lock contradicts itself" in error.hint
    assert target.exists() == stands


def test_both_who_read_headers_have_one_format_in_mind():
    """A fill compares headers without importing what parses them."""
    assert (header.PREFIX, header.LIMIT) == (HEADER_LENGTH_BYTES, HEADER_LIMIT)
