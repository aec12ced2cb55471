"""A file system that fails, seen from below Python: real fills against `fault_shim.c`, and volumes that go away.

After every fault: it ends as done or with exit code 7, says why and what to do; a final name is absent or right; and
the next fill, with the fault gone, ends well and asks for nothing that was proven and is still there.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from byte_faults import acts_after
from fill_bed import BIG, SIZES, SMALL, TOKEN, WIDE, Bed, assert_no_leftovers, build, content, file_of, proven
from fill_process import end, run, start
from hub_kinds import HUGGINGFACE
from misbehaving_hub import MisbehavingHub, later

from provision.digest import PIECE_SIZE, piece_span
from provision.errors import ExitCode
from provision.serve import Folder, Settings

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="faults from below Python are made with gcc"),
]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
DONE, VOLUME = ExitCode.DONE, ExitCode.VOLUME
ALWAYS = ""
VOLUME_ITSELF = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong, as `fault_shim.c` takes it, while BIG (or WIDE, that is flushed midway) and SMALL are filled."""

    calls: str
    number: int
    on: str = ".partial"
    after: int = 0
    times: str = ALWAYS
    loses: str = ""
    big: str = BIG
    ends: ExitCode | None = VOLUME  # None: one or the other, as it comes

    def variables(self, shim: Path, log: Path, volume: Path) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(shim),
            "FAULT_CALLS": self.calls,
            "FAULT_ON": self.on or str(volume),
            "FAULT_ERRNO": str(self.number),
            "FAULT_AFTER": str(self.after),
            "FAULT_LOSES": self.loses,
            "FAULT_LOG": str(log),
            **({"FAULT_TIMES": self.times} if self.times else {}),
        }


def full_at(seed: int) -> Fault:
    after = random.Random(seed).randrange(SIZES[WIDE])
    return Fault(calls="pwrite", number=errno.ENOSPC, after=after, big=WIDE)


