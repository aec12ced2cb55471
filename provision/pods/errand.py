"""An errand: a job, the volume it is for, and all that a pod for it is made of. Values and decisions; no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provision.errors import InputError
from provision.names import shown
from provision.pods import job as jobs
from provision.pods.cloud import Order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provision.pods.cloud import NetworkVolume, Offer
    from provision.pods.job import Job
    from provision.pods.lease import Lease

PUBLIC = frozenset(
    {
        *(jobs.LEASE, jobs.DEADLINE, jobs.PORT, jobs.PACKAGE, jobs.PRICE, jobs.MACHINE, jobs.DATACENTER),
        *(jobs.VOLUME, jobs.VOLUME_ID, jobs.VOLUME_SIZE, jobs.MOUNTED, jobs.GRACE),
        *("PROVISION_PYTHON", "PROVISION_MOUNT_WAIT", "HF_ENDPOINT", "MODELSCOPE_ENDPOINT"),
    }
)
"""Variables whose values may be shown; all others might hold a secret."""

VARIABLES = 50
"""Environment variables of a pod, at RunPod (docs.runpod.io, pods/templates/environment-variables)."""

IMAGE = "python:3.12-slim"
MOUNT = "/workspace"
"""Where RunPod mounts a network volume in pods by default."""

STATUS_PORT = 8000
DISK = 10
"""GB beside the volume: an environment of Python, and the parcel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What is to be done, and with what. `candidates` are the machines to try, in that order. `seconds`: how long
    each pod for this may live, from the order on.

    `package` is PROVISION_PACKAGE. `env` is passed on to the pod, with what it needs for hubs; it may hold secrets, or
    RunPod's words for them: `{{ RUNPOD_SECRET_name }}`. `token` opens the pod's status. `grace`: seconds for which a
    pod keeps its result for us.
    """

    job: Job
    volume: NetworkVolume
    candidates: Sequence[Offer]
    seconds: float
    script: bytes = field(repr=False)
    token: str = field(repr=False)
    package: str = ""
    image: str = IMAGE
    mount: str = MOUNT
    port: int = STATUS_PORT
    disk: int = DISK
    grace: int = 180
    env: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def project(self) -> str:
        """What a lease is named for."""
        return self.job.locks[0].project if len(self.job.locks) == 1 else "projects"


def order_for(errand: Errand, lease: Lease, offer: Offer) -> Order:
    """The pod for `errand` on `offer`.

    Raises:
        InputError: it is more than a pod can be handed.
    """
    return Order(
        name=str(lease),
        image=errand.image,
        command=jobs.COMMAND,
        env=environment(errand, lease, offer),
        offer=offer,
        volume=errand.volume,
        mount=errand.mount,
        port=errand.port,
        disk=errand.disk,
        deadline=lease.deadline,
    )


def environment(errand: Errand, lease: Lease, offer: Offer) -> dict[str, str]:
    """All variables of a pod for `errand`; raises what `order_for` does. Ours go before those that were passed on."""
    ours = {
        jobs.LEASE: str(lease),
        jobs.DEADLINE: str(int(lease.deadline)),
        jobs.TOKEN: errand.token,
        jobs.PORT: str(errand.port),
        jobs.VOLUME: errand.mount,
        jobs.VOLUME_ID: errand.volume.id,
        jobs.DATACENTER: errand.volume.datacenter,
        jobs.MACHINE: offer.id,
        jobs.MOUNTED: "mount",
        jobs.VOLUME_SIZE: f"{errand.volume.size}G",
        jobs.GRACE: str(errand.grace),
        **({jobs.PACKAGE: errand.package} if errand.package else {}),
        **({jobs.PRICE: f"{offer.price:g}"} if offer.price is not None else {}),
        **jobs.parcel(errand.job, errand.script),
    }
    for name in errand.env:
        if not name.replace("_", "a").isalnum() or not name.isascii() or name[0].isdigit():
            raise InputError(f"`{shown(name)}` cannot be the name of an environment variable")
    for name, value in errand.env.items():
        if "\0" in value or len(value) > jobs.VARIABLE_LIMIT:
            raise InputError(
                f"the value of {shown(name)} is too long for an environment variable, or holds a zero byte"
            )
    variables = {**errand.env, **ours}
    if len(variables) > VARIABLES:
        raise InputError(
            f"a pod takes {VARIABLES} environment variables, and this would be {len(variables)}",
            hint=f"pass on fewer: {len(ours)} are needed for the job itself",
        )
    return variables
