"""Errands, carried out: a pod that really runs fills a volume from a hub on loopback, on this machine and at RunPod."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cloud_beds
import pytest
from fill_bed import SMALL, TOKEN, build, content, file_of, lock_of
from hub_kinds import HUGGINGFACE, http_settings
from misbehaving_hub import MisbehavingHub

from provision.crew import Stop
from provision.errors import ExitCode, Interrupted, PodNotReturned
from provision.hubs.http.pools import Pools
from provision.lock import Lock
from provision.pods.carrying import Ending, Eyes, attend, carry_out, send_off
from provision.pods.cloud import NetworkVolume
from provision.pods.errand import Errand
from provision.pods.job import Job, Task
from provision.pods.rental import Renting
from provision.pods.watching import Vigilance
from provision.pods.ways import Log
from provision.progress import Lines
from provision.retry import Patience
from provision.serve import Folder, Settings

SCRIPT = (Path(__file__).parent.parent / "scripts/download_models.sh").read_bytes()
SLOWLY = ("--max-rate", "100k")
"""Two seconds for the one file, so that it can be seen under way."""
HURRY = Vigilance(fresh=1.0, check=0.5, silence=30.0, lost=60.0, fetching=10.0)
numbers = itertools.count()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MisbehavingHub]:
    with MisbehavingHub(Folder(build(tmp_path_factory.mktemp("served"), (SMALL,))), Settings(token=TOKEN)) as hub:
        yield hub


@dataclass
class Scene:
    """One errand at one cloud."""

    bed: cloud_beds.Bed
    lock: Lock
    volume: NetworkVolume
    env: dict[str, str]
    fill: tuple[str, ...] = ()
    told: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def renting(self, **changes: Any) -> Renting:
        plain = {
            "cloud": self.bed.cloud, "now": time.time, "clock": time.monotonic, "sleep": Stop().sleep,
            "rest": cloud_beds.pause, "tell": self.told.append, "nonce": lambda: f"{next(numbers):08d}",
            "patience": Patience(first_wait=0.1, longest_wait=0.5), "come_up": 30.0, "settle": 1.0, "confirm": 20.0,
            "look": 0.1,
        }  # fmt: skip
        return Renting(**(plain | changes))

    @property
    def errand(self) -> Errand:
        return Errand(
            job=Job(task=Task.FILL, locks=(self.lock,), fill=self.fill),
            volume=self.volume,
            candidates=self.bed.cloud.offers(self.bed.datacenter)[:1],
            seconds=300,
            script=SCRIPT,
            token="status-token",
            grace=60,
            env=self.env,
        )

    @property
    def eyes(self) -> Eyes:
        progress = Lines(self.lines.append, time.monotonic)
        return Eyes(pools=Pools(http_settings()), progress=progress, tell=self.told.append, vigilance=HURRY)

    def carry_out(self, **changes: Any) -> Ending:
        return carry_out(self.renting(**changes), self.errand, self.eyes)

    def assert_clean(self) -> None:
        assert self.bed.cloud.pods() == []
        if self.bed.stand_in is not None:
            self.bed.stand_in.assert_clean()


def scene_at(bed: cloud_beds.Bed, hub: MisbehavingHub) -> Scene:
    commit = hub.folder.repository("hf", "acme/weights").snapshot().commit
    env = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "PROVISION_PYTHON": sys.executable}
    return Scene(bed=bed, lock=lock_of(HUGGINGFACE, commit, file_of(SMALL)), volume=bed.volume(), env=env)


@pytest.fixture(params=["local", "rest"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, hub: MisbehavingHub) -> Iterator[Scene]:
    opened = cloud_beds.local(tmp_path) if request.param == "local" else cloud_beds.runpod(request.param)
    with opened as bed:
        yield scene_at(bed, hub)


@pytest.fixture
def runpod(hub: MisbehavingHub) -> Iterator[Scene]:
    with cloud_beds.runpod("rest") as bed:
        yield scene_at(bed, hub)


def file_on(scene: Scene) -> bytes:
    assert scene.bed.stand_in is not None
    return (scene.bed.stand_in.account.volumes[scene.volume.id].folder / f"models/{SMALL}").read_bytes()


def test_a_volume_is_filled_and_proven_and_the_pod_is_given_back(scene: Scene) -> None:
    scene.fill = SLOWLY
    ending = scene.carry_out()

    assert ending.error is None
    assert ending.exit_code == 0
    assert ending.result is not None
    assert ending.result.counts == {"ok": 1}
    assert ending.result.fill is not None
    assert ending.result.fill["fetched_bytes"] == len(content(SMALL))
    assert len(ending.bill.uses) == 1
    assert ending.bill.seconds < 50, "the pod was told that its result is taken: it did not wait for its grace"
    assert any(line.startswith("fill: ") for line in scene.lines)
    scene.assert_clean()


def test_behind_a_proxy_that_does_not_answer_all_comes_by_the_log(
    runpod: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Log, "pause", 0.5)
    assert runpod.bed.stand_in is not None
    runpod.bed.stand_in.faults.on("proxy", "page524", times=10**6)

    ending = runpod.carry_out()

    assert ending.error is None
    assert ending.result is not None
    assert ending.result.counts == {"ok": 1}
    assert file_on(runpod) == content(SMALL)
    runpod.assert_clean()


def test_a_create_that_was_cut_after_it_took_effect_leaves_one_pod_and_then_none(runpod: Scene) -> None:
    assert runpod.bed.stand_in is not None
    runpod.bed.stand_in.faults.on("create", "cut", after=True)

    ending = runpod.carry_out()

    assert ending.error is None
    assert len(runpod.bed.stand_in.all_pods) == 1
    runpod.assert_clean()


def test_a_pod_that_vanishes_is_rented_anew_and_the_job_goes_on(runpod: Scene) -> None:
    assert runpod.bed.stand_in is not None
    runpod.bed.stand_in.faults.on("create", "vanish", seconds=1.0)
    runpod.fill = SLOWLY

    ending = runpod.carry_out()

    assert ending.error is None
    assert ending.result is not None
    assert ending.result.counts == {"ok": 1}
    assert len(ending.bill.uses) == 2
    assert any("is gone" in line for line in runpod.told)
    runpod.assert_clean()


def test_a_job_that_fails_is_not_repeated_and_says_why(scene: Scene) -> None:
    scene.lock = lock_of(HUGGINGFACE, None, replace(file_of(SMALL), sha256="0" * 64))

    ending = scene.carry_out()

    assert ending.error is None
    assert ending.result is not None
    assert ending.exit_code == ending.result.exit_code == ExitCode.BYTES
    assert SMALL in ending.result.error
    assert len(ending.bill.uses) == 1
    scene.assert_clean()


def test_an_interrupted_errand_gives_its_pod_back_and_knows_its_bill(scene: Scene) -> None:
    stop, scene.fill = Stop(), SLOWLY

    def sleep(seconds: float) -> None:
        if scene.bed.cloud.pods():
            stop.set()
        stop.sleep(seconds)

    ending = scene.carry_out(sleep=sleep)

    assert isinstance(ending.error, Interrupted)
    assert ending.exit_code == ExitCode.INTERRUPTED
    assert len(ending.bill.uses) == 1
    scene.assert_clean()


def test_a_pod_is_sent_off_and_attended_later_by_whoever_has_the_key(scene: Scene) -> None:
    sent = send_off(scene.renting(), scene.errand, scene.eyes)
    assert sent.left is not None
    assert sent.error is None
    assert [pod.id for pod in scene.bed.cloud.pods()] == [sent.left.id]

    pod = scene.bed.cloud.pod(sent.left.id)
    assert pod is not None
    ending = attend(scene.renting(), scene.eyes, pod, Task.FILL)

    assert ending.error is None
    assert ending.result is not None
    assert ending.result.counts == {"ok": 1}
    assert ending.bill.uses[0].pod_id == sent.left.id
    scene.assert_clean()


def test_a_pod_that_is_not_given_back_does_not_lose_the_result(runpod: Scene) -> None:
    assert runpod.bed.stand_in is not None
    runpod.bed.stand_in.faults.on("delete", "500", times=10**6)

    ending = runpod.carry_out(confirm=1.0)

    assert isinstance(ending.error, PodNotReturned)
    assert ending.exit_code == ExitCode.POD_NOT_RETURNED
    assert ending.result is not None
    assert ending.result.ok


def test_no_secret_is_told(runpod: Scene) -> None:
    ending = runpod.carry_out()

    shown = json.dumps([runpod.told, runpod.lines, repr(ending), repr(runpod.errand), repr(runpod.renting())])
    for secret in (TOKEN, "status-token", cloud_beds.KEY):
        assert secret not in shown