FAULTS = {
    **{f"the disk is full at a random byte, {seed}": full_at(seed) for seed in range(4)},
    "a quota that pwrite tells": Fault(calls="pwrite", number=errno.EDQUOT, after=PIECE_SIZE + 5),
    "a quota that only fsync tells": Fault(calls="fsync", number=errno.EDQUOT, loses="all"),
    "a quota that only a flush midway tells": Fault(calls="fdatasync", number=errno.EDQUOT, loses="all", big=WIDE),
    "a quota that only close tells": Fault(calls="close", number=errno.EDQUOT, loses="all"),
    "a quota that fsync and close tell": Fault(calls="fsync close", number=errno.EDQUOT, loses="all"),
    "pwrite fails once": Fault(calls="pwrite", number=errno.EIO, after=PIECE_SIZE, times="1", ends=DONE),
    "pwrite fails": Fault(calls="pwrite", number=errno.EIO, after=PIECE_SIZE),
    "fsync fails once": Fault(calls="fsync", number=errno.EIO, times="1", loses="last", ends=DONE),
    "fsync fails": Fault(calls="fsync", number=errno.EIO, loses="last"),
    "a flush midway fails once": Fault(
        calls="fdatasync", number=errno.EIO, times="1", loses="last", big=WIDE, ends=DONE
    ),
    "a flush midway fails": Fault(calls="fdatasync", number=errno.EIO, loses="last", big=WIDE),
    "close fails once": Fault(calls="close", number=errno.EIO, times="1", loses="last", ends=DONE),
    "pread fails once": Fault(calls="pread", number=errno.EIO, times="1", big=WIDE, ends=DONE),
    "pread fails": Fault(calls="pread", number=errno.EIO, big=WIDE, ends=None),
    "a stale handle once": Fault(calls="pwrite pread", number=errno.ESTALE, after=5_000_000, times="1", ends=DONE),
    "a stale handle": Fault(calls="pwrite pread fsync", number=errno.ESTALE, after=5_000_000),
    "a mount that is gone": Fault(calls="pwrite pread fsync close", number=errno.ENOTCONN, after=5_000_000),
    "everything of a mount that is gone": Fault(
        calls="pwrite pread fsync fdatasync close rename mkdir unlink",
        on=VOLUME_ITSELF,
        number=errno.ENOTCONN,
        after=9_000_000,
    ),
    "mounted read-only midway": Fault(
        calls="pwrite fsync fdatasync rename mkdir unlink", on=VOLUME_ITSELF, number=errno.EROFS, after=9_000_000
    ),
    "writes take a part": Fault(calls="pwrite", number=0, ends=DONE),
    "rename fails once": Fault(calls="rename", on=f"models/{BIG}", number=errno.EIO, times="1", ends=DONE),
    "rename fails": Fault(calls="rename", on="/models/", number=errno.EIO),
    "leftovers cannot be removed": Fault(calls="unlink", on="partial", number=errno.EROFS, ends=DONE),
    "no claim can be made": Fault(calls="mkdir", on="/claims", number=errno.EROFS, ends=DONE),
    "claims fail": Fault(calls="mkdir unlink", on="/claims", number=errno.EIO, ends=DONE),
    "journals cannot be written": Fault(calls="pwrite", on=".journal", number=errno.EIO),
    "journals have no room": Fault(calls="pwrite fsync", on=".journal", number=errno.EDQUOT, loses="all"),
    "a journal's flush midway fails": Fault(calls="fdatasync", on=".journal", number=errno.EIO, loses="last", big=WIDE),
    "receipts have no room": Fault(calls="fsync", on="/receipts/", number=errno.EDQUOT, loses="all"),
    "receipts fail at close": Fault(calls="close", on=".jsonl", number=errno.EDQUOT, loses="all"),
    "a spent quota is known at once": Fault(calls="close", on="/probe-", number=errno.EDQUOT, loses="all"),
    "folders cannot be flushed": Fault(calls="fsync", on="/models", number=errno.EIO),
}  # fmt: skip


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    served = build(tmp_path_factory.mktemp("served"), (WIDE, BIG, SMALL))
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
    made = tmp_path_factory.mktemp("shim") / "fault_shim.so"
    source = Path(__file__).parent / "fault_shim.c"
    words = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", made, source, "-ldl", "-lpthread"]
    subprocess.run(words, check=True)
    return made


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
    """With everything that is proven and still there: nothing of it is asked for again."""
    standing = {path for path in paths if (bed.volume / "models" / path).exists()}
    held = {path: proven(bed.volume, lock).get(f"models/{path}", set()) for path in paths if path not in standing}
    had = sum(SIZES[path] for path in standing)
    had += sum(end - begin for path in held for begin, end in (piece_span(index, SIZES[path]) for index in held[path]))
    bed.hub.rules.clear()
    ended = run(bed, lock)
    assert ended.code == DONE, ended.stderr
    assert all((bed.volume / "models" / path).exists() for path in paths)
    assert_law_1(bed, paths)
    assert ended.document["fetched_bytes"] == sum(SIZES[path] for path in paths) - had
    assert_no_leftovers(bed.volume, lock)
    asked = len(bed.hub.log)
    assert run(bed, lock).code == DONE
    assert len(bed.hub.log) == asked


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_whatever_a_file_system_does_no_name_is_wrong_and_the_next_fill_goes_on(bed, shim, tmp_path, fault):
    paths = (fault.big, SMALL)
    lock, log = bed.lock(*paths), tmp_path / "faults"
    ended = end(start(bed, lock, "--connections", "3", variables=fault.variables(shim, log, bed.volume)))
    # Whether a piece comes before its turn, and is read back, is chance.
    assert log.exists() or fault.calls == "pread", "the fault did not strike"
    assert_law_1(bed, paths)
    assert_it_says_why(ended, fault.ends, os.strerror(fault.number), "after it was closed", "are not there")
    assert_the_next_fill_ends_it(bed, lock, paths)


@pytest.fixture
def attached(bed):
    """A function that mounts the bed's volume with the given words; everything is unmounted in the end."""
    yield lambda words: subprocess.run(["mount", *words, bed.volume], check=True)
    while subprocess.run(["mountpoint", "-q", bed.volume], check=False).returncode == 0:
        subprocess.run(["umount", "-l", bed.volume], check=True)


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
