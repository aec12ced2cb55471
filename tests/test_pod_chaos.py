"""Chaos: the real renter fills against a RunPod where anything goes wrong, with real pods; the laws hold all the same.

After the end no pod is left, unless the renter says so as loudly as it can (exit 9, with the pod's id); after the
deadline none is left but one that never ran. No final name ever holds wrong bytes, and nobody says done who is not.
PROVISION_TEST_CHAOS is how many seeds are tried, PROVISION_TEST_CHAOS_KILLS for a renter that is killed.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import fill_bed
import pod_renter
import pytest
from hub_kinds import HUGGINGFACE
from misbehaving_hub import MisbehavingHub, Rule, stalls
from pod_renter import TOKEN, Plan, Told, carried_out, document
from runpod_bed import until
from runpod_cloud import Pod, RunPodCloud, Timing, Volume
from runpod_cloud.faults import GROUPS

from provision.errors import ExitCode
from provision.lock import dumps
from provision.pods.job import DEADLINE
from provision.serve.folder import Folder

SEEDS = range(2, 2 + int(os.environ.get("PROVISION_TEST_CHAOS", "1")))  # 0 ends at once, 1 lasts long
KILLS = range(int(os.environ.get("PROVISION_TEST_CHAOS_KILLS", "1")))
FILES = (fill_bed.SMALL, fill_bed.PLAIN)
SLACK = 20.0
"""Seconds after a deadline in which a pod ends its work and gives itself back, on a busy machine."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = fill_bed.build(tmp_path_factory.mktemp("hub"), FILES)
    with MisbehavingHub(Folder(root)) as hub:
        yield hub


@contextmanager
def rented(hub):
    """A RunPod with a volume, and a plan for it."""
    with RunPodCloud() as cloud:
        cloud.dials.timing = Timing(restart=0.3, grace=0.5)
        cloud.image["PROVISION_PYTHON"] = sys.executable
        volume = cloud.create_volume()
        commit = hub.folder.repository("hf", fill_bed.NAME).snapshot().commit
        lock = fill_bed.lock_of(HUGGINGFACE, commit, *map(fill_bed.file_of, FILES))
        yield cloud, volume, Plan(
            key=cloud.keys[0], base_url=cloud.url, pod_url=cloud.pod_url, volume=volume.id, lock=dumps(lock),
            env={"HF_ENDPOINT": hub.endpoint},
        )  # fmt: skip


def check_bytes(volume: Volume) -> set[str]:
    """Every final name holds what was promised; which there are."""
    volume.mount()
    found = {path.name: path.read_bytes() for path in (volume.folder / "models").glob("[!.]*")}
    assert found.items() <= {(name, fill_bed.content(name)) for name in FILES}
    return set(found)


def check_words(cloud: RunPodCloud, told: str) -> None:
    """No secret is said, by the renter or by a pod."""
    logs = [pod.container.log.text for pod in cloud.all_pods]
    for secret in (TOKEN, *cloud.keys, *(pod.key for pod in cloud.all_pods)):
        assert not [text for text in (told, *logs) if secret in text]


def has_run(pod: Pod) -> bool:
    """Whether any process of it ever ran, or is about to: one that does can give itself back."""
    return pod.container.thread.ident is not None


def check(cloud: RunPodCloud, volume: Volume, told: Told) -> None:
    """The laws, at the end of one errand."""
    left, code = list(cloud.pods), told.ending.exit_code
    if code == ExitCode.POD_NOT_RETURNED:
        assert {kind for operation, kind, _ in cloud.faults.told if operation in {"deletePod", "getPod", "listPods"}}
    else:
        assert not left
    assert not unnamed(left, told)
    there = check_bytes(volume)
    if code == ExitCode.DONE:
        assert there == set(FILES)
    check_words(cloud, told.text)


def unnamed(pods: list[Pod], told: Told) -> list[str]:
    """Those that the renter has not told of."""
    return [pod.id for pod in pods if pod.id not in told.text and pod.order.name not in told.text]


