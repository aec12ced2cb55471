"""What comes before its turn, is read back, or was left by others: counted once, believed only when it is right."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from byte_faults import cuts_after, ignores_range
from fill_bed import EIGHT, SIZES, SMALL_PIECE, THREE, TOKEN, Bed, build, content, small_pieces
from hub_kinds import HUGGINGFACE
from misbehaving_hub import MisbehavingHub, later

from provision.errors import ExitCode, VolumeTrouble
from provision.serve import Folder, Settings
from provision.transfer.assembly import Assembly
from provision.volume import files, partial
from provision.volume.files import File
from provision.volume.mount import Volume
from provision.volume.partials import Partials
from provision.volume.writer import new_writer

P = SMALL_PIECE


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with MisbehavingHub(Folder(build(tmp_path_factory.mktemp("served"), (EIGHT, THREE))), Settings(token=TOKEN)) as hub:
        yield hub


@pytest.fixture(autouse=True)
def _pieces(monkeypatch):
    small_pieces(monkeypatch)


@pytest.fixture
def bed(hub, tmp_path):
    hub.rules.clear()
    hub.log.clear()
    (tmp_path / "volume").mkdir()
    return Bed(hub=hub, kind=HUGGINGFACE, volume=tmp_path / "volume")


def test_a_byte_that_the_volume_loses_before_it_is_read_back_costs_one_piece(bed, monkeypatch):
    """Its own digest tells, not the sha256 of the whole. Here every piece comes before its turn."""
    honest, spoilt = File.write_at, []

    def spoiling(file, offset, data):
        honest(file, offset, data)
        if offset <= 5 * P + 99 < offset + len(data) and file.path.endswith(".partial") and not spoilt:
            spoilt.append(offset)
            os.pwrite(file._fd, b"spoilt", 5 * P + 99)

    monkeypatch.setattr(File, "write_at", spoiling)
    monkeypatch.setattr(Assembly, "begin", lambda _, stretch: stretch.current())
    result = bed.fill(bed.lock(EIGHT), connections=8)
    assert result.exit_code == ExitCode.DONE
    assert any("piece 5 is not what was written" in note for note in result.notes)
    assert result.fetched == SIZES[EIGHT] + P
    assert (bed.volume / "models" / EIGHT).read_bytes() == content(EIGHT)


def test_bytes_that_one_run_fetches_twice_are_not_told_as_reused(bed, monkeypatch):
    failed = []
    honest = files.os.pwrite

    def failing(fd, data, offset):
        if offset >= 3 * P and not failed and Path(f"/proc/self/fd/{fd}").readlink().suffix == ".partial":
            failed.append(offset)
            raise OSError(5, "Input/output error")
        return honest(fd, data, offset)

    monkeypatch.setattr(files.os, "pwrite", failing)
    result = bed.fill(bed.lock(EIGHT), connections=2)
    assert result.exit_code == ExitCode.DONE
    assert failed
    (outcome,) = result.outcomes
    assert outcome.reused == 0


def test_a_hub_that_ignores_ranges_once_does_not_cost_what_is_held(bed):
    """After it, one that honours them is asked for what is missing, not for what lies between."""
    bed.hub.rules += later(2, "", cuts_after(1000))
    bed.hub.rules += [later(0, "", ignores_range())[1]]
    result = bed.fill(bed.lock(EIGHT), connections=1)
    assert result.exit_code == ExitCode.DONE
    assert result.fetched <= 2 * SIZES[EIGHT]


def lines(bed):
    return sum(path.read_bytes().count(b'"xxh3"') for path in (bed.volume / ".provision/partials").glob("*.journal"))


def test_of_two_flushes_at_once_none_vouches_for_what_the_other_lost(bed, monkeypatch):
    """Linux tells of lost pages once, to whoever asks first: the other's success proves nothing."""
    file = next(file for _, file in bed.lock(EIGHT).files())
    entered, told = threading.Barrier(2, timeout=1), []

    def sync(self):
        with suppress(threading.BrokenBarrierError):
            entered.wait()  # both at once, where that is possible
        if self.path.endswith(".partial") and not told:
            told.append(self.path)
            raise VolumeTrouble("lost", hint="again")

    monkeypatch.setattr(partial.Partial, "_vouch_for_older", lambda _: None)
    with Volume.open(str(bed.volume)) as volume:
        store = Partials(volume, new_writer())
        store.sync_every = 1
        with store.claim(file) as ours:
            monkeypatch.setattr(File, "sync_data", sync)
            failures = []

            def record(index):
                try:
                    ours.record(index, "0" * 32)
                except VolumeTrouble as error:
                    failures.append(error)

            threads = [threading.Thread(target=record, args=(index,)) for index in (0, 1)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(failures) == 2, "the second is told too"
        assert lines(bed) == 0


def test_what_a_killed_fill_never_flushed_is_flushed_before_it_is_vouched_for(bed, monkeypatch):
    file = next(file for _, file in bed.lock(EIGHT).files())
    with Volume.open(str(bed.volume)) as volume:
        writer = new_writer()
        with Partials(volume, writer).claim(file) as killed:
            for index in range(3):
                killed.write_at(index * P, b"x" * 10)
                killed.record(index, "0" * 32)
        assert lines(bed) == 3

        def sync(_):
            raise VolumeTrouble("lost", hint="again")

        with Partials(volume, writer).claim(file) as ours:
            monkeypatch.setattr(File, "sync_data", sync)
            with pytest.raises(VolumeTrouble):
                ours.record(5, "1" * 32)
        assert lines(bed) == 0
