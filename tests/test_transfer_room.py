"""No volume, no room, no right to write: told before the first request where it can be known, else survived."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from byte_faults import acts_after
from fill_bed import BIG, NOW, PLAIN, SIZES, SMALL, TOKEN, Bed, build, content, file_of, proven
from fill_process import run
from hub_kinds import HUGGINGFACE
from misbehaving_hub import MisbehavingHub, Rule, later

from provision.crew import Stop
from provision.digest import PIECE_SIZE
from provision.errors import ExitCode
from provision.serve import Folder, Settings

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs needs root")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with MisbehavingHub(Folder(build(tmp_path_factory.mktemp("served"))), Settings(token=TOKEN)) as hub:
        yield hub


@pytest.fixture
def bed(hub, tmp_path):
    hub.rules.clear()
    hub.log.clear()
    (tmp_path / "volume").mkdir()
    return Bed(hub=hub, kind=HUGGINGFACE, volume=tmp_path / "volume")


def mounted(bed, options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", bed.volume], check=True)


@pytest.fixture
def tmpfs(bed):
    """Mounts the bed's volume as a tmpfs with the given options, and takes it away after the test."""
    yield lambda options: mounted(bed, options)
    subprocess.run(["umount", bed.volume], check=True)


def refused_before_any_request(bed, *flags, paths=(SMALL,)):
    lock = bed.lock(*paths)
    bed.hub.log.clear()
    ended = run(bed, lock, *flags)
    assert ended.code == ExitCode.VOLUME
    assert "error: " in ended.stderr
    assert "hint: " in ended.stderr
    assert bed.hub.log == []
    return ended.stderr


def test_no_volume_no_request(bed):
    assert "is not there" in refused_before_any_request(replace(bed, volume=bed.volume / "absent"))


def test_a_file_is_no_volume(bed):
    (bed.volume / "file").touch()
    assert "is not a folder" in refused_before_any_request(replace(bed, volume=bed.volume / "file"))


def test_what_does_not_fit_the_stated_size_is_not_begun(bed):
    said = refused_before_any_request(bed, "--volume-size", "100k")
    assert "200 kB are needed" in said
    assert "--volume-size" in said


def test_what_stands_counts_against_the_stated_size(bed):
    (bed.volume / "others.bin").write_bytes(bytes(150_000))
    refused_before_any_request(bed, "--volume-size", "300k")
    assert run(bed, bed.lock(SMALL), "--volume-size", "400k").code == ExitCode.DONE


def die(volume: Path) -> None:
    """The writer of every journal is no more: another process has its number."""
    for journal in (volume / ".provision/partials").glob("*.journal"):
        journal.write_text(re.sub(r'"started":\d+', '"started":1', journal.read_text()))


def test_what_may_be_written_by_another_is_copied_and_needs_its_room_again(bed):
    lock = bed.lock(BIG)
    bed.hub.rules += later(2, "", acts_after(1000, bed.stop.set))
    assert bed.fill(lock, connections=1).exit_code == ExitCode.INTERRUPTED
    stands = sum(path.stat().st_size for path in bed.volume.rglob("*") if path.is_file())
    bed.hub.log.clear()

    for flags in ((), ("--dry-run",)):
        assert run(bed, lock, "--volume-size", str(stands + SIZES[BIG] - 1), *flags).code == ExitCode.VOLUME
    assert bed.hub.log == []
    assert run(bed, lock, "--volume-size", str(stands + SIZES[BIG])).code == ExitCode.DONE


def test_what_a_killed_pod_has_left_goes_where_there_is_no_room_to_copy_it(bed):
    lock = bed.lock(BIG)
    bed.hub.rules += later(2, "", acts_after(1000, bed.stop.set))
    assert bed.fill(lock, connections=1).exit_code == ExitCode.INTERRUPTED
    for left in [*bed.volume.rglob(".provision-*"), *(bed.volume / ".provision/partials").glob("*")]:
        os.utime(left, (NOW, NOW))  # long ago
    size = ("--volume-size", str(SIZES[BIG] + 100_000))
    assert run(bed, lock, *size, "--dry-run").code == ExitCode.DONE
    done = run(bed, lock, *size)

    assert done.code == ExitCode.DONE
    assert "what a killed fill has left" in done.stderr


