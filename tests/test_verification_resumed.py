"""What need not be read again: what is young enough, and what a verification that was killed has proven."""

from __future__ import annotations

import os
import shutil
import signal
import time

import pytest
from verification_bed import Clock, bed_of, end, flip, reading, sizes, start

from provision.crew import Stop
from provision.errors import Interrupted
from provision.progress import Silent
from provision.verification import full, verify
from provision.verification.records import VERIFYING
from provision.volume.mount import Volume
from provision.volume.receipts import read_receipts, receipt_of
from provision.volume.receipts.writing import ReceiptWriter

DAY = 86_400.0


@pytest.fixture
def bed(tmp_path):
    return bed_of(tmp_path / "volume", sizes(1.5, 1.2, 0.9, 0.6))


class Counting(Silent):
    """Counts the files that are read, not those that are merely looked at."""

    def __init__(self):
        self.names = []

    def task(self, name, size):  # noqa: ARG002 - the protocol's shape
        self.names.append(name)
        return self


def records(bed):
    folder = bed.runs / ".provision/verifying"
    return sorted(folder.glob("*.jsonl")) if folder.exists() else []


def notes(found):
    return {note.kind: note.text for note in found.notes if note.kind != "pickle"}


def ended_at(bed, place, target, number=signal.SIGKILL):
    """A verification in a process of its own that is ended by a signal when it begins to read `target`."""
    with start(bed, place, halt=target) as process:
        for line in process.stdout:
            if line == f"reading {target}\n":
                process.send_signal(number)
    return process.returncode


@pytest.fixture
def eager(bed):
    """The state that a run leaves that is stopped in its third file."""

    class Stopping(Counting):
        def task(self, name, size):
            if len(self.names) == 2:
                raise Interrupted("interrupted")
            return super().task(name, size)

    with pytest.raises(Interrupted):
        bed.verify(files_at_once=1, progress=Stopping())
    return bed


def test_what_was_read_before_an_interrupt_is_not_read_again(eager):
    assert len(records(eager)) == 1
    flip(eager.at("models/0.bin"), keep_times=True)  # nobody reads it, so nobody knows
    found = eager.verify()
    assert found.ok
    assert notes(found) == {
        "resumed": "2 files (45.3 MB) were read by a verification that was cut short, and not again; --anew reads all"
    }
    assert records(eager) == []


def test_the_run_after_the_one_that_went_on_reads_everything(eager):
    assert eager.verify().ok
    flip(eager.at("models/0.bin"), keep_times=True)
    assert eager.states()["models/0.bin"] == "digest"


def test_anew_reads_everything_and_takes_the_record_away(eager):
    flip(eager.at("models/0.bin"), keep_times=True)
    found = eager.verify(anew=True)
    assert found.findings[0].state == "digest"
    assert notes(found) == {}
    assert records(eager) == []


def test_a_record_older_than_a_day_counts_no_more_and_is_taken_away(eager):
    eager.clock.now += DAY + 1
    flip(eager.at("models/0.bin"), keep_times=True)
    assert eager.states()["models/0.bin"] == "digest"
    assert records(eager) == []


def test_a_file_that_was_touched_since_is_read_again(eager):
    flip(eager.at("models/0.bin"))
    found = eager.verify()
    assert found.findings[0].state == "digest"
    assert notes(found)["resumed"].startswith("1 file (")


def test_a_file_that_was_found_damaged_since_is_read_again(eager):
    flip(eager.at("models/0.bin"), keep_times=True)
    assert eager.states("sample", share=1.0)["models/0.bin"] == "digest"
    flip(eager.at("models/0.bin"), keep_times=True)  # as it was
    found = eager.verify()
    assert found.ok
    assert notes(found)["resumed"].startswith("1 file (")


def test_the_record_of_another_project_is_left_alone(eager):
    other = bed_of(eager.root, {"x/9.bin": b"nine"}, project="q")
    other.clock = eager.clock
    assert other.verify().ok
    assert len(records(eager)) == 1


def test_a_first_fault_that_ends_the_run_keeps_its_record(bed):
    bed.at("models/2.bin").unlink()
    assert bed.verify(files_at_once=1, fail_fast=True).unread == 1
    assert len(records(bed)) == 1
    found = bed.verify()
    assert notes(found)["resumed"].startswith("2 files (")


