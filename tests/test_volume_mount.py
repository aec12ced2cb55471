"""A volume is found or refused at once, tried before it is filled, and keeps the locks of those who fill it."""

from __future__ import annotations

import errno
import os

import pytest
from volume_material import names_in

from provision.errors import ExitCode, LockUnreadable, UnsafePath, VolumeAbsent, VolumeError, VolumeFull
from provision.lock import Lock, LockedModel
from provision.volume.files import File
from provision.volume.locks import read_lock, read_locks, write_lock
from provision.volume.mount import Volume


def lock_of(project):
    model = LockedModel(
        name="m",
        source="hf://o/m",
        revision="main",
        commit=None,
        layout="tree",
        license=None,
        meaning_sha256="0" * 64,
        files=(),
    )
    return Lock(project=project, root="", manifest_sha256="0" * 64, models=(model,))


def test_an_absent_volume_is_said_at_once_with_what_to_do(tmp_path):
    with pytest.raises(VolumeAbsent, match="is not there") as caught:
        Volume.open(str(tmp_path / "absent"))
    assert caught.value.exit_code is ExitCode.VOLUME
    assert caught.value.hint == "attach the network volume or pass --volume DIR"


def test_a_file_is_not_a_volume(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(VolumeAbsent, match="is not a folder"):
        Volume.open(str(tmp_path / "file"))


def test_a_volume_can_be_made_when_asked_for(tmp_path):
    Volume.open(str(tmp_path / "a/b"), create=True).close()
    assert (tmp_path / "a/b").is_dir()


def test_opening_a_volume_changes_nothing_on_it(tmp_path):
    Volume.open(str(tmp_path)).close()
    assert names_in(tmp_path) == []


def test_the_probe_leaves_only_a_note_on_what_the_folder_is(volume, tmp_path):
    volume.check_writable()
    volume.check_writable()
    assert names_in(tmp_path / ".provision") == ["README.txt"]


def test_a_quota_that_leaves_nothing_is_found_by_the_probe(volume, tmp_path, monkeypatch):
    # As MooseFS does it; here the bytes are taken away behind the probe's back when it flushes.
    monkeypatch.setattr(File, "sync", lambda self: os.ftruncate(self._fd, 0))
    with pytest.raises(VolumeFull, match=r"probe-.* has 0; the volume has no room"):
        volume.check_writable()
    assert names_in(tmp_path / ".provision") == []


def test_a_volume_that_is_someone_elses_is_found_by_the_probe(volume, monkeypatch):
    # Root, as whom tests may run, may write anywhere: the system call is made to refuse.
    def refusing(*_, **__):
        raise PermissionError(errno.EACCES, "mkdir")

    monkeypatch.setattr(os, "mkdir", refusing)
    with pytest.raises(VolumeError, match="Permission denied") as caught:
        volume.check_writable()
    assert caught.value.exit_code is ExitCode.VOLUME
    assert caught.value.hint == "run as a user who may write there"


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_state_folder_that_is_none_is_refused(volume, tmp_path, kind):
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    if kind == "link":
        (tmp_path / ".provision").symlink_to(outside)
    else:
        (tmp_path / ".provision").write_text("")
    for attempt in (volume.check_writable, lambda: read_locks(volume), lambda: write_lock(volume, lock_of("p"))):
        with pytest.raises(UnsafePath, match=r"\.provision is a"):
            attempt()
    assert names_in(outside) == []


def test_a_copy_of_each_lock_is_kept_and_read_back(volume):
    assert read_locks(volume) == []
    assert read_lock(volume, "a") is None
    assert write_lock(volume, lock_of("b"))
    assert write_lock(volume, lock_of("a"))
    assert not write_lock(volume, lock_of("a"))
    assert read_lock(volume, "a") == lock_of("a")
    assert read_locks(volume) == [lock_of("a"), lock_of("b")]


@pytest.mark.parametrize("project", ["../a", "a/b", "/a", "a\nb"])
def test_a_project_cannot_name_a_place_elsewhere(volume, project):
    with pytest.raises(UnsafePath):
        write_lock(volume, lock_of(project))
    with pytest.raises(UnsafePath):
        read_lock(volume, project)


def test_a_damaged_lock_on_the_volume_is_not_passed_over(volume, tmp_path):
    write_lock(volume, lock_of("a"))
    (tmp_path / ".provision/locks/b.lock.json").write_text("{")
    with pytest.raises(LockUnreadable, match="locks/b"):
        read_locks(volume)


def test_a_lock_under_another_projects_name_is_refused(volume, tmp_path):
    write_lock(volume, lock_of("a"))
    (tmp_path / ".provision/locks/a.lock.json").rename(tmp_path / ".provision/locks/b.lock.json")
    with pytest.raises(LockUnreadable, match="another project"):
        read_locks(volume)


def test_a_lock_that_is_a_link_is_not_read(volume, tmp_path):
    write_lock(volume, lock_of("a"))
    (tmp_path / ".provision/locks/b.lock.json").symlink_to("a.lock.json")
    with pytest.raises(UnsafePath):
        read_locks(volume)
