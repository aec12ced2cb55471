"""Strict: what stands below the roots of projects and nobody was promised."""

from __future__ import annotations

import os

import pytest
from verification_bed import bed_of, lock_of, reading, sizes
from volume_material import content, promised

from provision.errors import InputError
from provision.layout import Layout
from provision.verification import strangers, verify


def unexpected(bed, mode="quick", **asked):
    found = bed.verify(mode, strict=True, **asked).findings
    return {finding.target: (finding.project, finding.model, finding.actual, finding.detail)
            for finding in found if finding.state == "unexpected"}  # fmt: skip


@pytest.fixture
def bed(tmp_path):
    bed = bed_of(tmp_path, sizes(0.1, 0.01))
    assert bed.verify().ok
    return bed


@pytest.mark.parametrize("mode", ["quick", "full", "sample"])
def test_what_nobody_promised_is_a_finding_that_is_not_ok(bed, mode):
    bed.at("models/deep/er").mkdir(parents=True)
    bed.at("models/deep/er/old.bin").write_bytes(b"12345")
    assert unexpected(bed, mode) == {"models/deep/er/old.bin": ("p", "", 5, "")}
    assert not bed.verify(mode, strict=True).ok
    assert bed.verify(mode).ok


@pytest.mark.parametrize("layout", Layout)
def test_what_belongs_to_a_layout_and_to_provision_is_no_stranger(tmp_path, layout):
    bed = bed_of(tmp_path, {"a/b.bin": b"ab"}, layout)
    bed.locks = [lock_of(bed.files, layout, root="")]
    assert bed.verify().ok
    bed.at("models/.provision-3f6c.a1b2.partial").write_bytes(b"half")
    bed.at("models/empty").mkdir()
    assert unexpected(bed) == {}


def test_what_another_lock_promises_is_no_stranger(bed):
    bed.at("models/theirs.bin").write_bytes(b"theirs")
    theirs = lock_of([promised(b"theirs", "models/theirs.bin")], project="q")
    assert unexpected(bed, promised=(theirs,)) == {}
    assert list(unexpected(bed)) == ["models/theirs.bin"]


def test_what_is_outside_the_roots_is_nobodys_matter(bed):
    bed.at("else").mkdir()
    bed.at("else/x.bin").write_bytes(b"x")
    bed.at("modelsx").write_bytes(b"x")
    assert unexpected(bed) == {}
    bed.locks = [lock_of(bed.files, root="")]
    assert list(unexpected(bed)) == ["else/x.bin", "modelsx"]


def test_a_stranger_is_of_the_project_with_the_nearest_root(bed):
    inner = lock_of([promised(b"in", "models/inner/a.bin")], project="inner", root="models/inner")
    bed.at("models/inner").mkdir()
    bed.at("models/inner/a.bin").write_bytes(b"in")
    bed.locks.append(inner)
    for name in ("models/x", "models/inner/y", "models/innermost"):
        bed.at(name).write_bytes(b"?")
    projects = {target: found[0] for target, found in unexpected(bed).items()}
    assert projects == {"models/x": "p", "models/inner/y": "inner", "models/innermost": "p"}


def test_links_and_pipes_are_strangers_and_never_followed(bed, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_bytes(b"s")
    bed.at("models/link").symlink_to(outside)
    bed.at("models/loop").symlink_to(bed.at("models"))
    os.mkfifo(bed.at("models/pipe"))
    found = {target: detail for target, (*_, detail) in unexpected(bed).items()}
    assert found == {
        "models/link": "a symbolic link",
        "models/loop": "a symbolic link",
        "models/pipe": "not a regular file",
    }


def test_names_that_cannot_be_printed_are_told_all_the_same(bed):
    bed.at("models/bad\udcff\n").touch()
    (target,) = unexpected(bed)
    assert target == "models/bad\\xdcff\\x0a"


def test_many_strangers_are_counted_and_the_first_ones_named(bed, monkeypatch):
    monkeypatch.setattr(strangers, "LISTED", 10)
    for index in range(25):
        bed.at(f"models/x{index:02}").touch()
    found = bed.verify("quick", strict=True)
    assert found.counts["unexpected"] == 10
    assert [note.text for note in found.notes if note.kind == "unexpected"] == [
        "15 more files were promised to nobody; 10 are listed"
    ]


def test_a_tree_without_end_is_left_in_time(bed):
    here = os.open(bed.at("models"), os.O_RDONLY)
    for _ in range(strangers.DEEPEST + 50):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    found = [finding for finding in bed.verify("quick", strict=True).findings if finding.state != "ok"]
    assert [(finding.state, finding.detail) for finding in found] == [
        ("unreadable", f"it lies {strangers.DEEPEST} folders deep, and was not looked into")
    ]


def test_a_folder_that_cannot_be_looked_into_is_no_proof_of_anything(bed):
    bed.at("models/closed").mkdir(mode=0)
    found = bed.as_nobody("quick", strict=True).findings
    assert [(finding.target, finding.state) for finding in found if finding.state != "ok"] == [
        ("models/closed", "unreadable")
    ]


def test_the_first_stranger_is_enough_where_that_is_asked_for(bed):
    for index in range(3):
        bed.at(f"models/x{index}").touch()
    found = bed.verify("quick", strict=True, fail_fast=True)
    assert (found.counts["unexpected"], [note.kind for note in found.notes]) == (1, ["pickle"])


def test_what_cannot_be_walked_is_refused_before_anything_is_read(bed):
    class Far:
        path = "s3://x"

    with pytest.raises(InputError, match="s3://x cannot be searched"):
        verify(Far(), bed.locks, reading(strict=True))


def test_content_is_not_read_to_find_strangers(bed):
    bed.at("models/large").write_bytes(content(0.1))
    bed.at("models/large").chmod(0)
    assert list(unexpected(bed)) == ["models/large"]
