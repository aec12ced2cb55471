"""`provision pod rm`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from provision.cli import clouds, console, options
from provision.errors import InputError, PodError, PodNotReturned
from provision.names import shown
from provision.report.document import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.pods.cloud import Cloud, Pod
    from provision.pods.returning import Renting

CONFIRM = 60.0
"""Seconds to try for, until people have to be told."""


@click.command("rm")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all-expired", is_flag=True, help="Every lease that is past its deadline.")
@click.option("--all", "everything", is_flag=True, help="Every lease, also those that are at work: their fills end.")
@click.option("--force", is_flag=True, help="Also an ID that is no lease of provision: any pod of this account.")
@clouds.option
@options.output
def command(  # noqa: PLR0913 - one for each option
    ids: tuple[str, ...], cloud: str | None, output: str, *, all_expired: bool, everything: bool, force: bool
) -> None:
    """Give back pods: delete them, and look until they are gone. Exit 9 when one may still be there.

    What a fill has brought to the volume stays there, and the next fill goes on from it.
    """
    with console.outlasting(), options.told_errors(output, "what is gone stays gone"):
        if sum((bool(ids), all_expired, everything)) != 1:
            raise InputError("say what to give back: ID, --all-expired or --all, and only one of them")
        at = clouds.cloud(cloud)
        pods = _named(at, ids, force=force) if ids else _leases(at, only_expired=all_expired)
        renting = _renting(at)
        with renting.interrupts.installed():
            _give_back(renting, pods)
        document = {"schema": SCHEMA, "ok": True, "cloud": at.name, "returned": [pod.id for pod in pods]}
        options.show([f"{shown(pod.id)} is given back" for pod in pods] or ["nothing to give back"], document, output)


def _named(cloud: Cloud, ids: Sequence[str], *, force: bool) -> list[Pod]:
    """Those that are there. Raises InputError, before anything is given back, where one is none of ours."""
    from provision.pods.lease import lease_of

    found = []
    for pod_id in dict.fromkeys(ids):
        pod = _looked_up(cloud, pod_id)
        if pod is None:
            console.say(f"{shown(pod_id)}: there is no such pod, or none any more")
            continue
        if lease_of(pod.name) is None and not force:
            raise InputError(
                f"{shown(pod_id)} is no lease of provision: it is called `{shown(pod.name)}`",
                hint="if it is really to go, say --force; nothing was given back",
            )
        found.append(pod)
    return found


def _looked_up(cloud: Cloud, pod_id: str) -> Pod | None:
    try:
        return cloud.pod(pod_id)
    except PodError as error:
        way = cloud.by_hand(pod_id)
        there = f"\nor there: {way.page}" if way.page else ""
        raise PodNotReturned(
            f"{shown(pod_id)} cannot even be looked at, and may still cost money: {error.message}",
            hint=f"stop it by hand: {way.command}{there}",
        ) from error


def _leases(cloud: Cloud, *, only_expired: bool) -> list[Pod]:
    from provision.pods.lease import is_expired, lease_of

    now = time.time()
    return [pod for pod in cloud.pods() if (is_expired(pod, now) if only_expired else lease_of(pod.name))]


def _give_back(renting: Renting, pods: Sequence[Pod]) -> None:
    from provision.pods.returning import give_back

    if pods:
        console.say(f"giving back {', '.join(shown(pod.id) for pod in pods)}")
        give_back(renting, pods)


def _renting(cloud: Cloud) -> Renting:
    from provision.cli.pod.running import nonce
    from provision.crew import Stop
    from provision.pods.returning import Renting

    return Renting(
        cloud=cloud,
        now=time.time,
        clock=time.monotonic,
        sleep=Stop().sleep,
        rest=time.sleep,
        tell=console.say,
        nonce=nonce,
        confirm=CONFIRM,
    )
