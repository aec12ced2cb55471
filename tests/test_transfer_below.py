"""A file system that fails, seen from below Python: real fills against `fault_shim.c`, and volumes that go away.

After every fault: it ends as done or with exit code 7, says why and what to do; a final name is absent or right; and
the next fill, with the fault gone, ends well and asks for nothing that was proven and is still there.
"""

from __future__ import annotations

import errno
import os
import random
import subprocess
from dataclasses import dataclass

import pytest
from abreast import Abreast
from byte_faults import acts_after
from fault_shim import VOLUME_ITSELF, Fault, compiled, needs_gcc
from fill_bed import BIG, SIZES, SMALL, TOKEN, Bed, build, content, file_of, proven
from fill_process import end, run, start
from hub_kinds import HUGGINGFACE
from misbehaving_hub import MisbehavingHub, Rule, later

from provision.digest import PIECE_SIZE, piece_span
from provision.errors import ExitCode
from provision.serve import Folder, Settings

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
DONE, VOLUME = ExitCode.DONE, ExitCode.VOLUME
RANGES = 3
FIVE = "five.npy"
SIZES[FIVE] = 4 * PIECE_SIZE + 500_009
"""When two pieces of it are there, so many ranges are open."""
FLUSHED_SOON = "from provision.volume import partials; partials.SYNC_EVERY = 2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Fault):
    """What goes wrong while `big` and SMALL are filled, and how that ends."""

    big: str = BIG
    ends: ExitCode | None = VOLUME  # None: one or the other, as it comes


def full_at(seed: int) -> Row:
    after = random.Random(seed).randrange(SIZES[FIVE] - RANGES)
    return Row(calls="pwrite", number=errno.ENOSPC, after=after, big=FIVE)


MIDWAY = {
    **{f"the disk is full at a random byte, {seed}": full_at(seed) for seed in range(4)},
    "a quota that pwrite tells": Row(calls="pwrite", number=errno.EDQUOT, after=PIECE_SIZE + 5),
    "a quota that only a flush midway tells": Row(calls="fdatasync", number=errno.EDQUOT, loses="all", big=FIVE),
    "pwrite fails once": Row(calls="pwrite", number=errno.EIO, after=PIECE_SIZE, times="1", ends=DONE),
    "pwrite fails": Row(calls="pwrite", number=errno.EIO, after=PIECE_SIZE),
    "a flush midway fails once": Row(calls="fdatasync", number=errno.EIO, times="1", loses="last", big=FIVE, ends=DONE),
    "a flush midway fails": Row(calls="fdatasync", number=errno.EIO, loses="last", big=FIVE),
    "pread fails once": Row(calls="pread", number=errno.EIO, times="1", big=FIVE, ends=DONE),
    "pread fails": Row(calls="pread", number=errno.EIO, big=FIVE, ends=None),
    "a stale handle once": Row(calls="pwrite pread", number=errno.ESTALE, after=5_000_000, times="1", ends=DONE),
    "a stale handle": Row(calls="pwrite pread fsync", number=errno.ESTALE, after=5_000_000),
    "a mount that is gone": Row(calls="pwrite pread fsync close", number=errno.ENOTCONN, after=5_000_000),
    "everything of a mount that is gone": Row(
        calls="pwrite pread fsync fdatasync close rename mkdir unlink",
        on=VOLUME_ITSELF,
        number=errno.ENOTCONN,
        after=9_000_000,
    ),
    "mounted read-only midway": Row(
        calls="pwrite fsync fdatasync rename mkdir unlink", on=VOLUME_ITSELF, number=errno.EROFS, after=9_000_000
    ),
    "writes take a part": Row(calls="pwrite", number=0, after=5_000_000, ends=DONE),
    "journals cannot be written": Row(calls="pwrite", on=".journal", number=errno.EIO),
    "journals have no room": Row(calls="pwrite fsync", on=".journal", number=errno.EDQUOT, loses="all"),
    "a journal's flush midway fails": Row(calls="fdatasync", on=".journal", number=errno.EIO, loses="last", big=FIVE),
}  # fmt: skip
"""What strikes while bytes come: always while several ranges of one file are open."""

