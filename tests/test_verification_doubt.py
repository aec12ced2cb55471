"""What a verification has refuted, or cannot know, nobody vouches for later."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace

import pytest
from verification_bed import bed_of, flip, lock_of, reading, sizes
from volume_material import NOW, promised

from provision.cli import run
from provision.errors import ExitCode, VolumeError
from provision.lock import HeaderFacts, Lock, dumps
from provision.verification import Mode, verify
from provision.verification.full import FRESH
from provision.volume.files import File
from provision.volume.locks import write_lock
from provision.volume.mount import Volume
from provision.volume.receipts import read_receipts
from provision.volume.receipts.writing import ReceiptWriter

A = "models/0.bin"


@pytest.fixture
def bed(tmp_path):
    bed = bed_of(tmp_path / "volume", sizes(1.5, 0.3))
    assert bed.verify().ok
    return bed


def notes(found):
    return {note.kind: note.text for note in found.notes}


def receipt_at(bed, target):
    with Volume.open(str(bed.root)) as volume:
        return read_receipts(volume, bed.clock())[target]


def add_receipt(bed, receipt):
    bed.clock.now += 1
    with Volume.open(str(bed.root)) as volume, ReceiptWriter(volume, bed.clock) as receipts:
        receipts.add(replace(receipt, proven_at=bed.clock.now))


def test_a_receipt_without_pieces_is_taken_back_as_well(bed):
    add_receipt(bed, replace(receipt_at(bed, A), piece_digests=""))
    flip(bed.at(A), keep_times=True)
    assert bed.states("quick")[A] == "ok"
    assert bed.states()[A] == "digest"
    assert bed.states("quick")[A] == "unproven"


def test_a_receipt_of_another_version_is_taken_back_when_that_is_not_there_either(bed):
    old, new = bed.locks[0], lock_of([promised(sizes(1.5, 0.3)["1.bin"] * 5, A)])
    flip(bed.at(A), keep_times=True)
    new = replace_size(new, bed.at(A).stat().st_size)
    with Volume.open(str(bed.root)) as volume:
        assert not verify(volume, [new], reading(records=volume, clock=bed.clock)).ok
        assert not verify(volume, [old], reading("quick", clock=bed.clock)).ok


def replace_size(lock: Lock, size: int) -> Lock:
    """The same lock of a file of another length: its sha256 is nobody's."""
    model = lock.models[0]
    return replace(lock, models=(replace(model, files=(replace(model.files[0], size=size),)),))


def test_a_receipt_of_the_version_that_stands_is_left_alone(bed):
    new = replace_size(lock_of([promised(b"other", A)]), bed.at(A).stat().st_size)
    with Volume.open(str(bed.root)) as volume:
        assert not verify(volume, [new], reading(records=volume, clock=bed.clock)).ok
    assert bed.states("quick")[A] == "ok"


def test_what_cannot_be_taken_back_is_said(bed):
    flip(bed.at(A), keep_times=True)
    assert "1 receipt for what was found damaged cannot be taken back" in notes(bed.verify(records=False))["records"]
    assert "records" in notes(bed.verify("sample", share=1.0, records=False))
    assert "records" not in notes(bed.verify())


@pytest.mark.skipif(os.geteuid() != 0, reason="root becomes nobody")
@pytest.mark.parametrize("mode", ["quick", "sample"])
def test_receipts_that_may_not_be_read_are_not_passed_over(bed, mode):
    """The one that cannot be read may be the one that takes another back."""
    for path in (bed.root / ".provision/receipts").glob("*.jsonl"):
        path.chmod(0)
    with pytest.raises(VolumeError, match="Permission denied"):
        bed.as_nobody(mode)
    found = bed.as_nobody("full")
    assert found.ok
    assert "no receipt was used" in notes(found)["receipts"]


def test_digests_of_pieces_that_are_forged_do_not_outlive_a_full_verification(bed):
    receipt = receipt_at(bed, A)
    add_receipt(bed, replace(receipt, piece_digests="0" * 32 + receipt.piece_digests[32:]))
    bed.clock.now += FRESH + 1
    assert bed.verify().ok
    assert bed.verify("sample", share=1.0).ok


@pytest.mark.parametrize("mode", ["full", "sample"])
@pytest.mark.parametrize("order", [1, -1])
def test_promises_that_differ_in_their_length_are_judged_apart(bed, mode, order):
    right = bed.locks[0]
    wrong = replace(replace_size(lock_of([bed.files[0]]), 5), project="q")
    with Volume.open(str(bed.root)) as volume:
        found = verify(volume, [right, wrong][::order], reading(mode, clock=bed.clock, share=1.0))
    assert {(one.project, one.state.value) for one in found.findings} == {("p", "ok"), ("q", "size")}


def test_the_smallest_sample_reads_a_piece(bed):
    assert notes(bed.verify("sample", share=1e-9))["sample"].startswith("1 of 3 pieces were read")


