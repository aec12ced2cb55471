"""The real renter, hurried, for a small real job: in this process, or as one of its own that can be killed.

python pod_renter.py < PLAN.json        # ends with the errand's exit code
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hub_kinds import http_settings

from provision.crew import Stop
from provision.errors import ProvisionError
from provision.hubs.http.pools import Pools
from provision.lock import loads
from provision.pods.bill import bill_of
from provision.pods.carrying import Ending, Eyes, carry_out
from provision.pods.choice import Wishes, candidates
from provision.pods.errand import Errand
from provision.pods.job import Job, Task
from provision.pods.returning import Renting
from provision.pods.runpod import RunPod, RunPodSettings
from provision.pods.watching import Vigilance
from provision.progress import Silent
from provision.retry import Patience

SCRIPT = Path(__file__).parent.parent / "scripts/download_models.sh"
TOKEN = "status-token-of-the-renter"
HURRY = Patience(attempts=4, first_wait=0.05, longest_wait=0.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to rent, and where. `lock` is its text; `seconds` is how long a pod may live. `env` goes to the pod."""

    key: str
    base_url: str
    pod_url: str
    volume: str
    lock: str
    seconds: float = 30.0
    settle: float = 1.5
    confirm: float = 6.0
    come_up: float = 8.0
    grace: int = 2
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What came of a plan, and what the renter said meanwhile."""

    ending: Ending
    said: list[str]

    @property
    def text(self) -> str:
        """All words for people."""
        error = self.ending.error
        return "\n".join([*self.said, *([error.message, str(error.hint)] if error else [])])


def carried_out(plan: Plan) -> Told:
    """Do it."""
    said: list[str] = []
    cloud = RunPod(
        RunPodSettings(
            key=plan.key, base_url=plan.base_url, pod_url=plan.pod_url, http=http_settings(), patience=HURRY,
            sleep=Stop().sleep, timeout=3.0, use_sdk=False, log_time=1.0, log_quiet=0.1,
        )
    )  # fmt: skip
    renting = Renting(
        cloud=cloud, now=time.time, clock=time.monotonic, sleep=Stop().sleep, rest=Stop().sleep, tell=said.append,
        nonce=lambda: os.urandom(4).hex(), patience=HURRY, wait=4.0, come_up=plan.come_up, hosts=3, again=2,
        settle=plan.settle, confirm=plan.confirm, look=0.1,
    )  # fmt: skip
    try:
        errand = _errand(plan, cloud)
    except ProvisionError as error:  # nothing was rented
        return Told(ending=Ending(result=None, bill=bill_of([], 0.0), error=error), said=said)
    vigilance = Vigilance(fresh=0.5, check=0.3, silence=5.0, lost=10.0, fetching=3.0)
    eyes = Eyes(pools=Pools(http_settings()), progress=Silent(), tell=said.append, vigilance=vigilance)
    with renting.interrupts.installed():
        return Told(ending=carry_out(renting, errand, eyes), said=said)


def _errand(plan: Plan, cloud: RunPod) -> Errand:
    volume = cloud.volume(plan.volume)
    assert volume is not None
    job = Job(task=Task.FILL, locks=(loads(plan.lock, file="plan"),))
    return Errand(
        job=job, volume=volume, seconds=plan.seconds,
        candidates=candidates(cloud.offers(volume.datacenter), Wishes())[:3], script=SCRIPT.read_bytes(), token=TOKEN,
        env=plan.env, grace=plan.grace,
    )  # fmt: skip


def document(plan: Plan) -> str:
    """What a renter of its own reads."""
    return json.dumps(asdict(plan))


if __name__ == "__main__":
    told = carried_out(Plan(**json.load(sys.stdin)))
    print(told.text)
    sys.exit(told.ending.exit_code)
