"""Real file systems that are full, read-only or someone else's. Needs root, to mount them."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress

import pytest
from volume_material import STRANGER, bring_pieces, content, fill, left_over, names_in, promised, writer_named

from provision.digest import PIECE_SIZE
from provision.errors import VolumeFull, VolumeReadOnly
from provision.volume.mount import Volume
from provision.volume.partials import IDLE, Partials
from provision.volume.space import check_room

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount"),
]
DATA = content(2.5, seed=7)
FILE = promised(DATA)


@pytest.fixture
def mounted(tmp_path):
    """A function that mounts with the given words; everything is unmounted in the end."""
    places = []

    def mount(name, *words):
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        subprocess.run(["mount", *words, str(place)], check=True)
        places.append(place)
        return place

    yield mount
    for place in reversed(places):
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_volume_that_fills_up_midway_keeps_what_it_has_and_resumes_when_it_has_grown(mounted):
    place = mounted("small", "-t", "tmpfs", "-o", "size=24m", "tmpfs")
    with Volume.open(str(place)) as volume:
        store = Partials(volume, writer_named("aaaaaaaa"))
        with pytest.raises(VolumeFull) as caught:
            fill(store.claim(FILE), DATA)
        assert "it resumes" in caught.value.hint
        assert not (place / FILE.target).exists()
        subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
        _, fetched = fill(store.claim(FILE), DATA)
    assert fetched == [1, 2]
    assert (place / FILE.target).read_bytes() == DATA
    assert left_over(place) == []


def test_a_volume_too_small_is_refused_before_the_first_byte(mounted):
    place = mounted("small", "-t", "tmpfs", "-o", "size=24m", "tmpfs")
    with (
        Volume.open(str(place)) as volume,
        pytest.raises(VolumeFull, match=r"41\.9 MB are needed and 25\.2 MB are free"),
    ):
        check_room(volume, len(DATA), None)


def test_what_killed_pods_have_left_does_not_fill_a_volume_for_good(mounted):
    place = mounted("small", "-t", "tmpfs", "-o", "size=56m", "tmpfs")
    with Volume.open(str(place)) as volume:
        ours = Partials(volume, writer_named("aaaaaaaa"))
        with Partials(volume, writer_named("bbbbbbbb", STRANGER)).claim(FILE) as partial:
            bring_pieces(partial, DATA, 2)
        missing = len(DATA) - 2 * PIECE_SIZE
        check_room(volume, missing, None)  # the rest fits, but not with a second copy of what is there
        with pytest.raises(VolumeFull):
            check_room(volume, missing + ours.copies([FILE]), None)
        assert ours.drop_idle([FILE], time.time() + IDLE + 60) == 2 * PIECE_SIZE
        check_room(volume, len(DATA) + ours.copies([FILE]), None)
        fill(ours.claim(FILE), DATA)
    assert (place / FILE.target).read_bytes() == DATA


def test_a_volume_without_room_for_a_name_is_full(mounted):
    place = mounted("inodes", "-t", "tmpfs", "-o", "nr_inodes=5", "tmpfs")
    for n in range(9):
        with suppress(OSError):
            (place / str(n)).touch()
    with Volume.open(str(place)) as volume, pytest.raises(VolumeFull):
        volume.root.made_file("one more")


def test_a_read_only_volume_is_known_before_the_first_byte_and_can_still_be_read(mounted, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_bytes(b"data")
    place = mounted("view", "--bind", str(tmp_path / "real"))
    subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
    with Volume.open(str(place)) as volume:
        with volume.root.open_file("a") as file:
            assert file.read_at(0, 9) == b"data"
        with pytest.raises(VolumeReadOnly):
            volume.check_writable()
    assert names_in(tmp_path / "real") == ["a"]


def test_what_is_mounted_below_a_volume_is_not_counted_as_its_use(mounted):
    place = mounted("outer", "-t", "tmpfs", "-o", "size=8m", "tmpfs")
    mounted("outer/inner", "-t", "tmpfs", "-o", "size=8m", "tmpfs")
    (place / "inner/large").write_bytes(b"x" * 4_000_000)
    with Volume.open(str(place)) as volume:
        check_room(volume, 7_000_000, 8_000_000)
