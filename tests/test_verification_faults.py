"""Files that change, vanish or fail while they are read; and large and many ones within bounds."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fill_bed import TOKEN, WIDE, Bed, build, file_of
from fill_bed import content as served_content
from hub_kinds import HUGGINGFACE
from misbehaving_hub import MisbehavingHub
from verification_bed import bed_of, end, flip, reading, sizes, start

from provision.digest import PIECE_SIZE
from provision.errors import VolumeTrouble
from provision.progress import Silent
from provision.serve import Folder, Settings
from provision.verification import verify
from provision.volume.files import File
from provision.volume.mount import Volume

TARGET = "models/0.bin"


@pytest.fixture
def bed(tmp_path):
    return bed_of(tmp_path, sizes(1.5))


class Midway(Silent):
    """Does something to the file once a part of it was read."""

    def __init__(self, act, times=1):
        self.act, self.times = act, times

    def advance(self, count):
        if count and self.times:
            self.times -= 1
            self.act()


def replaced(path):
    """Another file with the same bytes takes the name, as a fill does it."""
    fresh = path.with_name("fresh")
    shutil.copyfile(path, fresh)
    fresh.rename(path)


def grown(path):
    with path.open("ab") as file:
        file.write(b"more")


def shrunk(path):
    os.truncate(path, 3 * 2**20)


def touched(path):
    flip(path, path.stat().st_size - 1)


@pytest.mark.parametrize(
    ("act", "state"),
    [(Path.unlink, "missing"), (grown, "size"), (shrunk, "size"), (touched, "digest"), (replaced, "ok")],
)
def test_a_file_that_changes_once_while_it_is_read_is_read_again(bed, act, state):
    path = bed.at(TARGET)
    assert bed.states(progress=Midway(lambda: act(path))) == {TARGET: state}
    if state == "ok":
        assert bed.states("quick") == {TARGET: "ok"}


@pytest.mark.parametrize(("act", "told"), [(touched, "was written to"), (replaced, "was replaced")])
def test_a_file_that_never_stands_still_is_unreadable_and_nobody_vouches_for_it(bed, act, told):
    path = bed.at(TARGET)
    (found,) = bed.verify(progress=Midway(lambda: act(path), times=99)).findings
    assert (found.state, found.detail) == ("unreadable", f"{TARGET} {told} while it was read")
    assert bed.states("quick") == {TARGET: "unproven"}


def failing(monkeypatch, times):
    left = [times]
    read = File.read_into

    def read_into(file, offset, buffer):
        if offset and left[0]:
            left[0] -= 1
            raise VolumeTrouble(f"{file.path}: {os.strerror(errno.EIO)}")
        return read(file, offset, buffer)

    monkeypatch.setattr(File, "read_into", read_into)


def test_trouble_that_passes_leaves_no_trace(bed, monkeypatch):
    failing(monkeypatch, 1)
    assert bed.verify().ok


def test_trouble_that_stays_is_the_verdict_on_that_file_alone(bed, monkeypatch):
    failing(monkeypatch, 10**9)
    (found,) = bed.verify().findings
    assert (found.state, "Input/output error" in found.detail) == ("unreadable", True)


@pytest.mark.parametrize("mode", ["full", "quick", "sample"])
def test_what_may_not_be_read_is_unreadable(bed, mode):
    bed.at(TARGET).chmod(0)
    (found,) = bed.as_nobody(mode).findings
    assert (found.state, "Permission denied" in found.detail) == ("unreadable", True)


@pytest.mark.system
@pytest.mark.skipif(shutil.which("gcc") is None, reason="faults from below Python are made with gcc")
@pytest.mark.parametrize(("times", "state"), [("1", "ok"), ("", "unreadable")])
def test_reads_that_fail_below_python(tmp_path, times, state):
    shim = tmp_path / "fault_shim.so"
    source = Path(__file__).parent / "fault_shim.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", shim, source, "-ldl", "-lpthread"], check=True)
    bed = bed_of(tmp_path / "volume", sizes(1.5, 0.2))
    variables = {
        "LD_PRELOAD": str(shim), "FAULT_CALLS": "pread", "FAULT_ON": TARGET, "FAULT_ERRNO": str(errno.EIO),
        "FAULT_AFTER": str(5_000_000), "FAULT_LOG": str(tmp_path / "log"), **({"FAULT_TIMES": times} if times else {}),
    }  # fmt: skip
    document = end(start(bed, tmp_path, variables))
    assert (tmp_path / "log").exists()
    assert [document["states"][target][0] for target in (TARGET, "models/1.bin")] == [state, "ok"]


def test_a_damaged_file_is_told_by_its_ranges_and_a_fill_fetches_only_these(tmp_path):
    served = build(tmp_path / "served", (WIDE,))
    with MisbehavingHub(Folder(served), Settings(token=TOKEN)) as hub:
        bed = Bed(hub=hub, kind=HUGGINGFACE, volume=tmp_path / "volume")
        (tmp_path / "volume").mkdir()
        lock = bed.lock(WIDE)
        assert bed.fill(lock).exit_code == 0
        size = file_of(WIDE).size
        for at in (1, 2 * PIECE_SIZE + 5):
            flip(bed.volume / f"models/{WIDE}", at, keep_times=True)
        with Volume.open(str(bed.volume)) as volume:
            (found,) = verify(volume, [lock], reading(records=volume, clock=time.time)).findings
        assert found.damaged == ((0, PIECE_SIZE), (2 * PIECE_SIZE, min(3 * PIECE_SIZE, size)))
        assert found.detail.startswith(f"damaged in bytes 0-{PIECE_SIZE - 1}, {2 * PIECE_SIZE}-")
        repaired = bed.fill(lock)
        assert repaired.exit_code == 0
        assert repaired.fetched == sum(last - first for first, last in found.damaged)
        assert (bed.volume / f"models/{WIDE}").read_bytes() == served_content(WIDE)


def test_ten_thousand_small_files_are_verified_in_every_mode(tmp_path):
    bed = bed_of(tmp_path, {f"{index // 100}/{index}": b"%d" % index for index in range(10_000)})
    for mode in ("full", "quick", "sample"):
        assert bed.verify(mode, strict=True, share=0.01).counts["ok"] == 10_000


def test_a_sparse_gibibyte_is_read_within_150_mebibytes(tmp_path):
    bed = bed_of(tmp_path / "volume", {"0.bin": b"", "1.bin": b""})
    for name in ("0.bin", "1.bin"):
        with bed.at(f"models/{name}").open("wb") as file:
            file.truncate(2**30)
    zeros = "49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14"  # of 2^30 zeros
    (model,) = bed.locks[0].models
    files = tuple(replace(file, size=2**30, sha256=zeros) for file in model.files)
    bed.locks = [replace(bed.locks[0], models=(replace(model, files=files),))]
    document = end(start(bed, tmp_path, files_at_once=2))
    assert [state for state, _ in document["states"].values()] == ["ok", "ok"]
    assert int(document["peak"]) < 150 * 1024


def test_a_worker_is_asked_nothing_but_what_it_needs(tmp_path):
    """No pool of threads, no retry policy, no hash of pieces for a quick look at a few files."""
    bed = bed_of(tmp_path / "volume", sizes(0.01))
    assert bed.verify().ok
    program = (
        "import sys; sys.argv = ['', *sys.argv[1:]]; exec(sys.stdin.read()); "
        "print(*(name for name in sys.modules if name.startswith(('provision', 'tenacity', 'xxhash', 'logging'))))"
    )
    from provision.lock import dumps

    (tmp_path / "lock").write_text(dumps(bed.locks[0]))
    text = (
        "import pathlib, time\n"
        "from provision.lock import loads\n"
        "from provision.verification import Mode, Reading, verify\n"
        "from provision.volume.mount import Volume\n"
        "with Volume.open(sys.argv[1]) as volume:\n"
        "    lock = loads(pathlib.Path(sys.argv[2]).read_bytes(), file='lock')\n"
        "    class Stop:\n"
        "        def check(self): pass\n"
        "    asked = dict(mode=Mode.QUICK, files_at_once=1, progress=None, stop=Stop(), clock=time.time, retry=None)\n"
        "    reading = Reading(**asked)\n"
        "    assert verify(volume, [lock], reading).counts['ok'] == 1\n"
    )
    words = [sys.executable, "-c", program, str(bed.root), str(tmp_path / "lock")]
    done = subprocess.run(
        words, input=text, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent
    )
    loaded = set(done.stdout.split())
    unwanted = {"tenacity", "xxhash", "logging", "provision.verification.full", "provision.verification.stream",
                "provision.verification.sample", "provision.composition"}  # fmt: skip
    assert loaded & unwanted == set()
