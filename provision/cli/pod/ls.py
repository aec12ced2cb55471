"""`provision pod ls`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from provision.cli import clouds, console, options
from provision.names import shown
from provision.report.document import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.pods.cloud import Cloud, Pod
    from provision.pods.lease import Lease

NONE, UNKNOWN = "-", "?"


@click.command("ls")
@click.option("--all", "everything", is_flag=True, help="Also pods of this account that provision has not rented.")
@clouds.option
@options.output
def command(cloud: str | None, output: str, *, everything: bool) -> None:
    """List what is rented: each lease with its age, when it has to be gone, and what it has cost so far.

    A lease is known by its pod's name, so that any machine with the key sees all of them, whoever rented them.
    """
    with options.told_errors(output):
        at, now = clouds.cloud(cloud), time.time()
        pods = sorted(at.pods(), key=lambda pod: (_began(pod) or now, pod.id))
        pods = [pod for pod in pods if everything or _lease(pod)]
        rows = [_document(pod, now) for pod in pods]
        document = {"schema": SCHEMA, "ok": True, "cloud": at.name, "at": int(now), "pods": rows}
        options.show(_lines(at, pods, now) if output == "text" else [], document, output)
        _tell_overdue(at, pods, now)


def _lease(pod: Pod) -> Lease | None:
    from provision.pods.lease import lease_of

    return lease_of(pod.name)


def _began(pod: Pod) -> float | None:
    """When it was rented: by the cloud, else by its name."""
    lease = _lease(pod)
    return pod.began if pod.began is not None or lease is None else float(lease.began)


def _age(pod: Pod, now: float) -> float | None:
    began = _began(pod)
    return None if began is None else max(0.0, now - began)


def _cost(pod: Pod, now: float) -> float | None:
    """USD so far, if its price has always been what it is. None where that is not known, as of one that is stopped."""
    from provision.pods.cloud import State

    age = _age(pod, now)
    return None if age is None or pod.price is None or pod.state is State.STOPPED else age / 3600 * pod.price


def _state(pod: Pod) -> str:
    from provision.pods.cloud import State

    return (State.STARTING if pod.state is State.RUNNING and not pod.is_up else pod.state).value


def _lines(cloud: Cloud, pods: Sequence[Pod], now: float) -> list[str]:
    from provision.cli.tables import table_lines
    from provision.progress import duration_text

    if not pods:
        return [f"nothing is rented at {cloud.name}"]
    rows = []
    for pod in pods:
        age, lease = _age(pod, now), _lease(pod)
        rows.append(
            {
                "id": shown(pod.id),
                "project": lease.project if lease else NONE,
                "state": _state(pod),
                "age": UNKNOWN if age is None else duration_text(age),
                "deadline": _deadline(lease, now),
                "machine": shown(pod.machine) or NONE,
                "an hour": _money(pod.price),
                "so far": _money(_cost(pod, now)),
                "volume": shown(pod.volume_id) or NONE,
            }
        )
    return table_lines(rows, {"age", "an hour", "so far"})


def _money(amount: float | None) -> str:
    from provision.pods.bill import money

    return UNKNOWN if amount is None else money(amount)


def _deadline(lease: Lease | None, now: float) -> str:
    from provision.progress import duration_text
    from provision.report.status import age_text

    if lease is None:
        return NONE
    left = lease.deadline - now
    return f"in {duration_text(left)}" if left > 0 else f"expired {age_text(-left)}"


def _document(pod: Pod, now: float) -> dict[str, Any]:
    lease, age, cost = _lease(pod), _age(pod, now), _cost(pod, now)
    return {
        "id": pod.id,
        "name": pod.name,
        "project": lease.project if lease else None,
        "state": _state(pod),
        "age_seconds": None if age is None else int(age),
        "deadline": int(lease.deadline) if lease else None,
        "expired": lease is not None and now >= lease.deadline,
        "machine": pod.machine,
        "volume": pod.volume_id,
        "datacenter": pod.datacenter,
        "usd_an_hour": pod.price,
        "usd_so_far": None if cost is None else round(cost, 6),
    }


def _tell_overdue(cloud: Cloud, pods: Sequence[Pod], now: float) -> None:
    from provision.pods.lease import is_expired
    from provision.report.wording import counted

    overdue = [pod for pod in pods if is_expired(pod, now)]
    if overdue:
        console.say(
            f"{counted(len(overdue), 'lease')} should be gone: provision pod rm --all-expired{clouds.flag(cloud)}"
        )