def returners(cloud: RunPodCloud) -> set[str]:
    """Who has asked for pods to be given back: the account's key, a pod's own."""
    return {request.by for request in cloud.asked(*GROUPS["delete"])}


def test_without_chaos_a_volume_is_filled_and_its_pod_given_back(hub):
    with rented(hub) as (cloud, volume, plan):
        told = carried_out(plan)

        assert told.ending.exit_code == ExitCode.DONE, told.text
        assert check_bytes(volume) == set(FILES)
        [charge] = cloud.bill()
        assert charge.machine == "cpu3c-2-4"
        assert "account" in returners(cloud)
        cloud.assert_clean()
        check_words(cloud, told.text)


def test_what_cannot_be_given_back_is_named_and_goes_as_soon_as_it_can(hub):
    with rented(hub) as (cloud, volume, plan):
        cloud.faults.on("delete", "500", times=None)
        told = carried_out(replace(plan, confirm=0.5))
        [pod] = cloud.pods
        assert told.ending.exit_code == ExitCode.POD_NOT_RETURNED
        assert f"pod {pod.id} ({pod.order.name}) is not given back, and costs 0.06 USD an hour" in told.text
        assert f"{cloud.url}/v2/pods/{pod.id}" in told.text

        cloud.faults.clear()
        until(lambda: not cloud.pods, seconds=20)
        assert check_bytes(volume) == set(FILES)
        cloud.assert_clean()


def test_a_pod_of_which_no_answer_told_is_found_by_its_name_and_is_the_only_one(hub):
    with rented(hub) as (cloud, _, plan):
        cloud.faults.on("create", "cut", after=True)
        assert carried_out(plan).ending.exit_code == ExitCode.DONE
        [_] = cloud.bill()
        cloud.assert_clean()


def test_a_pod_that_only_it_can_give_back_is_no_failure(hub):
    with rented(hub) as (cloud, _, plan):
        cloud.faults.on("delete", "403", times=None, by="account")
        assert carried_out(plan).ending.exit_code == ExitCode.DONE
        cloud.assert_clean()