BEFORE_OR_AFTER = {
    "a quota that only fsync tells": Row(calls="fsync", number=errno.EDQUOT, loses="all"),
    "a quota that only close tells": Row(calls="close", number=errno.EDQUOT, loses="all"),
    "a quota that fsync and close tell": Row(calls="fsync close", number=errno.EDQUOT, loses="all"),
    "fsync fails once": Row(calls="fsync", number=errno.EIO, times="1", loses="last", ends=DONE),
    "fsync fails": Row(calls="fsync", number=errno.EIO, loses="last"),
    "close fails once": Row(calls="close", number=errno.EIO, times="1", loses="last", ends=DONE),
    "rename fails once": Row(calls="rename", on=f"models/{BIG}", number=errno.EIO, times="1", ends=DONE),
    "rename fails": Row(calls="rename", on="/models/", number=errno.EIO),
    "leftovers cannot be removed": Row(calls="unlink", on="partial", number=errno.EROFS, ends=DONE),
    "no claim can be made": Row(calls="mkdir", on="/claims", number=errno.EROFS, ends=DONE),
    "claims fail": Row(calls="mkdir unlink", on="/claims", number=errno.EIO, ends=DONE),
    "receipts have no room": Row(calls="fsync", on="/receipts/", number=errno.EDQUOT, loses="all"),
    "receipts fail at close": Row(calls="close", on=".jsonl", number=errno.EDQUOT, loses="all"),
    "a spent quota is known at once": Row(calls="close", on="/probe-", number=errno.EDQUOT, loses="all"),
    "folders cannot be flushed": Row(calls="fsync", on="/models", number=errno.EIO),
}  # fmt: skip
"""What strikes when a file is begun, or when all of it has come, on as many connections."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    served = build(tmp_path_factory.mktemp("served"), (FIVE, BIG, SMALL))
    with MisbehavingHub(Folder(served), Settings(token=TOKEN)) as hub:
        yield hub


@pytest.fixture
def bed(hub, tmp_path):
    hub.rules.clear()
    hub.log.clear()
    (tmp_path / "volume").mkdir()
    return Bed(hub=hub, kind=HUGGINGFACE, volume=tmp_path / "volume")


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("shim"))


def assert_law_1(bed, paths):
    """And the token is nowhere but at the hub."""
    for path in paths:
        final = bed.volume / "models" / path
        assert not final.exists() or final.read_bytes() == content(path)
    for path in bed.volume.rglob("*"):
        assert TOKEN not in path.name
        assert path.suffix in {".npy", ".partial"} or path.is_dir() or TOKEN.encode() not in path.read_bytes()
    assert all(TOKEN not in str(request.headers) for request in bed.hub.log if request.place == "cdn")


def assert_it_says_why(ended, code, *causes):
    """The cause, and the next step; nothing else is blamed."""
    assert ended.code in ({DONE, VOLUME} if code is None else {code}), ended.stderr
    errors = [told["error"] for told in [ended.document, *ended.document.get("files", [])] if "error" in told]
    assert bool(errors) == (ended.code != DONE)
    for error in errors:
        assert error["hint"]
        assert any(cause in error["message"] for cause in causes), error["message"]


def assert_the_next_fill_ends_it(bed, lock, paths):
    """With everything that is proven and still there: nothing of it is asked for again. It runs in this process."""
    standing = {path for path in paths if (bed.volume / "models" / path).exists()}
    held = {path: proven(bed.volume, lock).get(f"models/{path}", set()) for path in paths if path not in standing}
    had = sum(SIZES[path] for path in standing)
    had += sum(end - begin for path in held for begin, end in (piece_span(index, SIZES[path]) for index in held[path]))
    bed.hub.rules.clear()
    result = bed.fill(lock)
    assert (result.exit_code, result.fetched) == (DONE, sum(SIZES[path] for path in paths) - had)
    assert bed.fill(lock).requests == []


def assert_it_is_survived(bed, shim, log, row, abreast):
    """By a fill on a connection more than there are ranges to be open."""
    lock = bed.lock(row.big, SMALL)
    bed.hub.rules.append(Rule(next(file.sha256 for _, file in lock.files()), abreast, place="cdn"))
    variables = row.variables(shim, log, bed.volume)
    ended = end(start(bed, lock, "--connections", str(RANGES + 1), variables=variables, change=FLUSHED_SOON))
    assert log.exists(), "the fault did not strike"
    assert_law_1(bed, (row.big, SMALL))
    assert_it_says_why(ended, row.ends, os.strerror(row.number), "after it was closed", "are not there")
    assert_the_next_fill_ends_it(bed, lock, (row.big, SMALL))


@needs_gcc
@pytest.mark.parametrize("row", MIDWAY.values(), ids=MIDWAY)
def test_what_a_file_system_does_while_ranges_come_makes_no_name_wrong_and_the_next_fill_goes_on(
    bed, shim, tmp_path, row
):
    abreast = Abreast(size=SIZES[row.big], least=RANGES, is_over=(tmp_path / "faults").exists)
    assert_it_is_survived(bed, shim, tmp_path / "faults", row, abreast)
    assert abreast.has_begun
    assert not abreast.came_late


@needs_gcc
@pytest.mark.parametrize("row", BEFORE_OR_AFTER.values(), ids=BEFORE_OR_AFTER)
def test_what_a_file_system_does_before_or_after_makes_no_name_wrong_and_the_next_fill_goes_on(
    bed, shim, tmp_path, row
):
    assert_it_is_survived(
        bed, shim, tmp_path / "faults", row, Abreast(size=SIZES[row.big], least=RANGES, is_over=lambda: True)
    )


@pytest.fixture
def attached(bed):
    """A function that mounts the bed's volume with the given words; everything is unmounted in the end."""
    yield lambda words: subprocess.run(["mount", *words, bed.volume], check=True)
    while subprocess.run(["mountpoint", "-q", bed.volume], check=False).returncode == 0:
        subprocess.run(["umount", "-l", bed.volume], check=True)


@pytest.mark.system
@needs_root
@pytest.mark.parametrize("kept", [True, False], ids=["and comes back", "and another comes"])
def test_a_volume_that_is_unmounted_midway_is_told_and_the_next_fill_goes_on_with_what_it_has(bed, attached, kept):
    """Who has a file open may go on writing to what is nobody's volume any more: that must not be called done."""
    real = bed.volume.with_name("real")
    real.mkdir()
    words = ["--bind", real] if kept else ["-t", "tmpfs", "-o", "size=200m", "none"]
    attached(words)
    lock = bed.lock(BIG, SMALL)
    taken = acts_after(1_000_000, lambda: subprocess.run(["umount", "-l", bed.volume], check=True))
    bed.hub.rules += later(1, file_of(BIG).sha256, taken)
    ended = run(bed, lock, "--connections", "2")
    assert_it_says_why(ended, VOLUME, "was taken away while it was in use")
    assert list(bed.volume.iterdir()) == [], "what is under the mount is not the volume"
    attached(words)
    assert_law_1(bed, (BIG, SMALL))
    assert_the_next_fill_ends_it(bed, lock, (BIG, SMALL))