def test_where_nothing_is_promised_nothing_is_ok(bed):
    with Volume.open(str(bed.root)) as volume:
        assert not verify(volume, [lock_of([])], reading(Mode.FULL)).ok


def test_a_pipe_in_the_place_of_the_locks_copy_costs_no_verdict(bed, tmp_path, capsys):
    (tmp_path / "p.lock.json").write_text(dumps(bed.locks[0]))
    (bed.root / ".provision/locks").mkdir(parents=True)
    os.mkfifo(bed.root / ".provision/locks/p.lock.json")
    code = run(["verify", "p", "--manifests", str(tmp_path), "--volume", str(bed.root), "-q"])
    assert code == ExitCode.DONE
    assert "is of no use" in capsys.readouterr().out


def test_a_root_that_is_a_link_is_a_finding_of_strict(bed):
    bed.root.joinpath("models").rename(bed.root / "elsewhere")
    (bed.root / "models").symlink_to("elsewhere")
    states = bed.verify(strict=True).findings
    assert {one.state.value for one in states} == {"unreadable"}
    assert len(states) == 3


def test_a_hostile_line_of_receipts_costs_no_more_than_its_length(bed):
    hostile = b"[" + b"{}," * 8_000_000 + b"{}]\n"
    (bed.root / ".provision/receipts/20991231T000000Z-00000000.jsonl").write_bytes(hostile)
    with Volume.open(str(bed.root)) as volume:
        tracemalloc.start()
        found = read_receipts(volume, NOW)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert A in found
    assert peak < 4 * len(hostile)


def test_another_volume_at_the_same_place_is_read_from_the_beginning(tmp_path):
    """Only what was read of this volume spares reading."""
    first, second = tmp_path / "a", tmp_path / "b"
    for place in (first, second):
        place.mkdir()
    with Volume.open(str(first)) as one, Volume.open(str(second)) as other:
        assert one.identity != other.identity
        before = one.identity
    first.rmdir()
    second.rename(first)
    with Volume.open(str(first)) as again:
        assert again.identity != before


def test_a_volume_keeps_its_own_lock_when_it_is_verified(bed):
    with Volume.open(str(bed.root)) as volume:
        write_lock(volume, bed.locks[0])
    assert run(["verify", "--volume", str(bed.root), "-q"]) == ExitCode.DONE


def after_the_first_read(monkeypatch, act):
    """`act` happens once, as soon as some bytes of a file were read."""
    read, left = File.read_into, [act]

    def read_into(file, offset, buffer):
        count = read(file, offset, buffer)
        if left and count:
            left.pop()()
        return count

    monkeypatch.setattr(File, "read_into", read_into)


def replaced_by_wrong(path):
    fresh = path.with_name("fresh")
    fresh.write_bytes(bytes(path.stat().st_size))
    fresh.rename(path)


@pytest.mark.parametrize("act", [flip, replaced_by_wrong])
def test_a_sample_reads_again_what_changed_while_it_was_read(tmp_path, monkeypatch, act):
    """The bytes that were compared were right; those that stand now are not."""
    bed = bed_of(tmp_path / "volume", sizes(1.5))
    assert bed.verify().ok
    after_the_first_read(monkeypatch, lambda: act(bed.at(A)))
    assert bed.states("sample", share=1.0) == {A: "digest"}


def test_a_file_that_took_the_place_of_a_damaged_one_is_not_called_damaged(tmp_path, monkeypatch):
    bed = bed_of(tmp_path / "volume", sizes(0.05))
    assert bed.verify().ok
    right, path = bed.at(A).read_bytes(), bed.at(A)
    flip(path, keep_times=True)

    def mended():
        path.with_name("fresh").write_bytes(right)
        path.with_name("fresh").rename(path)

    after_the_first_read(monkeypatch, mended)
    assert not bed.verify().ok
    (found,) = bed.verify("quick").findings
    assert "changed, or replaced" in found.detail
    assert bed.verify().ok


def test_a_damaged_length_of_a_header_does_not_cost_its_value_in_memory(tmp_path):
    path = tmp_path / "volume/models/a.safetensors"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.write((150_000_000).to_bytes(8, "little"))
        file.truncate(200_000_000)
    header = HeaderFacts(sha256="d" * 64, tensors=1, parameters=1, dtypes=())
    file = replace(promised(b"", "models/a.safetensors"), size=200_000_000, header=header)
    with Volume.open(str(tmp_path / "volume")) as volume:
        tracemalloc.start()
        (found,) = verify(volume, [lock_of([file])], reading("quick")).findings
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert found.state == "header"
    assert peak < 2_000_000


def test_a_first_piece_that_differs_keeps_the_rest_from_being_read(tmp_path):
    bed = bed_of(tmp_path / "volume", {f"{index}.bin": b"%d" % index for index in range(400)})
    assert bed.verify().ok
    for path in (bed.root / "models").iterdir():
        flip(path, keep_times=True)
    assert list(bed.states("sample", share=1.0, fail_fast=True).values()).count("digest") < 200
