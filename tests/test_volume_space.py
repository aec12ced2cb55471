"""A volume that is too small says so before the first byte, and one that claims plenty is not believed."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import UnsafePath, VolumeFull
from provision.volume.mount import Volume
from provision.volume.space import check_room, counted_use, free_by_statvfs, shortage

GB = 10**9


@pytest.fixture
def volume(tmp_path):
    (tmp_path / "volume").mkdir()
    with Volume.open(str(tmp_path / "volume")) as volume:
        yield volume


@pytest.mark.parametrize(
    ("needed", "counted", "told", "expected"),
    [
        (5 * GB, None, None, None),
        (5 * GB, None, 10 * GB, None),
        (5 * GB, 5 * GB, 10**15, None),
        (5 * GB, 4 * GB, 10**15, "5.0 GB are needed and 4.0 GB are free"),
        (5 * GB, 10 * GB, 1 * GB, "5.0 GB are needed and 1.0 GB are free"),
        (5 * GB, -3 * GB, None, "5.0 GB are needed and 0 B are free"),
        (0, -3 * GB, 0, None),
    ],
)
def test_each_bound_can_refuse_and_none_can_promise(needed, counted, told, expected):
    assert shortage(needed, counted, told) == expected


@given(needed=st.integers(1, 2**50), counted=st.integers(-(2**50), 2**50), told=st.integers(0, 2**60))
def test_what_does_not_fit_one_bound_does_not_fit(needed, counted, told):
    assert (shortage(needed, counted, told) is None) == (needed <= counted and needed <= told)


def test_use_is_the_sum_of_lengths_each_file_once_and_no_link_followed(volume, tmp_path):
    (tmp_path / "outside").write_bytes(b"x" * 1000)
    root = tmp_path / "volume"
    (root / "a/b").mkdir(parents=True)
    (root / "a/one").write_bytes(b"x" * 10)
    (root / "a/b/two").write_bytes(b"x" * 20)
    os.link(root / "a/one", root / "a/b/again")
    (root / "folder").symlink_to(tmp_path)
    (root / "file").symlink_to(tmp_path / "outside")
    assert counted_use(volume) == 30


def test_a_volume_of_known_size_refuses_what_does_not_fit_and_says_how_to_go_on(volume, tmp_path):
    (tmp_path / "volume/a").write_bytes(b"x" * 600_000)
    check_room(volume, 400_000, 1_000_000)
    with pytest.raises(VolumeFull, match="401 kB are needed and 400 kB are free") as caught:
        check_room(volume, 401_000, 1_000_000)
    assert "--volume-size" in caught.value.hint


def test_what_statvfs_says_is_the_second_bound(volume):
    told = free_by_statvfs(volume)
    assert told > 0
    for size in (None, 2**63):
        with pytest.raises(VolumeFull) as caught:
            check_room(volume, 2**62, size)
        assert "--volume-size" not in caught.value.hint  # it would change nothing


def test_a_file_system_that_tells_nothing_refuses_nothing(volume, monkeypatch):
    told = os.statvfs(volume.path)
    silent = type(told)((told.f_bsize, told.f_frsize, 0, 0, 0, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: silent)
    assert free_by_statvfs(volume) is None
    check_room(volume, 2**60, None)


def test_nothing_is_counted_when_nothing_is_needed(volume, monkeypatch):
    monkeypatch.setattr("provision.volume.space.counted_use", lambda _: pytest.fail("the volume was walked"))
    check_room(volume, 0, 1)
    check_room(volume, 1, None)


def test_an_unsafe_volume_is_still_only_looked_at(volume, tmp_path):
    (tmp_path / "volume/.provision").symlink_to(tmp_path)
    assert counted_use(volume) == 0
    with pytest.raises(UnsafePath):
        volume.check_writable()
