"""What a fill tells of its progress, when it is stopped, when it fails, and when most of it lay there already."""

from __future__ import annotations

import json
import signal

import pytest
from byte_faults import acts_after
from fill_bed import BIG, TOKEN, bed_at, build, file_of
from fill_process import end, run, start
from hub_kinds import HUGGINGFACE
from misbehaving_hub import MisbehavingHub, Rule, answers

from provision.digest import PIECE_SIZE
from provision.errors import ExitCode
from provision.serve import Folder, Settings


@pytest.fixture
def bed(tmp_path):
    served = tmp_path / "served"
    served.mkdir()
    with MisbehavingHub(Folder(build(served, (BIG,))), Settings(token=TOKEN)) as hub:
        yield bed_at(hub, HUGGINGFACE, tmp_path)


def test_it_says_how_a_fill_has_ended_and_how_much_of_it_lay_there(bed, tmp_path):
    lock, file, started = bed.lock(BIG), tmp_path / "progress.json", []
    flags = ("--connections", "1", "--progress-file", str(file))

    def stop():
        started[0].send_signal(signal.SIGTERM)
        started[0].wait(30)  # the rest is not sent before

    bed.hub.rules.append(Rule(file_of(BIG).sha256, acts_after(PIECE_SIZE + 1_000_000, stop), place="cdn"))
    started.append(start(bed, lock, *flags))
    assert end(started[0]).code == ExitCode.INTERRUPTED
    document = json.loads(file.read_text())
    assert (document["ended"], document["result"]) == (True, "interrupted")
    assert (document["finished"], document["failed"], document["running"]) == (0, 0, [])

    bed.hub.rules[:] = [Rule(file_of(BIG).sha256, answers(404), place="cdn")]
    failed = run(bed, lock, *flags)
    document = json.loads(file.read_text())
    assert (document["result"], document["finished"], document["failed"]) == ("failed", 0, 1)
    assert document["done"] == document["reused"] == PIECE_SIZE
    assert failed.stderr.splitlines()[-1].endswith("16.8 MB of it already there"), "nothing came: there is no speed"

    bed.hub.rules.clear()
    assert run(bed, lock, *flags).code == ExitCode.DONE
    document = json.loads(file.read_text())
    assert (document["result"], document["finished"], document["reused"]) == ("ok", 1, PIECE_SIZE)
