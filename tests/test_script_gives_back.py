"""scripts/download_models.sh in a pod of RunPod: whatever happens its process stays, and gives the pod back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fill_bed
import pytest
from hub_kinds import HUGGINGFACE
from script_bed import KEY, PATH, SCRIPT, SHELLS, ScriptBed, until

from provision.pods.job import Job, Task, parcel

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


def rented(bed: ScriptBed, shell: str, cloud: Cloud, *parts: dict[str, str], **more: str):
    """A pod of RunPod that fails at once for want of a job, as if it were in a container."""
    there = {
        "HF_ENDPOINT": "http://127.0.0.1:9", "PROVISION_PYTHON": "", "PATH": PATH, "TMPDIR": str(bed.temporary),
        "RUNPOD_POD_ID": POD, "RUNPOD_API_KEY": KEY, "RUNPOD_API_BASE_URL": f"http://127.0.0.1:{cloud.server_port}",
    }  # fmt: skip
    for part in (bed.lease(), there, *parts, more):
        there |= part
    bed.temporary.mkdir(exist_ok=True)
    words = [*shell.split(), str(SCRIPT)]
    return bed.start(words, there)


def tools(bed: ScriptBed, *without: str) -> str:
    """A PATH with everything but some programs."""
    place = bed.place / "tools"
    place.mkdir()
    for folder in ("/usr/bin", "/bin"):
        for path in Path(folder).iterdir():
            if not path.name.startswith(without) and not (place / path.name).exists():
                (place / path.name).symlink_to(path)
    return str(place)


def argvs() -> str:
    """The arguments of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().decode(errors="replace"))
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
    stuck = bed.place / "python"
    stuck.write_text("#!/bin/sh\ntrap '' TERM\nexec sleep 1000\n")
    stuck.chmod(0o755)
    lease = bed.lease(seconds=2)
    process = rented(bed, "dash", cloud, a_job(), lease, PROVISION_PYTHON=str(stuck))
    until(lambda: "sleep\x001000" in argvs())
    os.kill(process.pid, signal.SIGSTOP)  # as if it hung in a system call
    until(lambda: cloud.asked, 20)

    assert time.time() >= float(lease["PROVISION_DEADLINE"])
    assert cloud.asked[0][:2] == ("DELETE", f"/v2/pods/{POD}")