def test_what_is_half_there_needs_half_the_room(bed):
    lock = bed.lock(BIG)
    bed.hub.rules += later(2, "", acts_after(1000, bed.stop.set))
    assert bed.fill(lock, connections=1).exit_code == ExitCode.INTERRUPTED
    die(bed.volume)
    held = len(proven(bed.volume, lock)["models/" + BIG]) * PIECE_SIZE
    stands = sum(path.stat().st_size for path in bed.volume.rglob("*") if path.is_file())
    size = stands + SIZES[BIG] - held
    bed.hub.log.clear()
    assert run(bed, lock, "--volume-size", str(size - 1)).code == ExitCode.VOLUME
    assert bed.hub.log == []
    assert run(bed, lock, "--volume-size", str(size)).code == ExitCode.DONE


def test_what_was_begun_and_not_proven_takes_no_room_twice(bed):
    """Pieces come side by side: what a stopped fill has left is long, and may hold nothing that counts."""
    lock = bed.lock(BIG)
    bed.hub.rules += later(2, "", acts_after(1000, bed.stop.set))
    assert bed.fill(lock, connections=3).exit_code == ExitCode.INTERRUPTED
    die(bed.volume)
    left = list(bed.volume.rglob("*.partial"))
    os.truncate(left[0], SIZES[BIG])
    size = ("--volume-size", str(SIZES[BIG] + 100_000))
    assert run(bed, lock, *size, "--dry-run").code == ExitCode.DONE
    done = run(bed, lock, *size)
    assert done.code == ExitCode.DONE, done.stderr
    assert len(left) == 1


def test_stopped_fills_leave_one_partial_however_many_they_were(bed):
    lock = bed.lock(BIG)
    for _ in range(3):
        bed.stop = Stop()
        bed.hub.rules[:] = [Rule("", acts_after(12_000_000, bed.stop.set), times=1, place="cdn")]
        assert bed.fill(lock, connections=1).exit_code == ExitCode.INTERRUPTED
        die(bed.volume)
        assert len(list(bed.volume.rglob("*.partial"))) == 1


@pytest.mark.system
@needs_root
def test_a_read_only_volume_is_known_at_once(bed, tmpfs):
    tmpfs("ro")
    assert "attach the volume for writing" in refused_before_any_request(bed)


@pytest.mark.system
@needs_root
@pytest.mark.parametrize("options", ["size=8m", "nr_inodes=2"])
def test_a_volume_without_room_is_known_at_once(bed, tmpfs, options):
    tmpfs(options)
    refused_before_any_request(bed, paths=(BIG,))


def neighbour_takes_the_rest(bed):
    with (bed.volume / "neighbour").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(65_536)):
            pass


@pytest.mark.system
@needs_root
def test_a_volume_that_fills_up_keeps_what_is_proven_and_the_next_fill_fetches_the_rest(bed, tmpfs):
    tmpfs("size=60m")
    lock = bed.lock(BIG, SMALL, PLAIN)
    bed.hub.rules += later(2, file_of(BIG).sha256, acts_after(1000, lambda: neighbour_takes_the_rest(bed)), times=None)
    ended = run(bed, lock, "--connections", "1")
    assert ended.code == ExitCode.VOLUME
    failed = ended.document["files"]
    assert [file["action"] for file in failed] == ["failed"] * 3
    assert all("No space left" in file["error"]["message"] for file in failed)
    assert all("the partial is kept" in file["error"]["hint"] for file in failed)
    assert [request for request in bed.hub.log if file_of(SMALL).sha256 in request.target] == [], "for nothing"
    held = proven(bed.volume, lock)["models/" + BIG]
    assert 0 in held

    assert run(bed, lock).code == ExitCode.VOLUME  # as long as there is no room
    (bed.volume / "neighbour").unlink()
    bed.hub.log.clear()
    ended = run(bed, lock)
    assert ended.code == ExitCode.DONE
    assert ended.document["fetched_bytes"] == sum(SIZES[path] for path in (BIG, SMALL, PLAIN)) - len(held) * PIECE_SIZE
    for path in (BIG, SMALL, PLAIN):
        assert (bed.volume / "models" / path).read_bytes() == content(path)


@pytest.mark.system
@needs_root
def test_a_volume_that_fills_up_still_tells_what_became_of_each_file(bed, tmpfs):
    tmpfs("size=60m")
    lock = bed.lock(BIG, PLAIN)
    bed.hub.rules += later(2, file_of(BIG).sha256, acts_after(1000, lambda: neighbour_takes_the_rest(bed)), times=None)
    document = run(bed, lock, "--connections", "2").document
    actions = {file["target"]: file["action"] for file in document["files"]}
    assert actions == {"models/" + BIG: "failed", "models/" + PLAIN: "fetched"}
