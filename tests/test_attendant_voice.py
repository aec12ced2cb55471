"""A log that nobody reads: it holds up nobody, and what is forgotten of it is what matters least."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from provision.pods.attendant import voice
from provision.pods.attendant.voice import Voice
from provision.pods.lease import new_lease
from provision.pods.status import RESULT_LINE


class Log:
    """What is written; nothing while it is `full`."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.lines: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.entered.set()
        assert self.open.wait(10)
        self.lines.append(data)


def test_of_what_nobody_takes_the_oldest_is_forgotten_and_the_result_last(monkeypatch) -> None:
    monkeypatch.setattr(voice, "ROOM", 140)
    log = Log()
    said = Voice(log.write)
    said.say("first")
    assert log.entered.wait(5)
    results = [f"{RESULT_LINE}{number}/3 AAAA" for number in (1, 2, 3)]
    for line in ["old " * 10, results[0], "new", *results[1:], "last " * 10]:
        said.say(line)
    assert not said.end(0.01)

    log.open.set()
    assert said.end(5)
    assert b"".join(log.lines).decode().split("\n") == ["first", results[0], "new", *results[1:], "last " * 10, ""]


def test_what_cannot_be_written_is_not_said_and_what_is_no_letter_is_escaped() -> None:
    written = []

    def write(data: bytes) -> None:
        if data == b"bad\n":
            raise BrokenPipeError
        written.append(data)

    said = Voice(write)
    for line in ("bad", "caf\u00e9 \udcff"):
        said.say(line)
    assert said.end(5)
    assert written == ["caf\u00e9 \\udcff\n".encode()]


@pytest.fixture
def job(tmp_path):
    """The environment of `pod work`, and its folder: a job that is refused at once, and then served for a while."""
    (tmp_path / "volume").mkdir()
    (tmp_path / "job.json").write_text("{}")
    lease = new_lease("p", time.time(), 600, "k3f9a2xq")
    environment = {
        "PATH": os.environ["PATH"], "PROVISION_LEASE": str(lease), "PROVISION_VOLUME": str(tmp_path / "volume"),
        "PROVISION_DEADLINE": str(int(lease.deadline)), "PROVISION_STATUS_PORT": "0", "PROVISION_GRACE": "0",
    }  # fmt: skip
    return [sys.executable, "-m", "provision", "pod", "work", str(tmp_path)], environment


def test_a_log_that_is_full_and_is_read_by_nobody_stops_neither_the_job_nor_its_end(job, tmp_path) -> None:
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    try:
        while True:
            os.write(writes, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writes, True)
    words, environment = job
    done = subprocess.run(words, env=environment, stdout=writes, stderr=subprocess.PIPE, timeout=20, check=False)
    os.close(writes)
    os.close(reads)

    assert (done.returncode, done.stderr) == (8, b"")
    assert json.loads((tmp_path / "ended").read_bytes())["phase"] == "ended"


def test_a_log_that_is_closed_stops_nothing_either(job, tmp_path) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    words, environment = job
    done = subprocess.run(words, env=environment, stdout=writes, stderr=subprocess.PIPE, timeout=20, check=False)
    os.close(writes)
    assert (done.returncode, done.stderr) == (8, b"")

    words = ["sh", "-c", 'exec "$@" >&-', "sh", *words]
    done = subprocess.run(words, env=environment, stderr=subprocess.PIPE, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (8, b"")
    assert json.loads((tmp_path / "ended").read_bytes())["phase"] == "ended"
