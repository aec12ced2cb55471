"""This machine as a cloud: whose processes are ended, what a pod is told, and what stays when a renter does not.

What every cloud has to do is in test_cloud_contract.py.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from provision.errors import CloudRefused, InputError
from provision.pods import job
from provision.pods.cloud import NetworkVolume, Order, State
from provision.pods.local import OFFER, OVERDUE, Local
from provision.pods.local.process import Process, _told, process_of
from provision.pods.local.record import RECORD, read_record

NAME = "provision-demo-20261121T101500Z-14400s-k3f9a2xq"
RUNS = ("sh", "-c", "echo up; exec sleep 60")
DEAF = ("sh", "-c", "trap '' TERM; echo up; sleep 60 & wait; sleep 60")


class Bed:
    """A cloud below a folder, with a volume, a clock that is set by hand, and pods that all end with the test."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder, self.now = folder, time.time()
        self.environment = {"PATH": os.environ["PATH"], **environment}
        self.cloud = self.other_renter()
        self.volume = self.cloud.create_volume("models", 10, "local")

    def other_renter(self) -> Local:
        return Local(self.folder, environment=self.environment, clock=lambda: self.now)

    def hasty(self) -> Local:
        """A renter for whom time passes ten times as fast."""
        return Local(self.folder, environment={}, clock=lambda: self.now, sleep=lambda s: time.sleep(s / 10))

    def order(self, *command: str, volume: NetworkVolume | None = None, **env: str) -> Order:
        return Order(
            name=NAME, image="", command=command or RUNS, env={job.LEASE: NAME, **env}, offer=OFFER,
            volume=volume or self.volume, mount="/workspace", port=8000, disk=10, deadline=self.now + 3600,
        )  # fmt: skip

    def started(self, *command: str, **env: str) -> str:
        """The id of a pod that has printed its first line."""
        pod = self.cloud.create_pod(self.order(*command, **env))
        self.wait_for(lambda: self.cloud.logs(pod.id, ""))
        return pod.id

    def process(self, pod_id: str) -> Process:
        record = read_record(self.folder / "pods" / pod_id)
        assert record is not None
        assert record.process is not None
        return record.process

    def wait_for(self, seen) -> None:
        until = time.monotonic() + 20
        while not seen():
            assert time.monotonic() < until
            threading.Event().wait(0.02)

    def ended(self, pod_id: str) -> bool:
        pod = self.cloud.pod(pod_id)
        return pod is not None and pod.state is State.STOPPED


@pytest.fixture
def bed(tmp_path: Path):
    bed = Bed(tmp_path / "cloud")
    yield bed
    for pod in bed.cloud.pods():
        bed.cloud.delete_pod(pod.id)
    assert bed.cloud.pods() == []


def test_a_pod_is_told_of_its_renters_environment_only_how_to_find_programs_and_the_network(tmp_path: Path):
    bed = Bed(tmp_path, LANG="C.UTF-8", https_proxy="http://proxy:1", HF_TOKEN="hf_mine", AWS_SECRET_ACCESS_KEY="mine")

    pod_id = bed.started("env", HF_ENDPOINT="http://127.0.0.1:9")
    bed.wait_for(lambda: bed.ended(pod_id))

    told = dict(line.text.partition("=")[::2] for line in bed.cloud.logs(pod_id, ""))
    bed.cloud.delete_pod(pod_id)
    folder = tmp_path / "pods" / pod_id
    assert {name: told[name] for name in told if name not in {"PWD", "SHLVL", "_", "OLDPWD"}} == {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "https_proxy": "http://proxy:1",
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "PROVISION_POD": pod_id,
        "PROVISION_LEASE": NAME,
        "PROVISION_VOLUME": str(tmp_path / "volumes" / bed.volume.id),
        "PROVISION_MOUNT": "folder",
        "PROVISION_STATUS_PORT": "0",
        "PROVISION_PYTHON": sys.executable,
    }


