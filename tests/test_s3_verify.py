"""One verification, two views: a folder that is mounted and the same folder in a bucket give the same findings."""

from __future__ import annotations

import os
import random
from pathlib import Path

import hub_folder
import pytest
from misbehaving_s3 import Rule, cut, refuses
from s3_bed import Bed, bed_of_a_test, honest_server  # noqa: F401 - fixtures
from test_layers import locked
from volume_material import NOW, promised, receipt_for

from provision.crew import Stop
from provision.lock import Lock, LockedModel
from provision.progress import Silent
from provision.verification import Mode, Reading, State, verify
from provision.volume.mount import Volume
from provision.volume.receipts.writing import ReceiptWriter

STATES = {
    "m/good.safetensors": State.OK,
    "m/epoch=1 step.bin": State.OK,
    "m/empty.bin": State.OK,
    "m/missing.bin": State.MISSING,
    "m/short.bin": State.SIZE,
    "m/flipped.bin": State.DIGEST,
    "m/header.safetensors": State.HEADER,
    "m/page.safetensors": State.SIZE,
}


def filled(root: Path) -> Lock:
    """A folder with each kind of finding, with receipts for what was placed rightly."""
    draw, files = random.Random(11), []
    (root / "m").mkdir()
    for name in STATES:
        data = draw.randbytes(0 if "empty" in name else 300_000)
        if name.endswith(".safetensors"):
            hub_folder.weights(root / name, {"w": 90_000, "v": 10})
            data = (root / name).read_bytes()
        (root / name).write_bytes(data)
        os.utime(root / name, (NOW - 50, NOW - 50))
        files.append(locked(data, name) if name.endswith(".safetensors") else promised(data, name))
    with Volume.open(str(root)) as volume, ReceiptWriter(volume, lambda: NOW) as receipts:
        for file in files:
            receipts.add(receipt_for(root, (root / file.target).read_bytes(), file.target))
    damage(root)
    model = LockedModel(
        name="m", source="hf://o/n", revision="main", commit="a" * 40, layout="tree", license=None,
        meaning_sha256="b" * 64, files=tuple(files),
    )  # fmt: skip
    return Lock(project="p", root="m", manifest_sha256="c" * 64, models=(model,))


def damage(root: Path) -> None:
    (root / "m/missing.bin").unlink()
    (root / "m/short.bin").write_bytes(b"x" * 7)
    (root / "m/page.safetensors").write_bytes(b"<!doctype html><html></html>")
    for name, at in (("m/flipped.bin", 200_000), ("m/header.safetensors", 30)):
        data = bytearray((root / name).read_bytes())
        data[at] ^= 1
        (root / name).write_bytes(data)


def reading(mode: Mode, bed: Bed) -> Reading:
    return Reading(
        mode=mode, files_at_once=4, progress=Silent(), stop=Stop(), clock=lambda: NOW, retry=bed.retry()
    )  # fmt: skip


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.QUICK])
def test_both_views_give_the_same_findings(bed: Bed, tmp_path: Path, mode: Mode):
    lock = filled(tmp_path)
    bed.upload(tmp_path)

    with Volume.open(str(tmp_path)) as mounted, bed.view() as seen:
        here = verify(mounted, [lock], reading(mode, bed))
        there = verify(seen, [lock], reading(mode, bed))

    verdicts = {finding.target: finding for finding in there.findings}
    if mode is Mode.FULL:
        assert here.findings == there.findings
        wanted = STATES | {"m/header.safetensors": State.DIGEST}
        assert {target: finding.state for target, finding in verdicts.items()} == wanted
    else:  # an upload is younger than the receipts: what they would vouch for is unproven
        known = {finding.target: finding.state for finding in here.findings}
        for target, state in known.items():
            assert verdicts[target].state is (State.UNPROVEN if state is State.OK else state)
        assert max(len(bed.s3.asked(target)) for target in STATES) <= 2


def test_a_full_verification_ends_rightly_over_a_line_that_breaks_again_and_again(bed: Bed, tmp_path: Path):
    lock = filled(tmp_path)
    bed.upload(tmp_path)
    bed.s3.rules[:] = [Rule("GET", "/m/", cut(70_000), times=9)]

    with bed.view() as seen:
        findings = verify(seen, [lock], reading(Mode.FULL, bed)).findings

    assert {finding.target: finding.state for finding in findings} == STATES | {"m/header.safetensors": State.DIGEST}


def test_a_key_that_the_server_refuses_is_unreadable_never_missing(bed: Bed, tmp_path: Path):
    lock = filled(tmp_path)
    bed.upload(tmp_path)
    bed.s3.rules[:] = [Rule("", "epoch=1", refuses(400, "InvalidURI"))]

    with bed.view() as seen:
        findings = {finding.target: finding for finding in verify(seen, [lock], reading(Mode.QUICK, bed)).findings}

    assert findings["m/epoch=1 step.bin"].state is State.UNREADABLE
    assert "does not take a key like this" in findings["m/epoch=1 step.bin"].detail