@contextmanager
def renter_of(plan: Plan):
    """A renter in a process of its own."""
    with subprocess.Popen(
        [sys.executable, pod_renter.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as renter:
        renter.stdin.write(document(plan))
        renter.stdin.close()
        try:
            yield renter
        finally:
            renter.kill()


def test_a_renter_that_is_interrupted_before_it_knows_of_its_pod_gives_it_back(hub):
    with rented(hub) as (cloud, _, plan):
        cloud.faults.on("create", "slow", after=True, seconds=2.0)
        with renter_of(plan) as renter:
            until(lambda: cloud.pods)
            renter.send_signal(signal.SIGINT)
            assert renter.wait(10) == ExitCode.INTERRUPTED, renter.stdout.read()
        assert "account" in returners(cloud)
        cloud.assert_clean()


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_goes_wrong_no_pod_is_left_and_no_byte_is_wrong(hub, seed):
    with rented(hub) as (cloud, volume, plan):
        dice = random.Random(seed)
        cloud.dials.known_seconds = dice.choice([0, 0, 0.5])
        cloud.dials.edge_seconds = dice.choice([0, 0.5])
        cloud.dials.gone_seconds = dice.choice([0, 0.3])
        cloud.dials.proxy_seconds = 2.0
        cloud.faults.chaos(seed=seed, rate=dice.choice([0.1, 0.2, 0.35, 0.6]), creating=0.7, seconds=0.5)
        told = carried_out(replace(plan, come_up=4.0))

        check(cloud, volume, told)
        cloud.faults.clear()
        gone_by(cloud, time.time() + (plan.seconds + SLACK if cloud.pods else 0))
        assert not unnamed(cloud.pods, told)
        for pod in cloud.pods:  # no process of it ever ran, and the renter has said so
            cloud.account.terminate(pod.id)
        cloud.assert_clean()
        check_bytes(volume)


@contextmanager
def stalling(hub):
    """No job comes to its end meanwhile."""
    rule = Rule(r"/resolve/", stalls)
    hub.rules.append(rule)
    yield
    hub.rules.remove(rule)


def orphaned(cloud: RunPodCloud, plan: Plan, seed: int) -> list[Pod]:
    """The pods that are rented when their renter is killed, at a moment that dice tell. It stands while we look."""
    dice = random.Random(seed)
    with renter_of(plan) as renter:
        until(lambda: cloud.asked(*GROUPS["create"]) or renter.poll() is not None, seconds=20)
        while True:
            count = len(cloud.requests) + dice.randrange(12)
            until(lambda count=count: len(cloud.requests) >= count or renter.poll() is not None, seconds=20)
            assert renter.poll() is None
            renter.send_signal(signal.SIGSTOP)
            end = time.monotonic() + 1.2  # until the last request has taken effect
            while time.monotonic() < end and not cloud.pods:
                time.sleep(0.02)
            if cloud.pods and "account" not in returners(cloud):
                return cloud.pods
            renter.send_signal(signal.SIGCONT)


def mishaps(cloud: RunPodCloud, seed: int) -> None:
    """Some requests go wrong, and some pods, none of them for good."""
    cloud.faults.chaos(seed=seed, rate=0.1, seconds=0.5, unlucky=("late", "crash", "capacity", "null"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", KILLS)
def test_a_renter_that_is_killed_leaves_a_pod_that_ends_itself_when_its_job_is_done(hub, seed):
    with rented(hub) as (cloud, volume, plan):
        mishaps(cloud, seed)
        pods = orphaned(cloud, replace(plan, seconds=40), seed)
        gone_by(cloud, deadline_of(pods) - 5)

        cloud.assert_clean()
        assert all("provision-result: " in pod.container.log.text for pod in pods)
        assert check_bytes(volume) == set(FILES)
        check_words(cloud, "")


@pytest.mark.slow
@pytest.mark.parametrize("seed", KILLS)
def test_a_renter_that_is_killed_leaves_a_pod_that_ends_at_its_deadline_what_has_no_end(hub, seed):
    with rented(hub) as (cloud, volume, plan), stalling(hub):
        mishaps(cloud, seed)
        pods = orphaned(cloud, replace(plan, seconds=4), seed)
        until(lambda: time.time() >= deadline_of(pods) - 1)
        assert {pod.id for pod in pods} <= {pod.id for pod in cloud.pods}
        gone_by(cloud, deadline_of(pods) + SLACK)

        cloud.assert_clean()
        assert returners(cloud) == {"pod"}
        assert check_bytes(volume) == set()
        check_words(cloud, "")


@pytest.mark.slow
def test_a_pod_whose_shell_hangs_is_given_back_by_its_watchdog(hub, tmp_path):
    with rented(hub) as (cloud, _, plan), stalling(hub):
        cloud.image["PATH"] = f"{hurried_sleep(tmp_path)}:{cloud.image['PATH']}"
        [pod] = orphaned(cloud, replace(plan, seconds=4), seed=0)
        until(lambda: pod.container.log.text)
        os.kill(pod.container.process.pid, signal.SIGSTOP)
        gone_by(cloud, deadline_of([pod]) + SLACK)

        cloud.assert_clean()
        assert time.time() >= deadline_of([pod])
        assert len(pod.container.exits) == 1, "a container that is started again gives its pod back as well"


def hurried_sleep(folder: Path) -> Path:
    """A folder with a `sleep` for which time passes ten times as fast."""
    program = folder / "sleep"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("sleep")} "$(($1 / 10)).$(($1 % 10))"\n')
    program.chmod(0o755)
    return folder


def deadline_of(pods: list[Pod]) -> float:
    """The last of theirs."""
    return max(float(pod.order.env[DEADLINE]) for pod in pods)


def gone_by(cloud: RunPodCloud, end: float) -> None:
    """By then no pod is left that has ever run."""
    while [pod for pod in cloud.pods if has_run(pod)] and time.time() < end:
        time.sleep(0.05)
    assert not [pod.order.name for pod in cloud.pods if has_run(pod)]
