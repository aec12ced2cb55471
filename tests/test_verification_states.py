"""Every state, in every layout and mode; and what a volume is when it is not there."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from verification_bed import bed_of, flip, lock_of, reading, sizes
from volume_material import content, promised

from provision.errors import VolumeAbsent
from provision.layout import Layout
from provision.lock import HeaderFacts
from provision.progress import Silent
from provision.tensorfile import parse_header
from provision.verification import State, verify
from provision.volume.mount import Volume

LAYOUTS = list(Layout)
WEIGHTS = b"\x40\0\0\0\0\0\0\0" + b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'.ljust(64) + b"12345678"


@pytest.fixture(params=LAYOUTS)
def bed(request, tmp_path):
    """Two files, one with a header, proven."""
    bed = bed_of(tmp_path, {"a.bin": content(0.1), "b/w.safetensors": WEIGHTS}, request.param)
    header = parse_header(WEIGHTS, len(WEIGHTS))
    facts = HeaderFacts(sha256=header.sha256, tensors=1, parameters=2, dtypes=(("F32", 2),))
    files = [replace(file, header=facts) if file.path.endswith("rs") else file for file in bed.files]
    bed.locks = [lock_of(files, request.param)]
    assert bed.verify().ok
    return bed


def gone(path):
    path.unlink()


def short(path):
    path.write_bytes(path.read_bytes()[:-1])


def link(path):
    other = path.with_name("other")
    path.rename(other)
    path.symlink_to(other)


def folder(path):
    path.unlink()
    path.mkdir()


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def other(path):
    flip(path, path.stat().st_size - 1)


def header(path):
    flip(path, 20)


@pytest.mark.parametrize(
    ("damage", "state"),
    [
        (gone, State.MISSING), (short, State.SIZE), (link, State.UNREADABLE), (folder, State.UNREADABLE),
        (pipe, State.UNREADABLE),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["full", "quick", "sample"])
def test_what_is_not_there_or_not_a_file_is_seen_in_every_mode_and_layout(bed, damage, state, mode):
    target = bed.files[1].target
    damage(bed.at(target))
    assert bed.states(mode) == {bed.files[0].target: "ok", target: state.value}


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (other, {"full": "digest", "quick": "unproven", "sample": "digest"}),
        (header, {"full": "digest", "quick": "header", "sample": "header"}),
    ],
)
def test_other_bytes_are_seen_by_who_reads_them(bed, damage, found):
    target = bed.files[1].target
    damage(bed.at(target))
    assert {mode: bed.states(mode, records=False)[target] for mode in found} == found


def test_what_was_never_proven_is_unproven_until_it_is_read(bed):
    for receipts in (bed.root / ".provision/receipts").iterdir():
        receipts.unlink()
    assert set(bed.states("quick").values()) == {"unproven"}
    assert set(bed.states("full").values()) == {"ok"}
    assert set(bed.states("quick").values()) == {"ok"}


def test_a_cache_without_its_ref_or_with_another_one_is_no_use(tmp_path):
    bed = bed_of(tmp_path, sizes(0.01), Layout.HF_CACHE)
    ref = bed.at("models/models--acme--weights/refs/main")
    target = "models/models--acme--weights/refs/main"
    assert bed.verify().ok
    ref.write_text("b" * 40)
    assert bed.states()[target] == "digest"
    ref.unlink()
    assert bed.states("quick")[target] == "missing"
    ref.mkdir()
    assert bed.states("quick")[target] == "unreadable"


def test_an_empty_folder_where_nothing_is_mounted_is_an_absent_volume(tmp_path):
    (tmp_path / "volume").mkdir()
    bed = bed_of(tmp_path / "elsewhere", sizes(0.01))
    bed.root = tmp_path / "volume"
    for mode in ("full", "quick", "sample"):
        with pytest.raises(VolumeAbsent, match="nothing is mounted there") as absent:
            bed.verify(mode)
        assert "attach the network volume" in absent.value.hint


def test_another_volume_is_told_from_one_that_lost_its_files(tmp_path):
    bed = bed_of(tmp_path / "right", sizes(0.01))
    assert bed.verify().ok
    bed.root = tmp_path / "wrong"
    (bed.root / "somebody elses").mkdir(parents=True)
    (note,) = bed.verify("quick").notes[:1]
    assert (note.kind, "is this the right volume" in note.text) == ("empty", True)
    bed.root = tmp_path / "right"
    bed.at(bed.files[0].target).unlink()
    assert [note.kind for note in bed.verify("quick").notes] == ["pickle"]


def test_what_two_projects_were_promised_is_read_once_and_told_to_both(tmp_path):
    bed = bed_of(tmp_path, sizes(0.5))
    bed.locks.append(lock_of(bed.files, project="q"))
    flip(bed.at("models/0.bin"), 5)
    began = []

    class Told(Silent):
        def begin(self, label, total):  # noqa: ARG002 - the protocol's shape
            began.append(total)

        def task(self, name, size):  # noqa: ARG002 - the protocol's shape
            began.append(name)
            return self

    found = bed.verify(progress=Told())
    assert [(finding.project, finding.state.value) for finding in found.findings] == [("p", "digest"), ("q", "digest")]
    assert began == [bed.files[0].size, "models/0.bin"]


def test_two_projects_that_were_promised_other_bytes_at_one_place_are_told_apart(tmp_path):
    bed = bed_of(tmp_path, sizes(0.5))
    other = promised(content(0.5, seed=9), "models/0.bin")
    bed.locks.append(lock_of([other], project="q"))
    for mode in ("full", "quick"):
        found = {finding.project: finding.state.value for finding in bed.verify(mode).findings}
        assert found == {"p": "ok", "q": "digest"}


@pytest.mark.parametrize("mode", ["full", "quick", "sample"])
def test_the_first_fault_is_enough_where_that_is_asked_for(tmp_path, mode):
    bed = bed_of(tmp_path, sizes(0.3, 0.2, 0.1))
    assert bed.verify().ok
    bed.at("models/0.bin").unlink()
    found = bed.verify(mode, fail_fast=True, files_at_once=1)
    assert [finding.state.value for finding in found.findings] == ["missing"]
    assert (found.unread, found.ok) == (2, False)


def test_a_view_that_is_not_a_mount_is_verified_by_the_same_rules(tmp_path):
    bed = bed_of(tmp_path, sizes(2.5, 0.1))
    assert bed.verify().ok
    with Volume.open(str(tmp_path)) as volume:
        far = Far(volume)
        for mode in ("full", "quick", "sample"):
            assert verify(far, bed.locks, reading(mode, files_at_once=2)).ok
        flip(tmp_path / "models/0.bin", 17_000_000)
        found = verify(far, bed.locks, reading("full")).findings[0]
    assert (found.state, found.damaged) == (State.DIGEST, ((2**24, 2**25),))


class Far:
    """A volume seen through what a view has, and nothing of a mount."""

    def __init__(self, volume):
        self.path, self.open_file, self.state_names = "s3://x", volume.open_file, volume.state_names
