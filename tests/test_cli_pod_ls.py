"""`provision pod ls`, `pod rm` and `pod logs`: what is rented is seen, and goes when it is told to, by any renter."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cloud_beds import eventually, order
from runpod_bed import rent
from runpod_cloud import RunPodCloud

from provision.cli import run
from provision.errors import ExitCode
from provision.pods.cloud import Pod
from provision.pods.lease import new_lease
from provision.pods.local import OFFER, Local
from provision.pods.status import LINE

SLEEPS = ("sh", "-c", "echo up; exec sleep 60")
TOKEN = "hf_secretsecretsecret"


class Machine:
    """This machine as the cloud, and pods that are rented there for so long, since a while."""

    def __init__(self, folder: Path) -> None:
        self.cloud = Local(folder, environment=os.environ, clock=time.time)
        self.volume = self.cloud.create_volume("models", 10, "local")

    def rent(self, *command: str, since: float = 0, seconds: float = 3600, name: str = "") -> Pod:
        lease = new_lease("wan22-i2v", time.time() - since, seconds, os.urandom(4).hex())
        wanted = order(self.volume, OFFER, *(command or SLEEPS), HF_TOKEN=TOKEN)
        return self.cloud.create_pod(replace(wanted, name=name or str(lease)))

    def log_of(self, pod: Pod) -> list[str]:
        return [line.text for line in self.cloud.logs(pod.id, "")]

    def ids(self) -> set[str]:
        return {pod.id for pod in self.cloud.pods()}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PROVISION_CLOUD", "local")
    machine = Machine(tmp_path / "provision/cloud")
    yield machine
    for pod in machine.cloud.pods():
        machine.cloud.delete_pod(pod.id)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunPodCloud]:
    monkeypatch.setattr("provision.cli.pod.rm.CONFIRM", 0.5)
    monkeypatch.setenv("PROVISION_CLOUD", "runpod")
    with RunPodCloud() as account:
        for name, value in account.environment.items():
            monkeypatch.setenv(name, value)
        yield account


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict]:
    def told(*words: str, code: int = ExitCode.DONE) -> dict:
        assert run(["pod", *words, "--format", "json"]) == code
        return json.loads(capsys.readouterr().out)

    return told


def test_every_lease_is_listed_with_its_age_and_what_it_costs(account: RunPodCloud, told, capsys):
    volume = account.create_volume("models")
    lease = new_lease("wan22-i2v", time.time() - 1800, 3600, "k3f9a2xq")
    pod = rent(account, volume.id, name=str(lease), env={"HF_TOKEN": TOKEN})
    rent(account, name="somebody-elses")

    (row,) = told("ls")["pods"]
    assert (row["id"], row["name"], row["project"], row["volume"]) == (pod, str(lease), "wan22-i2v", volume.id)
    assert (row["deadline"], row["expired"]) == (int(lease.deadline), False)
    assert row["usd_an_hour"] > 0
    assert row["usd_so_far"] == pytest.approx(row["usd_an_hour"] * row["age_seconds"] / 3600, abs=0.01)
    assert run(["pod", "ls"]) == ExitCode.DONE
    shown = capsys.readouterr().out
    assert "in 29 min" in shown or "in 30 min" in shown
    assert "somebody-elses" not in shown
    assert TOKEN not in shown + json.dumps(row)


def test_other_pods_of_the_account_are_listed_when_asked_for(account: RunPodCloud, told):
    pod = rent(account, name="somebody-elses")

    assert told("ls")["pods"] == []
    (row,) = told("ls", "--all")["pods"]
    assert (row["id"], row["project"], row["deadline"], row["expired"]) == (pod, None, None, False)


def test_a_lease_that_should_be_gone_is_told_with_what_to_do(machine: Machine, told, capsys):
    machine.rent(since=50, seconds=30)

    assert run(["pod", "ls"]) == ExitCode.DONE
    shown = capsys.readouterr()
    assert re.search(r"expired 2\d s ago", shown.out)
    assert "provision pod rm --all-expired --cloud local" in shown.err
    assert told("ls")["pods"][0]["expired"] is True


def test_no_variable_of_a_pod_is_ever_listed(machine: Machine, capsys):
    machine.rent()

    for words in (["ls"], ["ls", "--all"], ["ls", "--format", "json"]):
        assert run(["pod", *words]) == ExitCode.DONE
        assert "PROVISION_" not in (shown := "".join(capsys.readouterr()))
        assert TOKEN not in shown


def test_a_pod_is_given_back_by_its_id_and_giving_back_again_is_no_error(machine: Machine, told):
    pod, other = machine.rent(), machine.rent()

    assert told("rm", pod.id)["returned"] == [pod.id]
    assert machine.ids() == {other.id}
    assert told("rm", pod.id)["returned"] == []


def test_only_what_is_past_its_deadline_goes_with_all_expired(machine: Machine, told):
    expired, ended = machine.rent(since=50, seconds=30), machine.rent("true", since=50, seconds=30)
    working, others = machine.rent(), machine.rent(name="somebody-elses")

    assert {*told("rm", "--all-expired")["returned"]} == {expired.id, ended.id}
    assert machine.ids() == {working.id, others.id}


def test_every_lease_goes_with_all_and_nothing_else(machine: Machine, told):
    pods, others = [machine.rent(), machine.rent()], machine.rent(name="somebody-elses")

    assert {*told("rm", "--all")["returned"]} == {pod.id for pod in pods}
    assert machine.ids() == {others.id}


def test_a_pod_that_is_no_lease_goes_only_by_force_and_none_goes_before_that_is_known(machine: Machine, told, capsys):
    lease, others = machine.rent(), machine.rent(name="somebody-elses")

    assert run(["pod", "rm", lease.id, others.id]) == ExitCode.INPUT
    assert "somebody-elses" in capsys.readouterr().err
    assert machine.ids() == {lease.id, others.id}
    told("rm", lease.id, others.id, "--force")
    assert machine.ids() == set()


@pytest.mark.parametrize("words", [[], ["x", "--all"], ["--all", "--all-expired"]], ids=str)
def test_what_is_to_go_is_said_in_one_way(machine: Machine, words: list[str]):
    pod = machine.rent()

    assert run(["pod", "rm", *words]) == ExitCode.INPUT
    assert machine.ids() == {pod.id}


def test_a_pod_that_cannot_be_given_back_is_the_loudest_error(account: RunPodCloud, told, capsys):
    pod = rent(account, name=str(new_lease("wan22", time.time(), 3600, "k3f9a2xq")))
    account.faults.on("delete", "403", times=None)

    assert run(["pod", "rm", pod]) == ExitCode.POD_NOT_RETURNED

    shown = capsys.readouterr().err
    assert f"pod {pod}" in shown
    assert "USD an hour" in shown
    assert "curl" in shown
    assert "console.runpod.io" in shown
    assert account.keys[0] not in shown
    assert told("rm", pod, code=ExitCode.POD_NOT_RETURNED)["error"]["kind"] == "PodNotReturned"


def test_a_pod_that_cannot_even_be_looked_at_may_still_cost_money(account: RunPodCloud, capsys):
    pod = rent(account, name=str(new_lease("wan22", time.time(), 3600, "k3f9a2xq")))
    account.faults.on("*", "401", times=None)

    assert run(["pod", "rm", pod]) == ExitCode.POD_NOT_RETURNED
    assert pod in capsys.readouterr().err


def test_a_fault_that_passes_does_not_keep_a_pod(account: RunPodCloud, told, monkeypatch):
    monkeypatch.setattr("provision.cli.pod.rm.CONFIRM", 30.0)
    pod = rent(account, name=str(new_lease("wan22", time.time(), 3600, "k3f9a2xq")))
    account.faults.on("delete", "403", times=1)

    assert told("rm", pod)["returned"] == [pod]
    account.assert_clean()


def test_a_log_is_shown_without_what_is_meant_for_programs_or_would_move_the_terminal(machine: Machine, capsys):
    pod = machine.rent("printf", f"one\\n{LINE}{{}}\\n\\033[2Jtwo {TOKEN}\\n")
    eventually(lambda: len(machine.log_of(pod)) == 3)

    assert run(["pod", "logs", pod.id]) == ExitCode.DONE
    assert capsys.readouterr().out == "one\n\\x1b[2Jtwo ***\n"
    assert run(["pod", "logs", pod.id, "--raw"]) == ExitCode.DONE
    assert LINE in capsys.readouterr().out


def test_a_log_is_followed_until_the_pod_has_ended(machine: Machine, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr("provision.cli.pod.logs.LOOK", 0.02)
    pod = machine.rent("sh", "-c", f"echo one; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo two; printf end")
    threading.Timer(0.3, (tmp_path / "go").touch).start()

    assert run(["pod", "logs", pod.id, "--follow"]) == ExitCode.DONE
    assert capsys.readouterr().out == "one\ntwo\nend\n"


def test_a_log_without_ids_is_read_on_where_it_was_left(machine: Machine, monkeypatch, capsys):
    """A cloud may give none; then it tells the whole log each time."""
    monkeypatch.setattr("provision.cli.pod.logs.LOOK", 0.02)
    pod = machine.rent("sh", "-c", "for n in 1 2 3 4 5; do echo $n; sleep 0.05; done")
    logs = Local.logs
    monkeypatch.setattr(Local, "logs", lambda *asked: [replace(line, id="") for line in logs(*asked)])

    assert run(["pod", "logs", pod.id, "--follow"]) == ExitCode.DONE
    assert capsys.readouterr().out == "1\n2\n3\n4\n5\n"


def test_a_log_from_runpod_is_shown(account: RunPodCloud, capsys):
    pod = rent(account, sh="echo one; echo two; exec sleep 60")
    eventually(lambda: run(["pod", "logs", pod]) == ExitCode.DONE and "two" in capsys.readouterr().out)


def test_a_pod_that_is_gone_has_no_log(machine: Machine, capsys):
    assert run(["pod", "logs", "nobodyrentedit"]) == ExitCode.INPUT
    assert machine.cloud.name in capsys.readouterr().err
