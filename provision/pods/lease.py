"""Leases: the name of a rented pod, which says whose it is and when it has to be gone. Pure; no I/O.

A lease is known by its pod's name alone, so that any machine with the key can list what is rented and see what is
overdue: nothing that could be lost with the renter is needed to find its pods.

    provision-wan22-i2v-20261121T101500Z-14400s-k3f9a2xq
              project   began            for   nonce
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provision.pods.cloud import Pod

PREFIX = "provision-"
_PROJECT_LENGTH = 40
_NAME = re.compile(
    r"provision-(?P<project>[a-z0-9-]{1,40})-(?P<began>\d{8}T\d{6})Z-(?P<seconds>\d{1,8})s-(?P<nonce>[a-z0-9]{8})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a pod's name says. `began` is time of day in whole seconds, `seconds` how long the pod may live."""

    project: str
    began: int
    seconds: int
    nonce: str

    @property
    def deadline(self) -> float:
        """When the pod has to be gone: time of day in seconds."""
        return float(self.began + self.seconds)

    def __str__(self) -> str:
        began = datetime.fromtimestamp(self.began, UTC).strftime("%Y%m%dT%H%M%SZ")
        return f"{PREFIX}{self.project}-{began}-{self.seconds}s-{self.nonce}"


def new_lease(project: str, now: float, seconds: float, nonce: str) -> Lease:
    """A lease from `now` for `seconds`. `nonce`: eight random letters and digits."""
    plain = re.sub(r"[^a-z0-9]+", "-", project.lower()).strip("-")[:_PROJECT_LENGTH].strip("-")
    return Lease(project=plain or "volume", began=int(now), seconds=max(1, round(seconds)), nonce=nonce)


def lease_of(name: str) -> Lease | None:
    """The lease that a pod's name tells; None for a pod that is none of ours."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        began = datetime.strptime(match["began"], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return Lease(
        project=match["project"], began=int(began.timestamp()), seconds=int(match["seconds"]), nonce=match["nonce"]
    )


def is_expired(pod: Pod, now: float) -> bool:
    """Whether `pod` is a lease of ours and should be gone."""
    lease = lease_of(pod.name)
    return lease is not None and now >= lease.deadline
