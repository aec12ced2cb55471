"""Nothing is written or read outside the volume, whatever lies in the way."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from volume_material import names_in, open_descriptors

from provision.errors import UnsafePath, VolumeError
from provision.volume.faults import UNSAFE_HINT
from provision.volume.mount import Volume
from provision.volume.paths import Folder


@pytest.fixture
def volume(tmp_path):
    (tmp_path / "volume").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("keep out")
    with Volume.open(str(tmp_path / "volume")) as volume:
        yield volume


@pytest.mark.parametrize("link", ["a", "a/b", "a/b/c"])
def test_a_link_at_any_level_is_refused_and_named(volume, tmp_path, link):
    place = tmp_path / "volume" / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(tmp_path / "outside")
    for reach in (volume.root.below, volume.root.made_below):
        with pytest.raises(UnsafePath, match=f"volume/{link} is a symbolic link") as caught:
            reach("a/b/c/d")
        assert caught.value.hint == UNSAFE_HINT
    assert names_in(tmp_path / "outside") == ["secret"]


def test_a_link_inside_the_volume_is_refused_too(volume, tmp_path):
    (tmp_path / "volume/real").mkdir()
    (tmp_path / "volume/alias").symlink_to("real")
    with pytest.raises(UnsafePath, match="alias is a symbolic link"):
        volume.root.below("alias")


@pytest.mark.parametrize("writing", [False, True])
def test_a_link_at_a_files_place_is_neither_read_nor_written(volume, tmp_path, writing):
    (tmp_path / "volume/a").symlink_to(tmp_path / "outside/secret")
    with pytest.raises(UnsafePath, match="a is a symbolic link"):
        volume.root.open_file("a", writing=writing)
    with pytest.raises(UnsafePath, match="a is a symbolic link"):
        volume.root.made_file("a")
    assert (tmp_path / "outside/secret").read_text() == "keep out"


def test_a_dangling_link_does_not_make_its_target(volume, tmp_path):
    (tmp_path / "volume/a").symlink_to(tmp_path / "outside/new")
    with pytest.raises(UnsafePath):
        volume.root.made_file("a")
    assert not (tmp_path / "outside/new").exists()


def test_a_folder_swapped_for_a_link_between_two_steps_is_refused(volume, tmp_path, monkeypatch):
    (tmp_path / "volume/a/b").mkdir(parents=True)
    step = Folder.folder

    def swapping(self, name):
        if name == "b":
            (tmp_path / "volume/a/b").rmdir()
            (tmp_path / "volume/a/b").symlink_to(tmp_path / "outside")
        return step(self, name)

    monkeypatch.setattr(Folder, "folder", swapping)
    with pytest.raises(UnsafePath, match="a/b is a symbolic link"):
        volume.root.made_below("a/b/c")
    assert names_in(tmp_path / "outside") == ["secret"]


def test_a_folder_swapped_for_a_link_once_open_stays_the_folder_it_was(volume, tmp_path):
    with volume.root.made_below("a") as folder:
        (tmp_path / "volume/a").rename(tmp_path / "volume/moved")
        (tmp_path / "volume/a").symlink_to(tmp_path / "outside")
        folder.write_file("new", b"data")
    assert (tmp_path / "volume/moved/new").read_bytes() == b"data"
    assert names_in(tmp_path / "outside") == ["secret"]


@pytest.mark.parametrize("path", ["..", "a/../../outside", "/etc", "a//b", "./a", "a\0b"])
def test_a_path_that_could_leave_the_volume_cannot_be_said(volume, path):
    with pytest.raises(UnsafePath):
        volume.root.below(path)
    with pytest.raises(UnsafePath):
        volume.root.made_below(path)


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../outside/secret"])
@pytest.mark.parametrize(
    "method", ["stat", "open_file", "made_file", "unlink", "make_folder", "remove_folder", "folder"]
)
def test_a_name_is_a_single_plain_segment(volume, name, method):
    with pytest.raises(UnsafePath, match="not a plain name"):
        getattr(volume.root, method)(name)
    with pytest.raises(UnsafePath):
        volume.root.rename("x", name)


def test_a_file_where_a_folder_is_needed_is_refused(volume, tmp_path):
    (tmp_path / "volume/a").write_text("")
    with pytest.raises(UnsafePath, match="a is a file where a folder is needed"):
        volume.root.made_below("a/b")


def test_a_folder_where_a_file_is_needed_is_refused(volume, tmp_path):
    (tmp_path / "volume/a").mkdir()
    for writing in (False, True):
        with pytest.raises(UnsafePath):
            volume.root.open_file("a", writing=writing)


def test_a_pipe_at_a_files_place_is_refused_without_waiting(volume, tmp_path):
    os.mkfifo(tmp_path / "volume/pipe")
    with pytest.raises(UnsafePath, match="not a regular file"):
        volume.root.open_file("pipe")
    with pytest.raises(UnsafePath, match="not a regular file"):
        volume.root.made_file("pipe")


def test_a_socket_at_a_files_place_is_refused(volume, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "volume")  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(UnsafePath, match="not a regular file"):
            volume.root.open_file("socket")


def test_the_root_itself_may_be_reached_through_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to("real")
    with Volume.open(str(tmp_path / "alias")) as volume:
        assert volume.path == str(tmp_path / "real")


def test_what_is_absent_is_answered_not_raised(volume):
    assert volume.root.below("a/b") is None
    assert volume.root.stat("a") is None
    assert volume.root.open_file("a") is None
    assert volume.stat("a/b/c") is None
    assert not volume.root.unlink("a")
    assert not volume.root.rename("a", "b")
    assert not volume.root.remove_folder("a")


def test_folders_are_made_though_another_process_makes_them_too(volume, tmp_path, monkeypatch):
    make = Folder.make_folder

    def beaten(self, name):
        Path(self.path, name).mkdir()
        return make(self, name)

    monkeypatch.setattr(Folder, "make_folder", beaten)
    volume.root.made_below("a/b").close()
    assert (tmp_path / "volume/a/b").is_dir()


def test_a_small_file_is_replaced_in_one_moment_and_leaves_nothing_beside_it(volume, tmp_path):
    volume.root.write_file("a", b"first")
    with volume.root.open_file("a") as before:
        volume.root.write_file("a", b"second")
        assert before.read_at(0, 10) == b"first"
    assert (tmp_path / "volume/a").read_bytes() == b"second"
    assert names_in(tmp_path / "volume") == ["a"]


def test_no_descriptor_is_left_open_whatever_happens(volume, tmp_path):
    (tmp_path / "volume/a/b").mkdir(parents=True)
    (tmp_path / "volume/a/link").symlink_to(tmp_path / "outside")
    os.mkfifo(tmp_path / "volume/a/pipe")
    before = open_descriptors()
    for path in ("a/b", "a/absent/c", "a/link/c", "a/../b", "a/pipe/c"):
        try:
            found = volume.root.below(path)
        except VolumeError:
            continue
        if found is not None:
            found.close()
    with volume.root.below("a") as folder, pytest.raises(UnsafePath):
        folder.open_file("pipe")
    volume.root.write_file("x", b"data")
    assert open_descriptors() == before
