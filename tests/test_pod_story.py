"""The whole story at RunPod's stand-in, each command in a process of its own: create, fill, the renter is killed, the
pod is lost with its machine, fill again, verify, the bill. By REST v2, or by RunPod's own SDK where
this Python has it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloud_beds
import pytest
from fill_bed import BIG, NAME, SMALL, TOKEN, build, content
from runpod_cloud import RunPodCloud

from provision.digest import PIECE_SIZE
from provision.serve import Folder, Settings
from provision.serve.server import Server

ROOT = Path(__file__).parent.parent
PATHS = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
"""So that every child finds what this Python finds."""

FILES = (SMALL, BIG)
MANIFEST = f"project: mine\nmodels:\n  - source: hf://{NAME}\n    files: [{SMALL}, {BIG}]\n"


class Desk:
    """Where somebody sits who has an account."""

    def __init__(self, folder: Path, cloud: RunPodCloud, hub: Server) -> None:
        self.folder, self.cloud = folder, cloud
        self.environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": PATHS, "HOME": str(folder), "HF_HOME": str(folder / "hf"),
            "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_TELEMETRY": "1", **cloud.environment,
        }  # fmt: skip
        cloud.image.update(PROVISION_PYTHON=sys.executable, PYTHONPATH=PATHS)
        (folder / "manifests").mkdir()
        (folder / "manifests/mine.yaml").write_text(MANIFEST)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "provision", *words], cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *words: str) -> tuple[int, dict[str, Any]]:
        """The exit code, and the document."""
        with self.start(*words, "--format", "json") as process:
            out, err = process.communicate(timeout=100)
        assert TOKEN not in out + err
        return process.returncode, json.loads(out)

    def pods(self) -> list[str]:
        return [pod["id"] for pod in self.run("pod", "ls")[1]["pods"]]


@pytest.fixture(params=cloud_beds.WAYS)
def desk(request, tmp_path, tmp_path_factory) -> Iterator[Desk]:
    """`request.param` is how pods are reached: by what this Python has."""
    served = Server(Folder(build(tmp_path_factory.mktemp("served"), FILES)), Settings(token=TOKEN))
    with served as hub, RunPodCloud() as cloud:
        desk = Desk(tmp_path, cloud, hub)
        if request.param == "rest" and "sdk" in cloud_beds.WAYS:
            pytest.skip("this Python has the SDK, which is what the command line uses then")
        yield desk
        cloud.assert_clean()


def eventually(check: Callable[[], Any], seconds: float = 60.0) -> Any:
    last = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < last, "it never came"
        time.sleep(0.05)
    return found


def written(folder: Path) -> int:
    """Bytes of unfinished files."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*.partial"))


@pytest.mark.slow
def test_whatever_is_killed_on_the_way_the_volume_is_filled_proven_and_paid_for(desk):
    assert desk.run("lock", "mine")[0] == 0
    volume = desk.run("volume", "create", "models", "mine", "--datacenter", "EU-RO-1")[1]["volume"]["id"]
    held = desk.cloud.account.volumes[volume].folder

    renter = desk.start("pod", "fill", "mine", "--volume-id", volume, "--max-rate", "8M", "-c", "1")
    eventually(lambda: written(held) > PIECE_SIZE * 1.2)
    renter.kill()
    renter.communicate()
    (lost,) = desk.pods()  # found by its name; the one who rented it is gone
    desk.cloud.vanish(lost)
    assert not [path for path in FILES if (held / path).exists() and (held / path).read_bytes() != content(path)]
    assert desk.pods() == []

    code, filled = desk.run("pod", "fill", "mine", "--volume-id", volume)
    (told,) = filled["volumes"]
    assert code == 0, told
    big = next(file for file in told["fill"]["files"] if file["target"].endswith(BIG))
    assert big["reused_bytes"] >= PIECE_SIZE  # of the pod that was lost
    assert all((held / path).read_bytes() == content(path) for path in FILES)

    code, verified = desk.run("pod", "verify", "mine", "--volume-id", volume)
    assert (code, verified["volumes"][0]["verify"]["counts"]["ok"]) == (0, len(FILES))
    assert desk.pods() == []
    check_bill(desk, [told, verified["volumes"][0]])


def check_bill(desk: Desk, told: list[dict[str, Any]]) -> None:
    """What was said of each pod is what the cloud says of it, but for the seconds between two looks."""
    charged = {charge.pod: charge for charge in desk.cloud.bill()}
    for document in told:
        (pod,) = document["bill"]["pods"]
        charge = charged[pod["id"]]
        assert pod["usd"] == pytest.approx(charge.amount, abs=pod["usd_per_hour"] * 12 / 3600)
        assert pod["usd"] >= charge.amount * 0.9
