"""`provision pod attach`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from provision.cli import clouds, console, options
from provision.errors import ExitCode, InputError, ProvisionError
from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from provision.cli.pod.errands import Wanted
    from provision.cli.projects import Project
    from provision.lock import Lock
    from provision.pods.carrying import Ending
    from provision.pods.cloud import Cloud, NetworkVolume, Pod
    from provision.pods.result import Result


@click.command("attach")
@click.argument("pod_id", metavar="ID")
@options.manifests
@clouds.option
@options.output
@options.quiet
def command(pod_id: str, manifests: str, cloud: str | None, output: str, *, quiet: bool) -> int:
    """Watch a pod that was rented before, bring back its result, and give it back.

    Works from any machine with the key. Ctrl-C leaves the pod at its work, and so does all else that ends this command.
    The proof is written beside the manifests, where the locks that the pod worked from are there.
    """
    with options.told_errors(output):
        at = clouds.cloud(cloud)
        pod = _leased(at, pod_id)
        from provision.cli.pod.running import attended, seen_through

        with seen_through() as heard:
            code = _told(at, pod, attended(at, pod, quiet=quiet), Path(manifests), output)
            return code or (ExitCode.DONE if heard() else ExitCode.FAULT)


def _leased(cloud: Cloud, pod_id: str) -> Pod:
    from provision.pods.lease import lease_of

    pod = cloud.pod(pod_id)
    if pod is None:
        raise InputError(
            f"there is no pod `{shown(pod_id)}` at {cloud.name}",
            hint=f"provision pod ls{clouds.flag(cloud)}; one that has done its job has given itself back",
        )
    if lease_of(pod.name) is None:
        raise InputError(f"pod {shown(pod_id)} ({shown(pod.name)}) was not rented by provision")
    return pod


def _told(cloud: Cloud, pod: Pod, ending: Ending | ProvisionError, manifests: Path, output: str) -> int:
    from provision.cli.pod.outcomes import Telling, outcome, tell

    result = None
    if not isinstance(ending, ProvisionError):
        result = ending.result
        if ending.left is not None:
            console.say(f"pod {shown(pod.id)} goes on, and gives itself back when it is done")
    telling = Telling(cloud=cloud, what=_known(result, manifests), output=output)
    return tell(telling, [outcome(_volume(cloud, pod), [ending])])


def _known(result: Result | None, manifests: Path) -> Wanted:
    """The projects that the result is about, as far as their locks lie here."""
    from provision.cli.pod.errands import Wanted
    from provision.cli.projects import find

    verify = result.verify if result is not None else None
    names = {str(file.get("project")) for file in (verify or {}).get("files", ())}
    found = [project for project in _all(manifests, find) if project.name in names]
    locks = {project.name: lock for project in found if (lock := _lock(project)) is not None}
    there = [project for project in found if project.name in locks]
    return Wanted(projects=there, locks=[locks[project.name] for project in there])


def _lock(project: Project) -> Lock | None:
    """None where it cannot be read: the pod's result is told all the same."""
    from provision.cli.projects import read_lock

    try:
        return read_lock(project)
    except ProvisionError as error:
        console.say(f"{error.message}: no proof is written")
        return None


def _all(manifests: Path, find: Callable[[Sequence[str], Path], list[Project]]) -> list[Project]:
    try:
        return find([], manifests)
    except InputError:
        return []


def _volume(cloud: Cloud, pod: Pod) -> NetworkVolume:
    from provision.pods.cloud import NetworkVolume

    known = cloud.volume(pod.volume_id) if pod.volume_id else None
    return known or NetworkVolume(id=pod.volume_id or "unknown", name="", size=0, datacenter=pod.datacenter)
