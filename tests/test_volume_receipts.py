"""A receipt says what was proven. A lost or damaged one means "unproven", never "ok" and never an error."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from volume_material import NOW, content, names_in, pieces_of, receipt_for

from provision.digest import sha256_of
from provision.errors import UnsafePath, VolumeFull
from provision.volume.receipts import (
    FILE_LIMIT,
    INDEX,
    Receipt,
    is_racy,
    is_revoked,
    joined,
    read_receipts,
    revoked,
    trusted,
)
from provision.volume.receipts.writing import ReceiptWriter


def receipt(target="models/a", at=NOW, **changes):
    fields = {"sha256": sha256_of(target.encode()), "size": 5, "mtime_ns": 1_700_000_000_000_000_001, "proven_at": at}
    return Receipt(target=target, **{**fields, **changes})


def clock():
    return NOW


def store(volume, *receipts, clock=clock, known=None):
    with ReceiptWriter(volume, clock, known or {}) as writer:
        for one in receipts:
            writer.add(one)


def folder_of(volume):
    return Path(volume.path, ".provision/receipts")


def write_lines(volume, *lines, name="20260101T000000Z-00000000.jsonl"):
    folder_of(volume).mkdir(parents=True, exist_ok=True)
    (folder_of(volume) / name).write_bytes(b"".join(lines))


def as_line(document):
    return json.dumps(document).encode() + b"\n"


SOUND = {"target": "models/a", "sha256": "a" * 64, "size": 5, "mtime_ns": 1, "proven_at": 1}


def test_a_volume_without_receipts_has_none(volume):
    assert read_receipts(volume, NOW) == {}


def test_what_was_written_is_read_back(volume):
    data = content(2.5)
    large = receipt(
        "models/large", size=len(data), piece_digests=joined(pieces_of(data)), header_sha256="c" * 64, inode=7
    )
    store(volume, receipt(), large)
    assert read_receipts(volume, NOW) == {"models/a": receipt(), "models/large": large}
    assert read_receipts(volume, NOW)["models/large"].pieces == tuple(pieces_of(data))


def test_a_file_of_one_piece_has_no_list_of_pieces():
    assert joined(["a" * 64]) == ""
    assert receipt().pieces == ()


def test_the_newest_receipt_counts_whoever_wrote_it(volume):
    new = receipt(at=NOW, sha256="b" * 64)
    store(volume, new)
    store(volume, receipt(at=NOW - 9))
    assert read_receipts(volume, NOW) == {"models/a": new}


@pytest.mark.parametrize("ahead", [0, 1e-6, 3, 20 * 3600, 10 * 86_400])
def test_the_last_word_counts_though_the_clock_of_the_first_was_ahead(volume, ahead):
    store(volume, receipt(at=NOW + ahead))
    store(volume, revoked(receipt(), NOW), known=read_receipts(volume, NOW))
    # Not even later, when the first date is no longer one that is ahead.
    for now in (NOW, NOW + 30 * 86_400):
        assert is_revoked(read_receipts(volume, now)["models/a"])


def test_of_two_words_of_one_writer_the_later_counts_though_its_clock_was_set_back(volume):
    store(volume, receipt(at=NOW), receipt(at=NOW - 3, sha256="b" * 64), receipt(at=NOW - 5, sha256="c" * 64))
    assert read_receipts(volume, NOW)["models/a"].sha256 == "c" * 64


def test_a_date_that_no_clock_gives_is_passed_over(volume):
    write_lines(volume, as_line({**SOUND, "proven_at": NOW + 100 * 365 * 86_400}))
    assert read_receipts(volume, NOW) == {}


def test_a_receipt_is_trusted_while_size_and_time_of_change_stay(tmp_path):
    path = tmp_path / "models/sub/a.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"data")
    proof = receipt_for(tmp_path, b"data")
    assert trusted(proof, path.stat())
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
    assert not trusted(proof, path.stat())
    path.write_bytes(b"longer")
    os.utime(path, ns=(1, proof.mtime_ns))
    assert not trusted(proof, path.stat())


@pytest.mark.parametrize("recorded", [True, False])
def test_a_receipt_does_not_speak_for_a_copy_that_kept_its_times(tmp_path, recorded):
    path = tmp_path / "models/sub/a.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"data")
    proof = receipt_for(tmp_path, b"data")
    copy = shutil.copy2(path, tmp_path / "copy")
    assert trusted(proof, path.stat())
    # One of an earlier release names no inode: it cannot tell, and is believed as before.
    assert trusted(proof if recorded else replace(proof, inode=0), copy.stat()) is not recorded


@pytest.mark.parametrize(
    ("mtime_ns", "after", "racy"),
    [(5_000_000_000, 0.4, True), (5_000_000_000, -9, True), (5_000_000_000, 2, False), (5_000_000_001, 0.4, False)],
)
def test_a_proof_in_the_second_of_a_change_is_racy_where_times_are_cut(mtime_ns, after, racy):
    assert is_racy(receipt(mtime_ns=mtime_ns, at=mtime_ns / 10**9 + after)) is racy


def test_writers_never_share_a_file_and_one_writer_needs_one(volume):
    store(volume, *(receipt(f"models/{n}") for n in range(1000)))
    store(volume, receipt())
    assert len(set(names_in(folder_of(volume))) - {INDEX}) == 2


def test_receipts_are_flushed_in_batches_and_at_once_for_large_files(volume, monkeypatch):
    flushed = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (flushed.append(fd), fsync(fd))[1])
    with ReceiptWriter(volume, clock) as writer:
        for n in range(2000):
            writer.add(receipt(f"models/{n}"))
        assert len(flushed) < 20
        writer.add(receipt("models/large", size=2**30))
        assert "models/large" in read_receipts(volume, NOW)


def test_nothing_is_made_where_nothing_was_proven(volume, tmp_path):
    store(volume)
    assert names_in(tmp_path) == []


def test_threads_share_a_writer(volume):
    with ReceiptWriter(volume, clock) as writer:

        def work(start):
            for n in range(start, start + 300):
                writer.add(receipt(f"models/{n}"))

        threads = [threading.Thread(target=work, args=(300 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(read_receipts(volume, NOW)) == 1200


def test_a_write_that_failed_leaves_no_garbled_line_behind_it(volume, monkeypatch):
    writer = ReceiptWriter(volume, clock)
    writer.add(receipt("models/first"))
    writer.flush()
    write = os.pwrite

    def short_then_full(fd, data, at):
        if len(data) <= 10:
            raise OSError(28, "ENOSPC")
        return write(fd, data[:-10], at)

    writer.add(receipt("models/second"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", short_then_full)
        with pytest.raises(VolumeFull):
            writer.flush()
    assert set(read_receipts(volume, NOW)) == {"models/first"}
    with writer:
        writer.add(receipt("models/third"))
    assert set(read_receipts(volume, NOW)) == {"models/first", "models/second", "models/third"}


def test_an_error_under_way_is_told_though_the_last_flush_fails_too(volume, monkeypatch):
    def full(*_):
        raise OSError(28, "ENOSPC")

    writer = ReceiptWriter(volume, clock)
    writer.add(receipt())
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(KeyError), writer:
        raise KeyError


def test_receipts_cut_at_any_byte_are_a_prefix_of_the_truth(volume):
    lines = [as_line({**SOUND, "target": f"models/{n}"}) for n in range(4)]
    text = b"".join(lines)
    for length in range(len(text) + 1):
        write_lines(volume, text[:length])
        assert list(read_receipts(volume, NOW)) == [f"models/{n}" for n in range(text[:length].count(b"\n"))]


def test_a_garbled_line_costs_only_itself(volume):
    garbled = [b"\xff\xfe\n", b"{\n", b'{"target":"models/a",\n', b"null\n", b"[]\n", b"\n", b"[" * 99_999 + b"\n"]
    lines = [as_line({**SOUND, "target": f"models/{n}"}) for n in range(len(garbled))]
    write_lines(volume, *(part for pair in zip(garbled, lines, strict=True) for part in pair))
    assert len(read_receipts(volume, NOW)) == len(lines)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=80), max_size=5))
def test_any_bytes_at_all_are_read_without_harm(volume, garbage):
    write_lines(volume, b"\n".join([*garbage, as_line(SOUND)]))
    assert list(read_receipts(volume, NOW)) == ["models/a"]


@pytest.mark.parametrize(
    "change",
    [
        {"target": "../outside"},
        {"target": "/etc/passwd"},
        {"target": ".provision/locks/x"},
        {"target": "a\ud800"},
        {"target": 5},
        {"target": None},
        {"sha256": "A" * 64},
        {"sha256": None},
        {"size": -1},
        {"size": 2**80},
        {"size": 5.0},
        {"size": True},
        {"mtime_ns": "1"},
        {"mtime_ns": True},
        {"inode": "1"},
        {"inode": None},
        {"proven_at": float("nan")},
        {"proven_at": float("inf")},
        {"proven_at": -1},
        {"proven_at": "now"},
        {"xxh3": ["a"]},
        {"xxh3": "a" * 31},
        {"xxh3": "z" * 32},
        {"xxh3": "a" * 64},
        {"header_sha256": 1},
        {"header_sha256": None},
    ],
)
def test_a_hostile_receipt_is_passed_over(volume, change):
    write_lines(volume, as_line({**SOUND, **change}), as_line({**SOUND, "target": "models/b"}))
    assert list(read_receipts(volume, NOW)) == ["models/b"]


def test_files_that_are_not_ours_or_too_large_or_no_files_are_passed_over(volume):
    write_lines(volume, as_line(SOUND))
    line = as_line({**SOUND, "target": "models/b"})
    write_lines(volume, line, name="notes.jsonl")
    write_lines(volume, line, name="20260101T000000Z-11111111.jsonl")
    os.truncate(folder_of(volume) / "20260101T000000Z-11111111.jsonl", FILE_LIMIT + 1)
    write_lines(volume, line, name="elsewhere")
    (folder_of(volume) / "20260101T000000Z-22222222.jsonl").symlink_to("elsewhere")
    (folder_of(volume) / "20260101T000000Z-33333333.jsonl").mkdir()
    os.mkfifo(folder_of(volume) / "20260101T000000Z-44444444.jsonl")
    assert list(read_receipts(volume, NOW)) == ["models/a"]


def test_a_folder_of_receipts_that_is_a_link_is_refused(volume, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".provision").mkdir()
    folder_of(volume).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafePath):
        read_receipts(volume, NOW)
    with pytest.raises(UnsafePath):
        store(volume, receipt())
    assert names_in(tmp_path / "elsewhere") == []


def test_ten_thousand_receipts_are_read_in_a_moment(volume):
    store(volume, *(receipt(f"models/group{n % 50}/weights-{n:06}.safetensors") for n in range(10_000)))
    best = min(_seconds(lambda: read_receipts(volume, NOW)) for _ in range(5))
    assert len(read_receipts(volume, NOW)) == 10_000
    assert best < 0.3, "meant to be half of this on an idle machine"


def _seconds(work):
    began = time.process_time()
    work()
    return time.process_time() - began
