"""Pickles that swell: what would take too much memory is said not to have been scanned, and takes none."""

from __future__ import annotations

import functools
import io
import pickle
import struct
import tracemalloc
import zipfile

import pytest
from test_verification_pickles import EVIL, HARMLESS, needs_picklescan
from verification_bed import bed_of

from provision.verification import pickles

MIB = 1024 * 1024
pytestmark = needs_picklescan


def archive(members, compression=zipfile.ZIP_DEFLATED):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", compression) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return held.getvalue()


def value(size):
    """A pickle that begins with a value of that size and goes on to run `eval`."""
    return b"\x80\x04\x8e" + struct.pack("<Q", size) + bytes(size) + b"0" + EVIL[2:]


def scanned(tmp_path, name, data):
    """What is told."""
    found = bed_of(tmp_path, {name: data}).verify("quick", scan_pickles=True)
    return [(one.misfit.detail, one.misfit.grave) for one in found.misfits]


def weighed(tmp_path, name, data):
    """What is told, and the most memory that it took: watched, it takes several times as long."""
    tracemalloc.start()
    told = scanned(tmp_path, name, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return told, peak


TOO_LARGE = ("not scanned: too large", False)
SWELLING = {
    "one": lambda: {"a/data.pkl": value(80 * MIB)},
    "all together": lambda: {f"a/{number}.pkl": value(20 * MIB) for number in range(4)},
    "by any name": lambda: {"a/data.pkl": HARMLESS, "a/data/0": bytes(80 * MIB)},
}


@functools.cache
def swelling(members):
    return archive(SWELLING[members]())


@pytest.mark.parametrize("name", ["x.pt", "x.pkl"])
@pytest.mark.parametrize("members", SWELLING)
def test_an_archive_that_swells_is_not_scanned_and_takes_no_memory(tmp_path, name, members):
    data = swelling(members)
    assert len(data) < MIB
    told, peak = weighed(tmp_path, name, data)
    assert told == [TOO_LARGE]
    assert peak < 4 * MIB


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_without_a_bound_is_not_scanned(tmp_path, compression):
    told = scanned(tmp_path, "x.pt", archive({"a/data.pkl": EVIL}, compression))
    assert told == [TOO_LARGE]


def test_an_archive_with_too_many_members_is_not_scanned(tmp_path):
    told, peak = weighed(tmp_path, "x.pt", archive({f"{number:0200}": b"" for number in range(18_000)}))
    assert told == [TOO_LARGE]
    assert peak < 12 * MIB


@pytest.mark.parametrize("name", ["x.pt", "x.pkl"])
@pytest.mark.parametrize("made", [bytes, lambda data: archive({"a/data.pkl": data})], ids=["raw", "zip"])
def test_opcodes_beyond_measure_are_not_held(tmp_path, monkeypatch, name, made):
    monkeypatch.setattr(pickles, "HELD_LIMIT", 8 * MIB)
    data = b"\x80\x04" + b"N" * MIB + b"."
    told, peak = weighed(tmp_path, name, made(data))
    assert TOO_LARGE in told
    assert peak < 24 * MIB


def test_what_was_found_before_it_became_too_much_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "HELD_LIMIT", MIB)
    told = scanned(tmp_path, "x.pkl", EVIL[:-1] + b"N" * MIB + b".")
    assert TOO_LARGE in told
    assert [grave for detail, grave in told if "builtins.eval" in detail] == [True]


def test_a_value_that_is_too_large_hides_nothing_behind_it(tmp_path):
    told = scanned(tmp_path, "x.pkl", value(pickles.READ_LIMIT + 2 * MIB))
    assert TOO_LARGE in told


def test_a_checkpoint_with_large_tensors_is_scanned(tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "READ_LIMIT", MIB)
    data = archive({"a/data.pkl": EVIL, "a/data/0": b"\x01" * (3 * MIB)}, zipfile.ZIP_STORED)
    ((detail, grave),) = scanned(tmp_path, "x.pt", data)
    assert "builtins.eval" in detail
    assert grave


def test_a_pickle_of_many_values_is_scanned_to_its_end(tmp_path):
    data = pickle.dumps([list(range(300)), *(str(number) for number in range(100_000))])
    assert scanned(tmp_path, "x.pkl", data + EVIL)[0][1]
    assert scanned(tmp_path, "y.pkl", data) == []
