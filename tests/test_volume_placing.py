"""The final name does not exist, or holds exactly the promised bytes; two writers may waste bytes, never harm."""

from __future__ import annotations

import os
import threading

import pytest
from volume_material import (
    STRANGER,
    bring_pieces,
    content,
    fill,
    killed_after,
    left_over,
    promised,
    writer_named,
)

from provision.digest import piece_count, piece_digest, piece_span
from provision.errors import UnsafePath, VolumeFull, VolumeReadOnly
from provision.volume.files import File
from provision.volume.partials import Partials
from provision.volume.paths import Folder
from provision.volume.placing import place

DATA = content(2.5, seed=4)
FILE = promised(DATA)


@pytest.fixture
def final(tmp_path):
    return tmp_path / FILE.target


def test_a_placed_file_has_its_bytes_its_mode_and_nothing_beside_it(ours, final, tmp_path):
    placed, _ = fill(ours.claim(FILE), DATA)
    assert final.read_bytes() == DATA
    assert (placed.st_size, placed.st_mtime_ns) == (final.stat().st_size, final.stat().st_mtime_ns)
    (tmp_path / "new").touch(0o644)
    assert final.stat().st_mode == (tmp_path / "new").stat().st_mode
    assert left_over(tmp_path) == []


def test_nothing_stands_at_the_final_name_until_everything_is_proven(ours, final):
    with ours.claim(FILE) as partial:
        bring_pieces(partial, DATA)
        assert not final.exists()
        place(partial)
        assert final.exists()


def test_the_old_file_stands_until_the_new_one_takes_its_name_in_one_moment(ours, final, monkeypatch):
    final.parent.mkdir(parents=True)
    final.write_bytes(b"the old version")
    seen = []
    rename = Folder.rename

    def watched(self, old, new):
        seen.append(final.read_bytes())
        return rename(self, old, new)

    monkeypatch.setattr(Folder, "rename", watched)
    with final.open("rb") as reader:
        fill(ours.claim(FILE), DATA)
        assert reader.read() == b"the old version"
    assert seen == [b"the old version"]
    assert final.read_bytes() == DATA


def test_bytes_are_flushed_before_they_get_their_name_and_the_folder_after(ours, monkeypatch):
    calls = []
    for owner, name in ((File, "sync"), (Folder, "rename"), (Folder, "sync")):
        call = getattr(owner, name)
        label = f"{owner.__name__}.{name}"
        monkeypatch.setattr(owner, name, lambda *a, call=call, label=label: (calls.append(label), call(*a))[1])
    with ours.claim(FILE) as partial:
        bring_pieces(partial, DATA)
        calls.clear()
        place(partial)
    assert calls == ["File.sync", "Folder.rename", "Folder.sync"]


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_not_a_file_is_never_replaced(ours, final, tmp_path, kind):
    final.parent.mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.write_bytes(b"keep")
    {"link": lambda: final.symlink_to(outside), "folder": final.mkdir, "pipe": lambda: os.mkfifo(final)}[kind]()
    before = final.lstat()
    with pytest.raises(UnsafePath):
        fill(ours.claim(FILE), DATA)
    assert final.lstat().st_ino == before.st_ino
    assert outside.read_bytes() == b"keep"


def test_a_folder_that_appears_at_the_last_moment_is_not_replaced(ours, final, monkeypatch):
    monkeypatch.setattr("provision.volume.placing._refuse_occupied", lambda *_: final.mkdir())
    with pytest.raises(UnsafePath):
        fill(ours.claim(FILE), DATA)
    assert final.is_dir()


@pytest.mark.parametrize("length", [0, len(DATA) - 1])
def test_bytes_lost_at_close_are_never_placed(ours, final, monkeypatch, length):
    # MooseFS leaves 0 bytes when a quota is spent; here they are taken away when the file is closed.
    close = File.close
    with ours.claim(FILE) as partial:
        bring_pieces(partial, DATA)
        path = final.with_name(partial.name)

        def losing(self):
            close(self)
            if self.path == str(path):
                os.truncate(path, length)

        monkeypatch.setattr(File, "close", losing)
        with pytest.raises(VolumeFull, match=f"has {length} bytes after it was closed"):
            place(partial)
        monkeypatch.undo()
    assert not final.exists()
    assert path.exists()


def test_a_failed_flush_places_nothing_and_what_it_was_to_flush_is_not_believed(ours, final, monkeypatch):
    def failing(_):
        raise OSError(122, "EDQUOT")

    with ours.claim(FILE) as partial, monkeypatch.context() as patched:
        bring_pieces(partial, DATA)
        patched.setattr(os, "fsync", failing)
        with pytest.raises(VolumeFull):
            place(partial)
    assert not final.exists()
    assert fill(ours.claim(FILE), DATA)[1] == [0, 1, 2]


def test_two_writers_piece_by_piece_in_turn_both_finish_and_both_are_right(ours, volume, final, tmp_path):
    theirs = Partials(volume, writer_named("bbbbbbbb", STRANGER))
    with ours.claim(FILE) as first, theirs.claim(FILE) as second:
        for index in range(piece_count(len(DATA))):
            begin, end = piece_span(index, len(DATA))
            for partial in (first, second):
                partial.write_at(begin, DATA[begin:end])
                partial.record(index, piece_digest(DATA[begin:end]))
        assert place(first) is not None
        assert final.read_bytes() == DATA
        assert place(second) is None
    assert final.read_bytes() == DATA
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("had_a_journal", [True, False])
def test_a_writer_whose_partial_was_taken_away_learns_it_and_leaves_nothing(
    ours, volume, final, tmp_path, had_a_journal
):
    slow = Partials(volume, writer_named("bbbbbbbb", STRANGER)).claim(FILE)
    if had_a_journal:
        slow.record(0, "0" * 64)
    with slow:
        slow.write_at(0, b"wrong bytes")
        fill(ours.claim(FILE), DATA)
        slow.record(1, "0" * 64)
        assert place(slow) is None
    assert final.read_bytes() == DATA
    assert left_over(tmp_path) == []


def test_many_writers_at_once_leave_one_right_file(volume, final):
    stores = [Partials(volume, writer_named(f"{n:08x}", STRANGER)) for n in range(6)]
    start, failed = threading.Barrier(len(stores)), []

    def work(store):
        start.wait()
        try:
            fill(store.claim(FILE), DATA)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failed.append(error)

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert final.read_bytes() == DATA


def test_an_interrupted_fill_of_another_version_does_not_touch_what_stands(ours, final, tmp_path):
    fill(ours.claim(FILE), DATA)
    killed_after(tmp_path, 3, 9, upto=1)
    assert final.read_bytes() == DATA


def test_a_leftover_that_cannot_be_removed_does_not_undo_the_placing(ours, final, monkeypatch):
    def refusing(*_):
        raise VolumeReadOnly("no")

    monkeypatch.setattr(Folder, "unlink", refusing)
    assert fill(ours.claim(FILE), DATA)[0] is not None
    assert final.read_bytes() == DATA


def test_a_receipt_never_gets_the_time_of_another_version(ours, final, monkeypatch):
    sync = Folder.sync

    def replaced_just_then(self):
        sync(self)
        if final.exists():
            other = final.with_name("other")
            other.write_bytes(DATA)
            os.utime(other, ns=(1, 1))
            other.rename(final)

    monkeypatch.setattr(Folder, "sync", replaced_just_then)
    placed, _ = fill(ours.claim(FILE), DATA)
    assert placed.st_mtime_ns != 1
    assert final.stat().st_mtime_ns == 1
