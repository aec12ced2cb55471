"""Pickles: always named, and looked into with the real picklescan where that is asked for."""

from __future__ import annotations

import builtins
import collections
import io
import pickle
import pickletools
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from verification_bed import bed_of

from provision.errors import InputError
from provision.verification import pickles

needs_picklescan = pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import picklescan"], check=False, capture_output=True).returncode != 0,
    reason="picklescan is not installed",
)


class Evil:
    def __reduce__(self):
        return builtins.eval, ("1 + 1",)


class Odd:
    def __reduce__(self):
        return pickletools.optimize, (b"",)


HARMLESS = pickle.dumps(collections.OrderedDict(a=[1, 2]))
EVIL, ODD = pickle.dumps(Evil()), pickle.dumps(Odd())


def zipped(data):
    """As torch.save writes it."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/data/0", bytes(4096))
    return held.getvalue()


def test_pickles_are_named_with_where_they_lie(tmp_path):
    bed = bed_of(tmp_path, {"a/x.bin": b"1", "a/y.PT": b"2", "b/z.ckpt": b"3", "c.safetensors": b"4", "d.json": b"5"})
    for mode in ("quick", "full", "sample"):
        (note,) = [note for note in bed.verify(mode).notes if note.kind == "pickle"]
        assert note.text == "3 files are pickles, whose loading can run any code: in models/a (2), models/b (1)"


def test_a_volume_without_pickles_has_nothing_to_say(tmp_path):
    bed = bed_of(tmp_path, {"c.safetensors": b"4"})
    assert [note.kind for note in bed.verify("quick").notes] == []


@needs_picklescan
@pytest.mark.parametrize("name", ["x.bin", "x.pt", "x.pth", "x.ckpt", "x.pkl"])
@pytest.mark.parametrize("made", [zipped, bytes], ids=["zip", "raw"])
def test_what_loading_would_run_is_found_whatever_the_name(tmp_path, name, made):
    bed = bed_of(tmp_path, {name: made(EVIL), "fine/" + name: made(HARMLESS)})
    found = bed.verify("quick", scan_pickles=True)
    (one,) = found.misfits
    assert (one.project, one.model, one.misfit.path, one.misfit.grave) == ("p", "weights", name, True)
    assert one.misfit.rule == "pickle-dangerous"
    assert "builtins.eval" in one.misfit.detail
    assert not found.ok


@needs_picklescan
def test_what_is_not_known_is_told_and_is_no_verdict(tmp_path):
    bed = bed_of(tmp_path, {"x.pt": zipped(ODD)})
    found = bed.verify(scan_pickles=True)
    assert [(one.misfit.grave, "pickletools.optimize" in one.misfit.detail) for one in found.misfits] == [(False, True)]
    assert found.ok


@needs_picklescan
@pytest.mark.parametrize(
    "data",
    [EVIL[:-3], zipped(EVIL)[:-30], b"\x80\x04\x8e" + struct.pack("<Q", 2**40), b"", b"7z\xbc\xaf\x27\x1c" + bytes(90)],
)
def test_a_garbled_pickle_harms_nobody(tmp_path, data):
    bed = bed_of(tmp_path, {"x.pkl": data, "y.pt": data})
    assert bed.verify("quick", scan_pickles=True).counts["unproven"] == 2


@needs_picklescan
def test_a_pickle_that_is_gone_is_only_missing(tmp_path):
    bed = bed_of(tmp_path, {"x.pkl": EVIL, "y": b"y"})
    bed.at("models/x.pkl").unlink()
    found = bed.verify("quick", scan_pickles=True)
    assert (found.counts["missing"], found.misfits) == (1, ())


@needs_picklescan
def test_what_two_projects_share_is_told_to_both(tmp_path):
    bed = bed_of(tmp_path, {"x.pkl": EVIL})
    bed.locks.append(type(bed.locks[0])(project="q", root="", manifest_sha256="0" * 64, models=bed.locks[0].models))
    assert [one.project for one in bed.verify("quick", scan_pickles=True).misfits] == ["p", "q"]


def test_without_picklescan_nothing_is_read_and_what_to_install_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "picklescan", None)
    monkeypatch.setitem(sys.modules, "picklescan.scanner", None)
    bed = bed_of(tmp_path, {"x.pkl": EVIL})
    with pytest.raises(InputError) as error:
        bed.verify(scan_pickles=True)
    assert error.value.hint == "pip install 'volume-provision[scan]'"
    assert not Path(bed.root / ".provision").exists()


def test_the_names_are_those_that_a_manifest_refuses():
    from provision.manifest.selection import PICKLE_SUFFIXES

    assert pickles.SUFFIXES == PICKLE_SUFFIXES