def test_what_is_written_down_of_a_pod_is_for_its_user_alone(bed: Bed):
    pod_id = bed.started(HF_TOKEN="hf_secretsecret")
    folder = bed.folder / "pods" / pod_id

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / RECORD).stat().st_mode) == 0o600
    assert "hf_secretsecret" not in repr(bed.cloud.pod(pod_id))


def test_a_process_that_ended_costs_nothing_and_is_there_until_it_is_deleted(bed: Bed):
    pod_id = bed.started("sh", "-c", "echo last words; exit 3")
    bed.wait_for(lambda: bed.ended(pod_id))

    assert [line.text for line in bed.cloud.logs(pod_id, "")] == ["last words"]
    bed.cloud.delete_pod(pod_id)
    assert bed.cloud.pod(pod_id) is None
    assert not (bed.folder / "pods" / pod_id).exists()


def test_any_later_process_can_list_look_at_and_end_a_pod(bed: Bed):
    program = (
        "import sys, time; from pathlib import Path; sys.path.insert(0, 'tests'); import test_local_cloud as t; "
        f"bed = t.Bed(Path({str(bed.folder)!r})); print(bed.started())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    pod_id = done.stdout.strip()

    assert [(pod.id, pod.name, pod.state) for pod in bed.cloud.pods()] == [(pod_id, NAME, State.RUNNING)]
    leader = bed.process(pod_id).pid
    bed.cloud.delete_pod(pod_id)
    assert bed.cloud.pods() == []
    assert not is_running(leader)


def test_a_renter_that_is_killed_before_it_wrote_down_the_process_leaves_none(bed: Bed, monkeypatch):
    """Else it would run on, and nobody could know of it."""
    started: list[int] = []

    def dies(pid: int, mark: str) -> Process:  # noqa: ARG001 - the shape of process_of
        started.append(pid)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("provision.pods.local.process_of", dies)
    with pytest.raises(CloudRefused):
        bed.cloud.create_pod(bed.order("sh", "-c", f"touch {bed.folder}/ran"))

    bed.wait_for(lambda: not Path(f"/proc/{started[0]}").exists())
    assert not (bed.folder / "ran").exists()
    assert bed.cloud.pods() == []


def test_a_renter_that_is_interrupted_once_the_pod_runs_leaves_no_process_that_nobody_knows(bed: Bed, monkeypatch):
    started = []

    def interrupted(cloud, folder, order, record, start=Local._start):
        start(cloud, folder, order, record)
        started.append(bed.process(folder.name))
        raise KeyboardInterrupt

    monkeypatch.setattr(Local, "_start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bed.cloud.create_pod(bed.order())

    assert not started[0].is_alive
    assert bed.cloud.pods() == []

    monkeypatch.setattr(Local, "_ended", lambda *_: False)
    with pytest.raises(KeyboardInterrupt):
        bed.cloud.create_pod(bed.order())
    monkeypatch.undo()
    assert [(pod.name, pod.state) for pod in bed.cloud.pods()] == [(NAME, State.RUNNING)]


def test_a_pod_that_ignores_sigterm_is_killed(bed: Bed):
    pod_id = bed.started(*DEAF)
    waited: list[float] = []
    renter = Local(bed.folder, environment={}, clock=lambda: bed.now, sleep=lambda s: waited.append(s) or time.sleep(s))

    renter.delete_pod(pod_id)

    assert bed.cloud.pod(pod_id) is None
    assert 5 < sum(waited) < 9


def test_what_a_pod_started_in_a_session_of_its_own_goes_with_it(bed: Bed):
    pod_id = bed.started("sh", "-c", "setsid sh -c 'echo $$; exec sleep 60'")
    stray = int(bed.cloud.logs(pod_id, "")[0].text)

    bed.cloud.delete_pod(pod_id)

    bed.wait_for(lambda: not is_running(stray))


def test_what_is_left_of_a_pod_whose_first_process_was_killed_is_still_the_pod(bed: Bed):
    pod_id = bed.started("sh", "-c", "sleep 60 & echo $!; wait")
    child = int(bed.cloud.logs(pod_id, "")[0].text)
    os.kill(bed.process(pod_id).pid, signal.SIGKILL)
    bed.wait_for(lambda: not is_running(bed.process(pod_id).pid))

    assert not bed.ended(pod_id)
    bed.cloud.delete_pod(pod_id)
    bed.wait_for(lambda: not is_running(child))


def test_a_process_that_got_the_number_of_a_pod_is_never_ended(bed: Bed):
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        started = int(process_of(stranger.pid, "").started)
        bed.wait_for(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK") > started + 1)
        pod_id = bed.started("sh", "-c", "echo up")
        bed.wait_for(lambda: bed.ended(pod_id))
        reuse(bed, pod_id, pid=stranger.pid)

        has_ended = bed.ended(pod_id)
        bed.cloud.delete_pod(pod_id)

        is_alive = stranger.poll() is None
        stranger.kill()
    assert has_ended
    assert is_alive
    assert bed.cloud.pod(pod_id) is None


def test_a_machine_that_started_anew_has_none_of_its_pods_processes(bed: Bed):
    pod_id = bed.started()
    process = bed.process(pod_id)
    reuse(bed, pod_id, boot="00000000-1111-2222-3333-444444444444")

    assert bed.ended(pod_id)
    bed.cloud.delete_pod(pod_id)

    assert is_running(process.pid)
    process.send(signal.SIGKILL)


def test_a_pod_in_another_container_counts_as_running_and_is_kept(bed: Bed):
    """It cannot be seen from here, and its number means another process, or none."""
    pod_id = bed.started()
    process = bed.process(pod_id)
    reuse(bed, pod_id, namespace="pid:[1]", mark="PROVISION_POD=unseen")

    bed.hasty().delete_pod(pod_id)

    assert [pod.state for pod in bed.cloud.pods()] == [State.RUNNING]
    assert is_running(process.pid)
    reuse(bed, pod_id, namespace=process.namespace, mark=process.mark)


def test_a_record_that_is_damaged_hides_no_pod(bed: Bed):
    pod_id = bed.started()
    leader = bed.process(pod_id).pid
    (bed.folder / "pods" / pod_id / RECORD).write_text('{"name": ')

    assert [(pod.id, pod.name, pod.state) for pod in bed.cloud.pods()] == [(pod_id, "", State.RUNNING)]
    bed.cloud.delete_pod(pod_id)
    assert bed.cloud.pods() == []
    assert not is_running(leader)


def test_two_renters_may_end_a_pod_at_once(bed: Bed):
    pod_id = bed.started(*DEAF)
    renters = [threading.Thread(target=bed.hasty().delete_pod, args=(pod_id,)) for _ in range(3)]

    for renter in renters:
        renter.start()
    for renter in renters:
        renter.join()

    assert bed.cloud.pod(pod_id) is None
    bed.cloud.delete_pod(pod_id)


def test_whoever_looks_ends_a_pod_that_is_overdue(bed: Bed):
    """It should have ended by itself; a machine may have slept, and a job may hang."""
    pod_id = bed.started()
    bed.now += 3600 + OVERDUE - 1
    bed.cloud.pods()
    assert not bed.ended(pod_id)

    bed.now += 2
    bed.cloud.pods()

    bed.wait_for(lambda: bed.ended(pod_id))
    assert [line.text for line in bed.cloud.logs(pod_id, "")] == ["up"]


def test_logs_go_on_where_they_were_left_and_lines_come_whole(bed: Bed, tmp_path: Path):
    pod_id = bed.started(
        "sh", "-c", f"echo 'é\"$'; printf half; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo"
    )

    first = bed.cloud.logs(pod_id, "")
    assert [line.text for line in first] == ['é"$']
    assert list(bed.cloud.logs(pod_id, first[0].id)) == []
    (tmp_path / "go").touch()
    bed.wait_for(lambda: bed.cloud.logs(pod_id, first[0].id))
    assert [line.text for line in bed.cloud.logs(pod_id, first[0].id)] == ["half"]


def test_the_address_is_the_port_that_the_pod_wrote_down_while_it_runs(bed: Bed, tmp_path: Path):
    pod_id = bed.started(
        "sh", "-c", 'mkdir "$TMPDIR/$PROVISION_LEASE"; echo; sleep 0.1; echo 4321 >"$TMPDIR/$PROVISION_LEASE/port"; '
        f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done",
    )  # fmt: skip
    bed.wait_for(lambda: bed.cloud.address(pod_id, 8000))

    assert bed.cloud.address(pod_id, 8000) == "http://127.0.0.1:4321"
    (tmp_path / "go").touch()
    bed.wait_for(lambda: bed.ended(pod_id))
    assert bed.cloud.address(pod_id, 8000) == ""


def test_any_folder_of_the_users_is_a_volume_which_is_never_deleted(bed: Bed, tmp_path: Path, monkeypatch):
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)

    volume = bed.cloud.volume("./models")

    assert volume is not None
    assert (volume.id, volume.name, volume.datacenter) == (str(tmp_path / "models"), "models", "local")
    assert volume.size >= 10
    assert bed.cloud.volume("./no-models") is None
    assert bed.cloud.volumes() == [bed.volume]
    for refused in (lambda: bed.cloud.delete_volume("./models"), lambda: bed.cloud.resize_volume("./models", 4000)):
        with pytest.raises(InputError, match="folder of yours"):
            refused()
    pod_id = bed.cloud.create_pod(bed.order("sh", "-c", 'echo >"$PROVISION_VOLUME/here"', volume=volume)).id
    bed.wait_for(lambda: bed.ended(pod_id))
    assert (tmp_path / "models/here").exists()


@pytest.mark.parametrize("pod_id", ["", "..", "../volumes", "-", "a/b", "é" * 300, "\0"])
def test_what_can_be_no_pods_id_is_no_pod(bed: Bed, pod_id: str):
    assert bed.cloud.pod(pod_id) is None
    bed.cloud.delete_pod(pod_id)
    assert (list(bed.cloud.logs(pod_id, "")), bed.cloud.address(pod_id, 1)) == ([], "")
    assert bed.cloud.volume(bed.volume.id) == bed.volume


def test_what_no_process_can_be_given_is_refused(bed: Bed):
    for env in ({"A": "\0"}, {"A": "x" * 2**18}, {"A=B": ""}):
        with pytest.raises(CloudRefused):
            bed.cloud.create_pod(bed.order(**env))
    assert bed.cloud.pods() == []


def test_what_would_be_run_is_shown_without_secrets(bed: Bed):
    (request,) = bed.cloud.requests(bed.order(HF_TOKEN="hf_secretsecret", PROVISION_STATUS_TOKEN="t0ken"))

    assert json.loads(request.body)["command"] == list(RUNS)
    assert "hf_secretsecret" not in request.body
    assert "t0ken" not in request.body
    assert NAME in request.body


def test_without_a_proc_a_process_is_known_by_what_ps_says():
    here, gone = _told(os.getpid()), _told(2**22 + 1)

    assert here[0]
    assert here[1].endswith(time.strftime("%Y"))
    assert gone == ("", "")
    assert process_of(os.getpid(), "A=B").leads


ROOT = Path(__file__).parent.parent


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False


def reuse(bed: Bed, pod_id: str, **other: object) -> None:
    """Write down another process than the pod's."""
    path = bed.folder / "pods" / pod_id / RECORD
    document = json.loads(path.read_text())
    document["process"].update(other)
    path.write_text(json.dumps(document))
