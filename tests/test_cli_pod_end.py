"""How `provision pod` ends, whatever comes in its way: all is told, every pod is given back, the code is right."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cli_pods import MANIFEST, ROOT, Desk, at_runpod, seat, served
from pod_bed import CHEAP, VOLUME, Bed
from runpod_cloud import RunPodCloud
from test_pod_result import LOCK, document, read, verify

from provision.cli.pod import running
from provision.cli.pod.errands import Wanted
from provision.cli.pod.outcomes import Telling, outcome, tell
from provision.cli.projects import Project
from provision.cli.volume.known import content_text, contents
from provision.errors import PodNotReturned, ProvisionError
from provision.lock import dumps
from provision.pods.bill import Bill
from provision.pods.carrying import Ending, Underway
from provision.pods.cloud import Pod, State
from provision.pods.job import Task
from provision.pods.local import Local
from provision.pods.proof import lock_sha256, proof_document
from provision.pods.rental import Tenancy
from provision.pods.result import merged, read_result
from provision.pods.returning import Attempt
from provision.report.status import age_text

OTHER = replace(VOLUME, id="vol2")
SHA = lock_sha256(LOCK)
POD = Pod(id="pod7", name="provision-p", state=State.RUNNING, is_up=True, price=0.06)


@pytest.fixture
def telling(tmp_path: Path) -> Telling:
    (tmp_path / "p.yaml").write_text("project: p\n")
    (tmp_path / "p.lock.json").write_text(dumps(LOCK))
    project = Project(name="p", manifest=tmp_path / "p.yaml", lock=tmp_path / "p.lock.json")
    cloud = Local(tmp_path / "cloud", environment={}, clock=lambda: 0.0)
    return Telling(cloud=cloud, what=Wanted(projects=[project], locks=[LOCK]), output="text")


def ended(error: ProvisionError | None = None, **changes: object) -> Ending:
    return Ending(result=read(**{"locks": {"p": SHA}, **changes}), bill=Bill(), error=error)


def test_a_proof_that_cannot_be_written_hides_nothing(telling: Telling, tmp_path: Path, capsys) -> None:
    (tmp_path / "p.vol1.proof.json").mkdir()
    good = outcome(OTHER, [ended()])

    assert tell(telling, [outcome(VOLUME, [ended()]), good]) == 2
    told = capsys.readouterr()
    assert "vol1: " in told.err
    assert "p.vol1.proof.json cannot be written" in told.err
    assert f"written: {tmp_path}/p.vol2.proof.json" in told.out

    left = PodNotReturned("pod pod7 is not given back", hint="stop it by hand: so")
    assert tell(telling, [outcome(VOLUME, [ended(left)]), good]) == 9
    told = capsys.readouterr()
    assert "pod pod7 is not given back" in told.err
    assert "stop it by hand: so" in told.err
    assert "cannot be written" in told.err


def test_a_fault_of_ours_is_confessed_after_all_else_is_told(telling: Telling, tmp_path: Path, capsys) -> None:
    fault = ProvisionError("ZeroDivisionError: division by zero")
    fault.__cause__ = ZeroDivisionError("division by zero")

    assert tell(telling, [outcome(VOLUME, [fault]), outcome(OTHER, [ended()])]) == 1

    told = capsys.readouterr()
    assert (tmp_path / "p.vol2.proof.json").exists()
    assert "as promised" in told.out
    assert told.err.startswith("ZeroDivisionError")
    assert "a fault of provision" in told.err
    assert tell(telling, [outcome(VOLUME, [fault]), outcome(OTHER, [ended(PodNotReturned("left"))])]) == 9


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"locks": {"p": "0" * 64}}, "from another lock than the one here: no proof is written"),
        ({"locks": {}}, "does not say which lock it worked from: no proof is written"),
        ({"verify": verify(a="ok") | {"shard": "3/3"}}, "share 3/3 of the files: no proof is written"),
    ],
)
def test_no_proof_is_written_of_what_was_not_looked_at(telling, tmp_path, capsys, changes, said) -> None:
    tell(telling, [outcome(VOLUME, [ended(**changes)])])

    assert said in capsys.readouterr().out
    assert not list(tmp_path.glob("*.proof.json"))


def test_all_shares_together_are_the_whole(telling: Telling, tmp_path: Path) -> None:
    shares = [ended(verify=verify(**{name: "ok"}) | {"shard": f"{at}/2"}) for at, name in ((1, "a"), (2, "b"))]

    tell(telling, [outcome(VOLUME, shares)])

    proof = json.loads((tmp_path / "p.vol1.proof.json").read_text())
    assert (proof["verify"]["shard"], proof["verify"]["counts"], proof["locks"]) == (None, {"ok": 2}, {"p": SHA})


def test_what_a_job_was_for_is_what_its_result_says() -> None:
    assert read(task="verify").task is Task.VERIFY
    assert read_result(json.dumps(document(task=None)).encode(), Task.FILL).task is Task.FILL


@pytest.mark.parametrize(
    ("changes", "lock", "told"),
    [
        ({}, SHA, (True, "p, proven")),
        ({"exit_code": 7}, SHA, (None, "p, not proven")),
        ({"verify": verify(a="ok") | {"shard": "1/3"}}, SHA, (None, "p, not proven")),
        ({"verify": verify(a="missing")}, SHA, (False, "p, not as promised")),
        ({}, "0" * 64, (None, "p, of another lock,")),
    ],
)
def test_proven_is_what_a_whole_proof_of_todays_lock_says(telling, tmp_path, changes, lock, told) -> None:
    proof = proof_document("local", VOLUME, [LOCK], read(**changes), Bill()) | {"locks": {"p": lock}}
    (tmp_path / "p.vol1.proof.json").write_text(json.dumps(proof))

    (content,) = contents(telling.cloud, [VOLUME], tmp_path)["vol1"]

    age = f" {age_text(0.0)}"
    assert (content.ok, content_text(content, content.at).removesuffix(age)) == told


def test_what_is_abandoned_is_named_with_its_price_and_how_to_end_it() -> None:
    bed = Bed()
    tenancy = Tenancy(bed.renting)
    tenancy.attempts.append(Attempt(name=POD.name, sent=0.0, offer=CHEAP, pods={POD.id: POD}, is_answered=True))
    bed.time.passed = 60.0

    told = Underway(bed.renting, tenancy, [merged([read()])]).abandoned()

    assert told.exit_code == 9
    assert "pod pod7" in told.error.message
    assert "0.06 USD an hour" in told.error.message
    assert "scripted remove pod7" in told.error.hint
    assert "https://scripted.example/pods/pod7" in told.error.hint
    assert told.bill.seconds == 60.0
    assert told.result is not None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whatever_ends_attach_leaves_the_pod_at_its_work(telling, monkeypatch, number) -> None:
    def interrupted(renting, _eyes, pod, _task) -> Ending:
        os.kill(os.getpid(), number)
        return Ending(result=None, bill=Bill(), left=pod if renting.leave(pod) else None)

    monkeypatch.setattr(running, "attend", interrupted)

    assert running.attended(telling.cloud, POD, quiet=True).left == POD


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with served(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture(scope="module")
def locked() -> dict[str, bytes]:
    """The files of a locked project, made once."""
    return {}


@pytest.fixture
def desk(tmp_path, hub, locked, monkeypatch, capsys) -> Desk:
    seat(tmp_path, hub, monkeypatch)
    desk = Desk(folder=tmp_path, capsys=capsys, monkeypatch=monkeypatch)
    if not locked:
        desk.lock(MANIFEST)
        locked.update({path.name: path.read_bytes() for path in desk.manifests.iterdir()})
    desk.manifests.mkdir(exist_ok=True)
    for name, text in locked.items():
        (desk.manifests / name).write_bytes(text)
    return desk


def test_a_pod_that_worked_from_an_older_lock_proves_nothing_of_todays(desk: Desk) -> None:
    volume = desk.volume()
    words = ("pod", "verify", "mine", "--volume-id", volume, "--detach")
    (pod,) = desk.json(*words)[1]["volumes"][0]["left"]
    (desk.manifests / "mine.lock.json").write_text((desk.manifests / "mine.lock.json").read_text().replace("main", "x"))

    code, out, _ = desk.run("pod", "attach", pod)

    assert code == 3
    assert "mine: the pod worked from another lock than the one here" in out
    assert not list(desk.manifests.glob("*.proof.json"))


@pytest.fixture
def rented(desk: Desk):
    """A fill that is at work in a pod of the stand-in, as a process; what it says comes through a pipe."""
    with RunPodCloud() as cloud:
        desk.cloud = cloud
        at_runpod(desk)
        volume = desk.volume()
        words = [sys.executable, "-m", "provision", "pod", "fill", "mine", "--volume-id", volume, "--max-rate", "20"]
        process = subprocess.Popen(
            words, cwd=desk.folder, env={**os.environ, "PYTHONPATH": ROOT}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        with process:
            while b"is at work" not in (line := process.stdout.readline()):
                assert line, "it ended before its pod was at work"
            yield process, cloud
            process.kill()


def test_who_interrupts_a_pipe_to_tee_leaves_no_pod(rented) -> None:
    process, cloud = rented
    cloud.faults.on("delete", "slow", times=None, seconds=1.0, by="account")
    process.stdout.close()  # tee has died of the same Ctrl-C

    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGINT)

    assert process.wait(30) == 130
    assert cloud.pods == []


def test_a_closed_terminal_gives_the_pod_back_and_who_insists_is_told_which_is_left(rented) -> None:
    process, cloud = rented
    cloud.faults.on("delete", "500", times=None, by="account")
    (pod,) = cloud.pods

    process.send_signal(signal.SIGHUP)
    for _ in range(3):
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.4)
        process.send_signal(signal.SIGINT)
    said = process.stdout.read().decode()

    assert process.wait(30) == 9
    assert f"pod {pod.id}" in said
    assert "USD an hour" in said
    assert f"/v2/pods/{pod.id}" in said
    cloud.faults.clear()
