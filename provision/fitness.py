"""Fitness: a volume's quick verification, as the check that a RunPod worker runs before it takes jobs.

    import runpod
    from provision.fitness import check

    runpod.serverless.register_fitness_check(check("wan22-i2v"))
    runpod.serverless.start({"handler": handler})

The SDK (runpod 1.9.0 or newer, serverless/modules/rp_fitness.py) calls what is registered when the worker starts, logs
what it raises by type and text, reports the first 256 characters of that to the host, and ends the worker with exit 1.
It does not call it where a handler runs locally. This is an edge, as the command line is: the environment is read here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import provision
from provision.errors import ProvisionError, VerificationFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.lock import Lock
    from provision.report.advice import Commands
    from provision.verification import Finding, Verification

NAMED = 3
"""Files that a message names; the rest is counted."""


def check(*projects: str, volume: str | None = None) -> Callable[[], None]:
    """A function that raises when the volume is not as promised, in time for a worker not to start; else it returns.

    A project is a name, for the lock that a fill has left on the volume, or the path of a lock file that came with the
    image (`….lock.json`), which is then the truth. Without any, every lock on the volume counts. The volume is
    `volume`, else PROVISION_VOLUME, else `/runpod-volume` or `/workspace` where that is a mount. Nothing is looked at
    before the function is called; it may be called at any time, also without RunPod's SDK.

    What the function raises says on one line which volume, what is wrong and what to run:
        VerificationFailed: a file is not as promised, or unproven, or a model's files do not fit together.
        LockMissing, LockUnreadable: there is no lock that could be used.
        VolumeAbsent: no volume is attached.
        VolumeError: it cannot be looked at.
    """

    def volume_as_promised() -> None:
        try:
            _verify(projects, volume)
        except ProvisionError as error:
            if error.hint:
                error.args = (f"{error.message}; {error.hint}",)  # the SDK logs str(error), which has no hint
            raise

    return volume_as_promised


def _verify(projects: tuple[str, ...], volume: str | None) -> None:
    from provision.cli.settings import volume_path

    place = volume_path(volume or os.environ.get("PROVISION_VOLUME"))
    verification = provision.verify(place, *map(_lock, projects), mode="quick")
    if not verification.ok:
        raise VerificationFailed(_told(verification, _commands(projects, verification.volume)))


def _lock(project: str) -> Lock | str:
    from provision.lock import LOCK_SUFFIX

    return provision.load_lock(project) if project.endswith(LOCK_SUFFIX) else project


def _commands(projects: tuple[str, ...], volume: str) -> Commands:
    from provision.cli.options import named_projects
    from provision.lock import LOCK_SUFFIX
    from provision.report.advice import Commands

    paths = [project for project in projects if project.endswith(LOCK_SUFFIX)]
    return Commands(projects=named_projects(paths, "."), volume=volume)


def _told(verification: Verification, commands: Commands) -> str:
    """The volume, the verdict, what to run, and then names, the worst first: who reports this may cut it."""
    from provision.report.advice import remedy
    from provision.report.tally import wrong
    from provision.report.wording import misfit_advice, verdict

    bad = wrong(verification)
    misfits = [found for found in verification.misfits if found.misfit.grave]
    to_do = dict.fromkeys(str(commands.advice(remedy(finding), finding.project)) for finding in bad)
    to_do.update(dict.fromkeys(map(misfit_advice, misfits)))
    named = [_named(finding) for finding in bad[:NAMED]]
    named += [f"misfit {found.misfit.path} ({found.project}/{found.model})" for found in misfits[: NAMED - len(named)]]
    rest = len(bad) + len(misfits) - len(named)
    more = f", and {rest:,} more" if rest else ""
    return f"{verification.volume}: {verdict(verification)} -> {'; '.join(to_do)}: {', '.join(named)}{more}"


def _named(finding: Finding) -> str:
    from provision.names import shown
    from provision.report.wording import owner

    return f"{finding.state} {shown(finding.target)} ({owner(finding.project, finding.model)})"