def test_what_the_volume_says_of_a_run_spares_no_file(bed):
    """Who can write to the volume must not make a full verification pass."""
    flip(bed.at("models/0.bin"))
    with Volume.open(str(bed.root)) as volume, ReceiptWriter(volume, bed.clock, folder=VERIFYING) as forged:
        forged.add(receipt_of(bed.files[0], bed.at("models/0.bin").stat(), (), bed.clock()))
    assert bed.states()["models/0.bin"] == "digest"


def test_a_volume_that_takes_no_receipts_is_gone_on_with_all_the_same(eager):
    """A worker mounts it for reading only."""
    shutil.rmtree(eager.root / ".provision")
    assert notes(eager.verify())["resumed"].startswith("2 files (")


def test_nothing_is_left_where_nothing_may_be(bed):
    assert bed.verify(records=False).ok
    assert not (bed.root / ".provision").exists()


def test_a_volume_that_cannot_be_written_is_verified_all_the_same(bed, monkeypatch):
    monkeypatch.setattr(Volume, "made_state", lambda self, _: self.root.made_folder("no/such"))
    assert bed.verify().ok


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_real_process_that_is_ended_by_a_signal_goes_on_where_it_was(bed, tmp_path, number):
    assert ended_at(bed, tmp_path, "models/2.bin", number) in {-9, 130}
    lines = [line for path in records(bed) for line in path.read_text().splitlines()]
    if number == signal.SIGTERM:  # which is told in time, and flushes
        assert len(lines) == 2
    document = end(start(bed, tmp_path))
    assert {state for state, _ in document["states"].values()} == {"ok"}
    assert ("resumed" in document["notes"]) == bool(lines)
    assert records(bed) == []


def test_a_kill_in_the_middle_of_many_loses_only_what_was_not_flushed(tmp_path):
    bed = bed_of(tmp_path / "volume", {f"{index:04}.bin": b"%d" % index for index in range(2_000)})
    # The largest are read first: those with four digits, then those with three.
    assert ended_at(bed, tmp_path, "models/0500.bin") == -9
    found = notes(bed.verify(clock=time.time))
    count = int(found["resumed"].split(" ")[0].replace(",", ""))
    assert count == 1_280  # of 1,400: they are flushed 256 at once
    assert records(bed) == []


def test_what_was_proven_within_the_age_is_not_read_and_said_so(bed):
    assert bed.verify().ok
    bed.clock.now += 6 * DAY
    flip(bed.at("models/0.bin"), keep_times=True)
    found = bed.verify(max_age=7 * DAY)
    assert found.ok
    assert notes(found) == {"max-age": "4 files (70.5 MB) were proven within 7 days, and not read again"}
    bed.clock.now += 2 * DAY
    assert bed.states(max_age=7 * DAY)["models/0.bin"] == "digest"


@pytest.mark.parametrize("age", [600.0, 3_600.0, 2 * DAY])
def test_what_is_read_because_of_its_age_is_young_again(bed, age):
    assert bed.verify().ok
    bed.clock.now += age + 1
    assert "max-age" not in notes(bed.verify(max_age=age))
    bed.clock.now += age - 1
    assert notes(bed.verify(max_age=age))["max-age"].startswith("4 files")


@pytest.mark.parametrize("change", ["gone", "short", "touched", "header of another"])
def test_a_young_file_is_looked_at_all_the_same(bed, change):
    assert bed.verify().ok
    path = bed.at("models/1.bin")
    match change:
        case "gone":
            path.unlink()
        case "short":
            os.truncate(path, 5)
        case "touched":
            os.utime(path)
        case _:
            flip(path)
    states = bed.states(max_age=DAY)
    expected = {"gone": "missing", "short": "size", "touched": "ok", "header of another": "digest"}
    assert states["models/1.bin"] == expected[change]


def test_a_proof_from_the_future_has_no_age(bed):
    assert bed.verify(clock=Clock(bed.clock.now + 2 * DAY)).ok
    flip(bed.at("models/0.bin"), keep_times=True)
    assert bed.states(max_age=DAY)["models/0.bin"] == "digest"


def test_verifying_again_and_again_writes_one_receipt_a_day(bed):
    for _ in range(5):
        assert bed.verify().ok
        bed.clock.now += 3_600
    assert len(list((bed.root / ".provision/receipts").glob("*.jsonl"))) == 1
    with Volume.open(str(bed.root)) as volume:
        first = read_receipts(volume, bed.clock())["models/0.bin"].proven_at
        bed.clock.now = first + full.FRESH + 1
        assert verify(volume, bed.locks, reading(records=volume, clock=bed.clock, stop=Stop())).ok
        assert read_receipts(volume, bed.clock())["models/0.bin"].proven_at > first
