"""scripts/download_models.sh in a pod of RunPod: whatever happens its process stays, and gives the pod back."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fill_bed
import pytest
from hub_kinds import HUGGINGFACE
from script_bed import KEY, PATH, SCRIPT, SHELLS, ScriptBed, until

from provision.pods.job import COMMAND, Job, Task, parcel

POD = "abc123def456"


class Cloud(ThreadingHTTPServer):
    """Records what it is asked, and answers from a list; when that is at its end, as its last."""

    daemon_threads = True

    def __init__(self, *answers: tuple[int, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Recording)
        self.answers, self.asked = list(answers), []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


class _Recording(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        answers = self.server.answers
        code, text = answers.pop(0) if len(answers) > 1 else answers[0]
        self.server.asked.append((self.command, self.path, dict(self.headers), body, code))
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_DELETE = do_POST = _answer  # noqa: N815 - the shape of http.server

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def bed(tmp_path):
    bed = ScriptBed(None, tmp_path)
    yield bed
    bed.close()


def renting(bed: ScriptBed, cloud: Cloud, *parts: dict[str, str], **more: str) -> dict[str, str]:
    """What a pod of RunPod is told, without a job."""
    there = {
        "HF_ENDPOINT": "http://127.0.0.1:9", "PROVISION_PYTHON": "", "PATH": PATH, "TMPDIR": str(bed.temporary),
        "RUNPOD_POD_ID": POD, "RUNPOD_API_KEY": KEY, "RUNPOD_API_BASE_URL": f"http://127.0.0.1:{cloud.server_port}",
    }  # fmt: skip
    for part in (bed.lease(), there, *parts, more):
        there |= part
    return there


def rented(bed: ScriptBed, shell: str, cloud: Cloud, *parts: dict[str, str], out=subprocess.PIPE, **more: str):
    """A pod of RunPod that fails at once for want of a job, as if it were in a container."""
    bed.temporary.mkdir(exist_ok=True)
    return bed.start([*shell.split(), str(SCRIPT)], renting(bed, cloud, *parts, **more), out)


def tools(bed: ScriptBed, *without: str) -> str:
    """A PATH with everything but some programs."""
    place = bed.place / "tools"
    place.mkdir()
    for folder in ("/usr/bin", "/bin"):
        for path in Path(folder).iterdir():
            if not path.name.startswith(without) and not (place / path.name).exists():
                (place / path.name).symlink_to(path)
    return str(place)


def program(bed: ScriptBed, name: str, text: str) -> Path:
    """A program of the pod's, in a folder of its own."""
    place = bed.place / "programs" / name
    place.parent.mkdir(exist_ok=True)
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o755)
    return place


