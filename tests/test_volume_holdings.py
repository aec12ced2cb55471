"""What a volume is said to hold is what can be told without reading it, and never more than was proven."""

from __future__ import annotations

import os
import time

import pytest
from volume_material import (
    NOW,
    STRANGER,
    bring_pieces,
    content,
    fill,
    names_in,
    pieces_of,
    promised,
    receipt_for,
    writer_named,
)

from provision.digest import PIECE_SIZE
from provision.errors import UnsafePath, VolumeTrouble
from provision.plan import Holding, State
from provision.volume.holdings import survey
from provision.volume.partials import Partials
from provision.volume.receipts import receipt_of
from provision.volume.receipts.writing import ReceiptWriter

DATA = content(2.5, seed=5)
FILE = promised(DATA)


@pytest.fixture
def final(tmp_path):
    (tmp_path / "models/sub").mkdir(parents=True)
    return tmp_path / FILE.target


def prove(volume, data):
    with ReceiptWriter(volume, lambda: NOW) as writer:
        writer.add(receipt_for(volume.path, data))


def holding(volume, file=FILE):
    return survey(volume, [file], NOW)[file.target]


def test_an_empty_volume_holds_nothing_and_is_not_touched(volume, tmp_path):
    assert holding(volume) == Holding(state=State.ABSENT)
    assert names_in(tmp_path) == []


def test_bytes_with_their_receipt_are_proven(volume, final):
    final.write_bytes(DATA)
    prove(volume, DATA)
    assert holding(volume) == Holding(state=State.PROVEN, size=len(DATA))


def test_the_right_length_alone_proves_nothing(volume, final):
    final.write_bytes(DATA)
    assert holding(volume) == Holding(state=State.UNPROVEN, size=len(DATA))


def test_a_change_after_the_proof_takes_the_proof_away(volume, final):
    final.write_bytes(DATA)
    prove(volume, DATA)
    os.utime(final, ns=(1, 1))
    assert holding(volume).state is State.UNPROVEN


@pytest.mark.parametrize("pieces", [2.5, 1])
def test_another_version_with_its_receipt_is_told_from_damage(volume, final, pieces):
    other = content(pieces, seed=6)
    final.write_bytes(other)
    prove(volume, other)
    assert holding(volume) == Holding(state=State.OTHER_VERSION, size=len(other))


def test_a_wrong_length_without_a_receipt_holds_nothing(volume, final):
    final.write_bytes(DATA[:-1])
    assert holding(volume) == Holding(state=State.WRONG_SIZE, size=len(DATA) - 1)


@pytest.mark.parametrize(
    ("stands", "held"), [(DATA[:-1], 2 * PIECE_SIZE), (DATA + b"x", len(DATA)), (DATA[: PIECE_SIZE - 1], 0)]
)
def test_a_wrong_length_with_the_right_receipt_holds_the_pieces_that_are_whole(volume, final, stands, held):
    final.write_bytes(DATA)
    prove(volume, DATA)
    final.write_bytes(stands)
    assert holding(volume) == Holding(state=State.WRONG_SIZE, size=len(stands), held=held)


def test_a_wrong_length_with_the_receipt_of_another_version_holds_nothing(volume, final):
    other = content(2.5, seed=6)
    final.write_bytes(other)
    prove(volume, other)
    final.write_bytes(other[:-1])
    assert holding(volume) == Holding(state=State.WRONG_SIZE, size=len(other) - 1)


def test_the_fullest_partial_counts_whoever_owns_it(volume):
    for name, upto in (("aaaaaaaa", 1), ("bbbbbbbb", 2)):
        with Partials(volume, writer_named(name, STRANGER)).claim(FILE) as partial:
            bring_pieces(partial, DATA, upto)
    assert holding(volume) == Holding(state=State.ABSENT, held=2 * PIECE_SIZE)


def test_a_journal_without_its_bytes_holds_nothing(volume, tmp_path):
    with Partials(volume, writer_named("aaaaaaaa")).claim(FILE) as partial:
        bring_pieces(partial, DATA, 2)
    os.truncate(tmp_path / "models/sub" / partial.name, PIECE_SIZE + 1)
    assert holding(volume).held == PIECE_SIZE
    (tmp_path / "models/sub" / partial.name).unlink()
    assert holding(volume).held == 0


def test_a_partial_of_another_version_is_not_ours(volume):
    other = content(2.5, seed=6)
    with Partials(volume, writer_named("aaaaaaaa")).claim(promised(other)) as partial:
        bring_pieces(partial, other, 2)
    assert holding(volume).held == 0


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_not_a_file_is_said_to_be_none(volume, final, kind):
    {"link": lambda: final.symlink_to("x"), "folder": final.mkdir, "pipe": lambda: os.mkfifo(final)}[kind]()
    assert holding(volume) == Holding(state=State.NOT_A_FILE)


def test_a_link_on_the_way_is_refused_for_its_files_only(volume, final, tmp_path):
    final.write_bytes(DATA)
    (tmp_path / "alias").symlink_to("models")
    through = promised(DATA, "alias/sub/a.safetensors")
    found = survey(volume, [through, FILE], NOW)
    assert found == {
        through.target: Holding(state=State.NOT_A_FILE),
        FILE.target: Holding(state=State.UNPROVEN, size=len(DATA)),
    }


def test_what_cannot_be_looked_at_is_not_called_absent(volume, final, monkeypatch):
    stat = os.stat

    def failing(path, **words):
        if path == final.name:
            raise OSError(5, "EIO")
        return stat(path, **words)

    monkeypatch.setattr(os, "stat", failing)
    with pytest.raises(VolumeTrouble, match="sub/a"):
        holding(volume)


def test_a_state_folder_that_is_a_link_is_refused(volume, tmp_path):
    (tmp_path / ".provision").symlink_to("elsewhere")
    with pytest.raises(UnsafePath, match=r"\.provision is a symbolic link"):
        holding(volume)


def test_after_a_fill_and_its_receipt_nothing_is_left_to_do(volume):
    placed, _ = fill(Partials(volume, writer_named("aaaaaaaa")).claim(FILE), DATA)
    with ReceiptWriter(volume, lambda: NOW) as writer:
        writer.add(receipt_of(FILE, placed, pieces_of(DATA), NOW))
    assert holding(volume).state is State.PROVEN


def test_ten_thousand_files_are_surveyed_in_a_moment(volume, tmp_path):
    files = [promised(b"", f"models/group{n % 50}/weights-{n:06}.safetensors") for n in range(10_000)]
    for group in range(50):
        (tmp_path / f"models/group{group}").mkdir(parents=True)
    with ReceiptWriter(volume, lambda: NOW) as writer:
        for file in files:
            (tmp_path / file.target).touch()
            writer.add(receipt_for(tmp_path, b"", file.target))
    began = time.process_time()
    found = survey(volume, files, NOW)
    assert time.process_time() - began < 1.0
    assert len(found) == 10_000
    assert {one.state for one in found.values()} == {State.PROVEN}
