"""Samples: what is drawn, what it finds, and how much it tells."""

from __future__ import annotations

import random
from collections import Counter
from math import comb

import pytest
from verification_bed import bed_of, flip, sizes

from provision.digest import PIECE_SIZE
from provision.verification.sample import chance_of_missing
from provision.volume.files import File


@pytest.fixture
def bed(tmp_path):
    """Ten pieces, in files of 4, 3, 1, 1 and 1, all proven."""
    bed = bed_of(tmp_path, sizes(3.5, 2.1, 1.0, 0.5, 0.2))
    assert bed.verify().ok
    return bed


def note(found):
    return next(note.text for note in found.notes if note.kind == "sample")


def test_all_pieces_are_read_where_the_share_is_all(bed):
    size = sum(file.size for file in bed.files)
    found = bed.verify("sample", share=1.0)
    assert found.ok
    assert (
        note(found)
        == f"10 of 10 pieces were read ({size / 1e6:.1f} MB); the chance to miss damage of one piece 0 %, 64 MiB 0 %"
    )


@pytest.mark.parametrize(
    ("share", "count"), [(0.001, 1), (0.1, 1), (0.11, 2), (0.5, 5), (0.51, 6), (0.7, 7), (1.0, 10)]
)
def test_so_many_pieces_are_read_rounded_up(bed, share, count):
    assert note(bed.verify("sample", share=share)).startswith(f"{count} of 10 pieces")


def test_every_piece_is_as_likely_as_any_other(bed, monkeypatch):
    drawn = Counter()
    read = File.read_into

    def counted(file, offset, buffer):
        drawn[file.path.rsplit("/", 1)[1], offset // PIECE_SIZE] += offset % PIECE_SIZE == 0
        return read(file, offset, buffer)

    monkeypatch.setattr(File, "read_into", counted)
    for seed in range(150):
        bed.verify("sample", share=0.2, draw=random.Random(seed))
    assert sum(drawn.values()) == 300
    assert len(drawn) == 10
    assert all(12 <= count <= 52 for count in drawn.values()), drawn  # 30 each, four deviations either way


@pytest.mark.parametrize(("target", "at"), [("models/0.bin", 2 * PIECE_SIZE + 9), ("models/3.bin", 77)])
def test_a_piece_that_differs_is_named_and_taken_back(bed, target, at):
    flip(bed.at(target), at, keep_times=True)
    assert bed.states("quick")[target] == "ok"  # which reads no weights
    found = {finding.target: finding for finding in bed.verify("sample", share=1.0).findings}[target]
    size, begin = bed.at(target).stat().st_size, at // PIECE_SIZE * PIECE_SIZE
    end = min(begin + PIECE_SIZE, size)
    assert (found.state, found.damaged) == ("digest", ((begin, end),))
    assert found.detail == f"damaged in bytes {begin}-{end - 1} of {size}"
    assert bed.states("quick")[target] == "unproven"


def test_neighbours_that_differ_are_one_range_and_what_was_not_drawn_is_not_named(bed):
    for piece in (0, 1, 3):
        flip(bed.at("models/0.bin"), piece * PIECE_SIZE, keep_times=True)
    found = bed.verify("sample", share=1.0).findings[0]
    assert found.damaged == ((0, 2 * PIECE_SIZE), (3 * PIECE_SIZE, found.size))


def test_a_sample_misses_what_it_does_not_draw(bed):
    flip(bed.at("models/0.bin"), keep_times=True)
    verdicts = {
        bed.states("sample", share=0.1, records=False, draw=random.Random(seed))["models/0.bin"] for seed in range(40)
    }
    assert verdicts == {"ok", "digest"}


def test_what_has_no_record_is_unproven_and_not_drawn_from(bed):
    for receipts in (bed.root / ".provision/receipts").iterdir():
        receipts.unlink()
    found = bed.verify("sample", share=1.0)
    assert {finding.state for finding in found.findings} == {"unproven"}
    assert note(found).startswith("3 of 3 pieces")  # a file of one piece has its sha256 in the lock


def test_a_file_that_nobody_proved_is_refuted_by_its_only_piece(tmp_path):
    bed = bed_of(tmp_path, sizes(0.5))
    flip(bed.at("models/0.bin"))
    assert bed.states("sample", share=1.0) == {"models/0.bin": "digest"}


def test_a_volume_without_pieces_has_nothing_to_draw(tmp_path):
    bed = bed_of(tmp_path, {"empty": b""})
    assert bed.verify().ok
    assert note(bed.verify("sample", share=0.5)) == "0 of 0 pieces were read (0 B)"


def test_the_first_piece_that_differs_is_enough_where_that_is_asked_for(bed):
    flip(bed.at("models/0.bin"), keep_times=True)
    flip(bed.at("models/1.bin"), keep_times=True)
    found = bed.verify("sample", share=1.0, fail_fast=True, files_at_once=1)
    assert not found.ok


@pytest.mark.parametrize(
    ("damaged", "drawn", "total"), [(1, 5, 100), (64, 50, 1_000), (10, 50, 1_000), (7, 7, 14), (3, 0, 9)]
)
def test_the_chance_to_miss_is_the_hypergeometric_one(damaged, drawn, total):
    exact = comb(total - damaged, drawn) / comb(total, drawn)
    assert chance_of_missing(damaged, drawn, total) == pytest.approx(exact, rel=1e-12)
    assert chance_of_missing(total, 1, total) == 0.0


def test_the_chance_is_what_happens():
    draw, total, drawn, damaged = random.Random(3), 200, 10, set(range(13))
    missed = sum(damaged.isdisjoint(draw.sample(range(total), drawn)) for _ in range(4_000)) / 4_000
    assert missed == pytest.approx(chance_of_missing(len(damaged), drawn, total), abs=0.03)


def test_the_chance_of_a_large_volume_takes_no_time():
    assert 0 < chance_of_missing(10_000, 50_000, 1_000_000) < 1e-200