def argvs() -> str:
    """The arguments of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            found.append((path / "cmdline").read_bytes().decode(errors="replace"))
        except OSError:
            continue  # it has ended
    return "\n".join(found)


@pytest.mark.parametrize("way", ["python3", "curl"])
@pytest.mark.parametrize("shell", SHELLS)
def test_it_asks_until_the_cloud_says_yes_and_stays(bed, shell, way) -> None:
    if way == "curl" and not shutil.which("curl"):
        pytest.skip("there is no curl")
    cloud = Cloud((401, "{}"), (200, '{"errors":[{"message":"no"}]}'), (500, "<html>"), (500, ""), (204, ""))
    path = tools(bed, "curl") if way == "python3" else tools(bed, "python")
    process = rented(bed, shell, cloud, PATH=path)
    seen = []
    until(lambda: seen.append(argvs()) or len(cloud.asked) >= 5)

    assert process.poll() is None, "a process that ends is started again, and costs on"
    assert [(method, address) for method, address, *_ in cloud.asked] == [
        ("DELETE", f"/v2/pods/{POD}"),
        ("POST", "/graphql"),
        ("DELETE", f"/v2/pods/{POD}"),
        ("POST", "/graphql"),
        ("DELETE", f"/v2/pods/{POD}"),
    ]
    for _, address, headers, body, _ in cloud.asked:
        assert headers["Authorization"] == f"Bearer {KEY}"
        assert headers["User-Agent"].startswith("provision/")
        if address == "/graphql":
            assert json.loads(body) == {"query": f'mutation {{ podTerminate(input: {{podId: "{POD}"}}) }}'}
    assert KEY not in "\n".join(seen)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=5)
    assert KEY not in out + err
    assert f"provision: DELETE http://127.0.0.1:{cloud.server_port}/v2/pods/{POD}: 401" in out


def test_without_any_answer_it_goes_on(bed) -> None:
    cloud = Cloud((204, ""))
    cloud.shutdown()
    cloud.server_close()
    process = rented(bed, "dash", cloud)
    lines = [process.stdout.readline() for _ in range(4)]

    assert process.poll() is None
    assert any("no answer" in line for line in lines), lines


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"PROVISION_PARCEL_0": "!!!"}, "did not arrive whole"),
        ({"PROVISION_MOUNT": "mount", "PROVISION_MOUNT_WAIT": "0"}, "was not mounted"),
        ({"PROVISION_VENV": "/proc/no/such"}, "no folder can be made"),
        ({"PROVISION_PYTHON": "no-such-python"}, "went away with code 127"),
        ({"PROVISION_DEADLINE": "soon", "PROVISION_PYTHON": "/bin/false"}, "went away with code 1"),
        ({"PATH": "tools"}, "there is no Python 3.11"),
    ],
)
def test_whatever_fails_is_told_and_the_pod_is_given_back(bed, part, told) -> None:
    cloud = Cloud((204, ""))
    if "PATH" in part:
        part = {"PATH": tools(bed, "python", "uv")}
        if not shutil.which("curl"):
            pytest.skip("there is no curl")
    job = a_job() if "PROVISION_PARCEL_0" not in part else {}
    process = rented(bed, "dash", cloud, job, part)
    until(lambda: cloud.asked)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=5)

    last = [line for line in out.splitlines() if line.startswith("provision-status: ")][-1]
    status = json.loads(last.partition(" ")[2])
    assert status["phase"] == "ended"
    assert told in status["error"]
    assert status["exit_code"] > 0
    assert status["hint"]


def a_job() -> dict[str, str]:
    """A job that never comes so far as to need its hub."""
    lock = fill_bed.lock_of(HUGGINGFACE, "a" * 40, fill_bed.file_of(fill_bed.SMALL))
    return parcel(Job(task=Task.FILL, locks=(lock,)), SCRIPT.read_bytes())


def test_before_a_failure_is_given_back_the_renter_has_time_to_read_of_it(bed) -> None:
    cloud = Cloud((204, ""))
    began = time.monotonic()
    rented(bed, "dash", cloud, {"PROVISION_GRACE": "2"})
    until(lambda: cloud.asked)

    assert time.monotonic() - began > 2


@pytest.mark.slow
def test_past_its_deadline_it_is_given_back_even_when_the_shell_is_stopped(bed) -> None:
    cloud = Cloud((204, ""))
    stuck = program(bed, "python", "trap '' TERM\nexec sleep 1000")
    lease = bed.lease(seconds=2)
    process = rented(bed, "dash", cloud, a_job(), lease, PROVISION_PYTHON=str(stuck))
    until(lambda: "sleep\x001000" in argvs())
    os.kill(process.pid, signal.SIGSTOP)  # as if it hung in a system call
    until(lambda: cloud.asked, 20)

    assert time.time() >= float(lease["PROVISION_DEADLINE"])
    assert cloud.asked[0][:2] == ("DELETE", f"/v2/pods/{POD}")


def unread(kind: str) -> tuple[int, int]:
    """A pipe whose reader is gone, or never reads and is as far behind as can be."""
    reads, writes = os.pipe()
    if kind == "gone":
        os.close(reads)
        return -1, writes
    fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writes, b"x" * 4096)
    return reads, writes


@pytest.mark.parametrize(("shell", "kind"), [("dash", "full"), ("dash", "gone"), ("bash", "gone")])
def test_a_log_that_nobody_reads_keeps_no_pod(bed, shell, kind) -> None:
    cloud = Cloud((204, ""))
    done = program(bed, "python", ": >ended")
    reads, writes = unread(kind)
    process = rented(bed, shell, cloud, a_job(), out=writes, PROVISION_PYTHON=str(done))
    os.close(writes)
    until(lambda: cloud.asked, 10)

    assert process.poll() is None
    if reads >= 0:
        os.close(reads)


def test_a_clock_that_is_set_back_puts_no_deadline_off(bed) -> None:
    cloud = Cloud((204, ""))
    stuck = program(bed, "python", "exec sleep 1000")
    lease = bed.lease(seconds=1)
    program(bed, "date", f"echo {int(lease['PROVISION_DEADLINE']) - 1}")  # for ever
    rented(bed, "dash", cloud, a_job(), lease, PROVISION_PYTHON=str(stuck), PATH=f"{stuck.parent}:{PATH}")
    until(lambda: cloud.asked, 10)


def test_a_restart_gives_a_lease_no_more_time_where_the_clock_was_set_back(bed) -> None:
    cloud = Cloud((204, ""))
    stuck = program(bed, "python", "exec sleep 1000")
    lease = bed.lease(seconds=1)
    bed.work(lease).mkdir(parents=True)
    (bed.work(lease) / "began").write_text(f"{int(lease['PROVISION_DEADLINE']) - 1}\n")
    program(bed, "date", "echo 1000000000")
    rented(bed, "dash", cloud, a_job(), lease, PROVISION_PYTHON=str(stuck), PATH=f"{stuck.parent}:{PATH}")
    until(lambda: cloud.asked, 10)


def test_a_python_that_is_called_otherwise_can_ask_while_it_makes_the_environment(bed) -> None:
    cloud = Cloud((204, ""))
    hangs = f'case $* in "-m venv"*) exec sleep 1000 ;; *) exec {sys.executable} "$@" ;; esac'
    python = program(bed, "python3.12", hangs)
    path = f"{python.parent}:{tools(bed, 'python', 'curl', 'uv')}"
    rented(bed, "dash", cloud, a_job(), bed.lease(seconds=1), PATH=path)
    until(lambda: cloud.asked, 10)


def test_the_time_to_read_of_a_failure_ends_with_the_lease(bed) -> None:
    cloud = Cloud((204, ""))
    rented(bed, "dash", cloud, bed.lease(seconds=1), {"PROVISION_GRACE": "1000"})
    until(lambda: cloud.asked, 10)


@pytest.mark.parametrize("way", ["python3", "curl"])
def test_a_pod_that_cannot_even_unpack_the_script_is_given_back(bed, way) -> None:
    if way == "curl" and not shutil.which("curl"):
        pytest.skip("there is no curl")
    cloud = Cloud((401, "{}"))
    path = tools(bed, "curl") if way == "python3" else tools(bed, "python", "base64")
    process = bed.start([*COMMAND], renting(bed, cloud, PROVISION_SCRIPT="!", PATH=path))
    until(lambda: len(cloud.asked) >= 2)

    assert process.poll() is None
    assert [asked[:2] for asked in cloud.asked] == [("DELETE", f"/v2/pods/{POD}"), ("POST", "/graphql")]
    assert json.loads(cloud.asked[1][3]) == {"query": f'mutation {{ podTerminate(input: {{podId: "{POD}"}}) }}'}
    for _, _, headers, *_ in cloud.asked:
        assert headers["Authorization"] == f"Bearer {KEY}"
        assert headers["User-Agent"] == "provision"
    assert KEY not in argvs()


def test_without_base64_python_unpacks(bed) -> None:
    cloud = Cloud((204, ""))
    variables = renting(bed, cloud, a_job(), PROVISION_PYTHON="no-such-python", PATH=tools(bed, "base64"))
    process = bed.start([*COMMAND], variables)
    until(lambda: cloud.asked)
    process.send_signal(signal.SIGTERM)

    assert "went away with code 127" in process.communicate(timeout=5)[0]


def test_without_a_disk_a_pod_says_so_and_is_given_back(bed) -> None:
    cloud = Cloud((204, ""))
    full = program(bed, "mkdir", "exit 1")
    variables = renting(bed, cloud, a_job(), TMPDIR="/dev/null", PATH=f"{full.parent}:{PATH}")
    process = bed.start([*COMMAND], variables)
    until(lambda: cloud.asked)
    process.send_signal(signal.SIGTERM)

    assert "no folder can be made for the job" in process.communicate(timeout=5)[0]
