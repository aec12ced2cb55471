"""Where claims cannot be kept, or are not what we wrote, everybody goes on with all the work."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from claims_bed import NAME, Clock, claims_in, claims_of, hearts_in, kept
from volume_material import STRANGER, names_in, open_descriptors, writer_named

from provision.volume.claims import HEARTS_LIMIT, HOLDERS_LIMIT, STALE, heart_name, hearts_among, owner_of
from provision.volume.mount import Volume
from provision.volume.writer import Owner, new_writer, this_process

OTHERS = "models/others"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ours(volume, clock):
    return claims_of(volume, "aaaaaaaa", clock, this_process())


@pytest.fixture
def theirs(volume, clock):
    return claims_of(volume, "bbbbbbbb", clock)


@pytest.fixture
def claim(volume, theirs) -> Path:
    """The folder of NAME, which somebody else has taken."""
    theirs.take(NAME)
    return claims_in(volume)[0]


def all_calls(claims) -> bool:
    """Everything that can be asked, and whether NAME was ours to do."""
    with claims:
        ours = claims.take(NAME)
        claims.beat()
        assert claims.held_by_others([NAME]) <= {NAME}
        claims.release(NAME)
    return ours


def failing(number):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("call", ["mkdir", "rmdir", "listdir", "stat", "open"])
def test_a_file_system_that_fails_stops_nobody(ours, theirs, monkeypatch, call, number):
    theirs.take(OTHERS)
    with monkeypatch.context() as patched:
        patched.setattr(os, call, failing(number))
        assert all_calls(ours)
        assert ours.take(NAME)


@pytest.mark.parametrize("call", ["rmdir", "listdir", "stat", "open"])
def test_a_claim_of_others_that_cannot_be_looked_at_stops_nobody(ours, claim, monkeypatch, clock, call):
    with monkeypatch.context() as patched:
        if call != "open":
            clock.now += 3 * STALE * (ours.take(NAME) is False)  # left over, and now it is to be broken
        patched.setattr(os, call, failing(errno.EIO))
        assert ours.take(NAME)
    assert claim.exists()


def test_what_could_not_be_given_back_is_with_the_next_beat(ours, theirs, monkeypatch):
    ours.take(NAME)
    with monkeypatch.context() as patched:
        patched.setattr(os, "rmdir", failing(errno.EIO))
        ours.release(NAME)
    assert not theirs.take(NAME)
    ours.beat()
    assert theirs.take(NAME)


def test_what_could_not_be_given_back_may_be_taken_again(ours, theirs, monkeypatch):
    ours.take(NAME)
    with monkeypatch.context() as patched:
        patched.setattr(os, "rmdir", failing(errno.EIO))
        ours.release(NAME)
    assert ours.take(NAME)
    ours.beat()
    assert not theirs.take(NAME)


def test_leaving_stops_the_heart_even_where_nothing_can_be_swept(ours, volume, monkeypatch):
    with monkeypatch.context() as patched, ours:
        ours.take(NAME)
        patched.setattr(os, "listdir", failing(errno.EIO))
    assert names_in(kept(volume)) == []


def test_a_heart_that_cannot_beat_loses_its_claims_and_stops_nobody(ours, theirs, claim, clock, monkeypatch):
    assert not ours.take(NAME)
    with monkeypatch.context() as patched:
        patched.setattr(os, "mkdir", failing(errno.EDQUOT))
        clock.now += STALE
        theirs.beat()
    assert ours.take(NAME)
    theirs.beat()
    assert names_in(claim) == ["aaaaaaaa"]


def test_claims_taken_away_by_hand_stop_nobody(ours, theirs, volume):
    ours.take(NAME)
    shutil.rmtree(kept(volume))
    ours.beat()
    assert theirs.take(NAME)
    ours.release(NAME)
    assert not ours.take(NAME)


def stand_file(place: Path):
    place.write_bytes(b"x")
    os.truncate(place, 2**40)  # read in full, it would not end well


def stand_link(place: Path):
    elsewhere = place.parent.parent / "elsewhere"
    elsewhere.mkdir()
    place.symlink_to(elsewhere)


def stand_fifo(place: Path):
    os.mkfifo(place)


@pytest.mark.parametrize("stand", [stand_file, stand_link, stand_fifo])
def test_what_stands_where_a_claim_belongs_is_passed_over_and_left_alone(ours, theirs, claim, stand):
    shutil.rmtree(claim)
    stand(claim)
    before = claim.lstat()
    theirs.take(OTHERS)
    assert ours.held_by_others([NAME, OTHERS]) == {OTHERS}
    assert all_calls(ours)
    assert claim.lstat() == before


@pytest.mark.parametrize("stand", [stand_file, stand_link, stand_fifo])
def test_what_stands_where_all_claims_belong_is_passed_over_and_never_followed(ours, volume, tmp_path, stand):
    kept(volume).parent.mkdir()
    stand(kept(volume))
    assert all_calls(ours)
    elsewhere = tmp_path / "elsewhere"
    assert not elsewhere.exists() or names_in(elsewhere) == []


@pytest.mark.parametrize("stand", [stand_file, stand_link, stand_fifo])
def test_what_stands_where_a_writer_belongs_holds_nothing_for_long(ours, claim, clock, stand):
    (claim / "bbbbbbbb").rmdir()
    stand(claim / "bbbbbbbb")
    assert not ours.take(NAME)
    clock.now += STALE
    assert all_calls(ours)


@pytest.mark.parametrize("stand", [stand_file, stand_link, stand_fifo])
def test_what_cannot_be_swept_keeps_nothing_else_from_it(ours, theirs, volume, clock, stand):
    for n in range(5):
        theirs.take(f"models/{n}")
    first = min(claims_in(volume))
    (first / "bbbbbbbb").rmdir()
    stand(first / "bbbbbbbb")
    ours.beat()
    clock.now += STALE
    with ours:
        pass
    assert claims_in(volume) == [first]


@pytest.mark.parametrize("odd", ["x", "BBBBBBBB", "bbbbbbbb ", "bbbbbbbbb", "日本", "\udcff", "a\nb", ".", "\x1b[31m"])
def test_odd_names_in_a_claim_make_it_none(ours, claim, odd):
    (claim / odd / "deep").mkdir(parents=True)
    assert ours.held_by_others([NAME]) == set()
    assert all_calls(ours)


def test_a_claim_that_too_many_hold_is_none(ours, claim):
    for n in range(HOLDERS_LIMIT):
        (claim / f"{n:08x}").mkdir()
    assert ours.held_by_others([NAME]) == set()
    assert all_calls(ours)


def test_a_stale_claim_that_cannot_be_broken_is_in_nobodys_way(ours, claim, clock):
    (claim / "bbbbbbbb/deep").mkdir()
    assert not ours.take(NAME)
    clock.now += STALE
    assert ours.take(NAME)
    assert (claim / "bbbbbbbb/deep").exists()


@pytest.mark.parametrize(
    "odd", ["x" * 255, "aaaaaaaa.1", "aaaaaaaa.x.y.z.1.2", "\udcff", "a\nb", "f" * 17, "bbbbbbbb.9.x.0.0.0", ".nfs0001"]
)
def test_odd_names_among_the_claims_are_left_alone(ours, theirs, volume, odd):
    theirs.take(NAME)
    (kept(volume) / odd).mkdir()
    assert not all_calls(ours)
    assert (kept(volume) / odd).exists()


def test_files_and_links_named_like_hearts_are_never_followed(ours, theirs, volume, tmp_path, clock):
    theirs.take(NAME)
    (heart,) = hearts_in(volume)
    heart.rmdir()
    heart.symlink_to(tmp_path)
    stand_file(kept(volume) / heart_name(writer_named("cccccccc", STRANGER), 7))
    assert not ours.take(NAME)
    ours.beat()
    clock.now += STALE
    assert all_calls(ours)
    assert heart.is_symlink()
    assert tmp_path.exists()


def test_a_flood_of_hearts_is_looked_at_in_part(ours, volume):
    for n in range(HEARTS_LIMIT + 50):
        (kept(volume) / f"{n:08x}.1..0.0.0").mkdir(parents=True)
    assert len(hearts_among(names_in(kept(volume)))) == HEARTS_LIMIT
    assert all_calls(ours)


def test_a_heart_names_its_process():
    writer = new_writer()
    name = heart_name(writer, 12)
    assert hearts_among([name, heart_name(writer, 9), "x", "aaaaaaaa.1"]) == {writer.id: name}
    assert owner_of(name) == writer.owner == this_process()
    assert len(name) < 255


@pytest.mark.parametrize(
    "heart", ["", "x", "aaaaaaaa.1....", "aaaaaaaa.1..0.0.0", f"aaaaaaaa.1.{'f' * 36}.0.1.1",
              f"aaaaaaaa.1.{'f' * 36}.1.9999999.1"]
)  # fmt: skip
def test_a_heart_that_is_not_fit_to_be_believed_names_nobody(heart):
    assert owner_of(heart) == Owner()


def test_claims_leave_no_descriptor_open(ours, theirs, clock):
    theirs.take(NAME)
    before = open_descriptors()
    for _ in range(3):
        all_calls(ours)
        clock.now += STALE
    assert open_descriptors() == before


@pytest.fixture
def small(tmp_path):
    """A volume of its own, with very few inodes."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=12", "tmpfs", str(place)], check=True)
    with Volume.open(str(place)) as volume:
        yield volume
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.system
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_on_a_read_only_volume_everybody_does_all_the_work(small, clock):
    claims = [claims_of(small, f"{n:08x}", clock) for n in range(2)]
    assert [one.take(NAME) for one in claims] == [True, False]
    subprocess.run(["mount", "-o", "remount,ro", small.path], check=True)
    claims[0].beat()
    claims[0].release(NAME)
    assert claims[1].take(OTHERS)
    assert claims[1].held_by_others([NAME, OTHERS]) == {NAME}
    clock.now += STALE
    assert claims[1].take(NAME)


@pytest.mark.system
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_on_a_full_volume_everybody_does_all_the_work(small, clock):
    with claims_of(small, "aaaaaaaa", clock) as claims:
        assert all(claims.take(f"models/{n}") for n in range(20))
        claims.beat()
    assert names_in(Path(small.path, ".provision/claims")) == []
