"""The power fails at any moment of a fill: what the volume has then, and what the next fill makes of it."""

from __future__ import annotations

import os
import random
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fill_bed import (
    NOW,
    SMALL,
    SMALL_PIECE,
    THREE,
    TOKEN,
    Bed,
    build,
    content,
    file_of,
    proven,
    small_pieces,
    standing,
)
from hub_kinds import HUGGINGFACE
from misbehaving_hub import MisbehavingHub
from power_loss import recorded, restore
from verification_bed import reading

from provision.digest import piece_digest
from provision.errors import ExitCode
from provision.plan import State as Standing
from provision.serve import Folder, Settings
from provision.verification.findings import Promise, State
from provision.verification.quick import verify_quick
from provision.volume import partials
from provision.volume.holdings import survey
from provision.volume.mount import Volume
from provision.volume.receipts import read_receipts, receipt_of, revoked
from provision.volume.receipts.writing import ReceiptWriter

STATES = int(os.environ.get("PROVISION_TEST_POWER", "4"))
"""How many volumes are made of each fill, and filled; four times as many are looked at."""

BEFORE = ("nothing", "another version", "damage that was found", "damage that nobody knows of")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with MisbehavingHub(Folder(build(tmp_path_factory.mktemp("served"), (THREE, SMALL))), Settings(token=TOKEN)) as hub:
        yield hub


@pytest.fixture(autouse=True)
def _pieces(monkeypatch):
    small_pieces(monkeypatch)


def bed_at(hub, volume):
    return Bed(hub=hub, kind=HUGGINGFACE, volume=Path(volume))


def stands_before(volume, before):
    """What the volume has of THREE, with its receipt."""
    if before == "nothing":
        return
    data = bytearray(content(THREE))
    data[SMALL_PIECE + 5] ^= 1
    vouched = bytes(data) if before == "another version" else content(THREE)
    final = volume / file_of(THREE).target
    final.parent.mkdir()
    final.write_bytes(data)
    pieces = [piece_digest(vouched[at : at + SMALL_PIECE]) for at in range(0, len(vouched), SMALL_PIECE)]
    receipt = receipt_of(file_of(THREE, vouched), final.stat(), pieces, NOW - 60)
    if before == "damage that was found":
        receipt = revoked(receipt, NOW - 30)
    if before == "damage that nobody knows of":
        receipt = replace(receipt, mtime_ns=receipt.mtime_ns - 1)
    with Volume.open(str(volume)) as opened, ReceiptWriter(opened, lambda: NOW) as receipts:
        receipts.add(receipt)


def recorded_fill(hub, volume, before, monkeypatch, every, *, paths=(THREE, SMALL), connections=3):
    """The log of a whole fill, how much of it was there before, and the digests of what stood.

    `every`: pieces between two flushes.
    """
    stands_before(volume, before)
    bed = bed_at(hub, volume)
    lock = bed.lock(*paths)
    stood = standing(volume, lock)
    with monkeypatch.context() as patch:
        patch.setattr(partials, "SYNC_EVERY", every)
        log = recorded(volume, patch)
        begin = len(log.changes)
        assert bed.fill(lock, connections=connections).exit_code == ExitCode.DONE
    return log, begin, stood


@contextmanager
def after_power_loss(hub, log, upto, chance):
    """A bed whose volume is what may be left."""
    with tempfile.TemporaryDirectory() as volume:
        restore(log, upto, chance, Path(volume))
        yield bed_at(hub, volume)


def assert_nothing_wrong_is_vouched_for(bed, lock, stood):
    """Law 1, and no receipt makes a wrong file pass for a right one."""
    found = standing(bed.volume, lock)
    wanted = [file for _, file in lock.files()]
    with Volume.open(str(bed.volume)) as volume:
        held = survey(volume, wanted, NOW)
        promises = [Promise(project="bed", model="weights", file=file) for file in wanted]
        glanced = verify_quick(volume, promises, read_receipts(volume, NOW), reading("quick"))
    quick = {finding.target for finding in glanced if finding is not None and finding.state is State.OK}
    for file in wanted:
        assert found.get(file.target) in {None, file.sha256, stood.get(file.target)}
        if held[file.target].state is Standing.PROVEN or file.target in quick:
            assert found[file.target] == file.sha256


@pytest.mark.timeout(60 + 20 * STATES)
@pytest.mark.parametrize("every", [1, 8])
@pytest.mark.parametrize("before", BEFORE)
def test_whenever_the_power_fails_no_name_is_wrong_and_the_next_fill_goes_on(hub, tmp_path, monkeypatch, before, every):
    """A partial is flushed before its journal, and a damaged file loses its name, and the folder is flushed, before the
    first byte is written into it: so a line on the volume names bytes on the volume, which are read all the same before
    they are believed, and no name leads to a file that is half repaired. A partial is flushed before it is renamed: so
    whichever of its name and its bytes a disk keeps, a name that is there has all its bytes. The folder is flushed
    after the rename, and the receipt is written after that: so what a receipt vouches for, and a fill calls done, is
    there.
    """
    log, begin, stood = recorded_fill(hub, tmp_path, before, monkeypatch, every)
    lock = bed_at(hub, tmp_path).lock(THREE, SMALL)
    for seed in range(4 * STATES):
        chance = random.Random(f"{before} {every} {seed}")
        with after_power_loss(hub, log, chance.randrange(begin, len(log.changes) + 1), chance) as bed:
            assert_nothing_wrong_is_vouched_for(bed, lock, stood)
            if seed < STATES:
                assert bed.fill(lock).exit_code == ExitCode.DONE
                assert_nothing_wrong_is_vouched_for(bed, lock, stood={})
                assert len(standing(bed.volume, lock)) == 2


@pytest.mark.parametrize("before", BEFORE)
def test_what_a_fill_has_called_done_outlives_a_power_loss(hub, tmp_path, monkeypatch, before):
    """Its receipts too: nothing is read again."""
    log, _, _ = recorded_fill(hub, tmp_path, before, monkeypatch, 8)
    lock = bed_at(hub, tmp_path).lock(THREE, SMALL)
    for seed in range(STATES):
        with after_power_loss(hub, log, len(log.changes), random.Random(seed)) as bed:
            assert standing(bed.volume, lock) == {file.target: file.sha256 for _, file in lock.files()}
            with Volume.open(str(bed.volume)) as volume:
                held = survey(volume, [file for _, file in lock.files()], NOW)
            assert {holding.state for holding in held.values()} == {Standing.PROVEN}


def test_what_was_proven_and_flushed_is_not_fetched_again(hub, tmp_path, monkeypatch):
    """On a slow line that is every piece: here each takes longer than may pass between two flushes."""
    monkeypatch.setattr(partials, "SYNC_AFTER", 1e-9)
    log, _, _ = recorded_fill(hub, tmp_path, "nothing", monkeypatch, 8, paths=(THREE,), connections=1)
    lock = bed_at(hub, tmp_path).lock(THREE)
    lines = [at for at, change in enumerate(log.changes) if change.data.startswith(b'{"i":')]
    journal = log.changes[lines[0]].file
    flushes = [at for at, change in enumerate(log.changes) if change.file == journal and change.kind == "flush"]
    for seed in range(STATES):
        chance = random.Random(seed)
        upto = chance.choice([at for at in flushes if at > lines[0]]) + 1
        named = [at for at in lines if at < upto]
        with after_power_loss(hub, log, upto, chance) as bed:
            assert len(proven(bed.volume, lock)["models/" + THREE]) == len(named)
