"""Errands carried out: each in a pod of its own, all at once, with one question when somebody interrupts."""

from __future__ import annotations

import secrets
import string
import sys
import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from provision.cli import clouds, console, settings
from provision.cli.pod.markers import marker
from provision.errors import Interrupted
from provision.pods.bill import Bill
from provision.pods.carrying import Ending, Eyes, Underway, attend, carry_out, send_off
from provision.pods.fleet import Fleet
from provision.pods.interrupts import Interrupts
from provision.pods.job import Task
from provision.pods.local import Local
from provision.pods.rental import Renting
from provision.progress import Bars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from provision.cli.pod.asked import Asked
    from provision.cli.pod.errands import Prepared
    from provision.errors import ProvisionError
    from provision.pods.cloud import Cloud, Pod
    from provision.progress import Progress

_AT_HOME, _ELSEWHERE, _RAREST = 0.2, 3.0, 10.0
"""Seconds between two looks at a pod; elsewhere so many for each: RunPod takes 60 requests a minute from an account."""

_LETTERS = string.ascii_lowercase + string.digits


def carried_out(asked: Asked, cloud: Cloud, prepared: Sequence[Prepared]) -> list[Ending | ProvisionError]:
    """What came of each, or has so far, where the user did not want to wait until all were given back."""
    from provision.hubs.http.pools import Pools

    progress = console.progress(quiet=asked.quiet)
    tell = teller(progress, quiet=asked.quiet)
    fleet: Fleet[Prepared, Ending] = Fleet(lambda: _ask_to_leave(progress, len(prepared)), tell)
    pools = Pools(settings.http_settings(settings.Limits(connections=len(prepared) + 1)))
    underway: dict[int, Underway] = {}

    def work(one: Prepared) -> Ending:
        said = tell if not one.label else lambda text: tell(f"{one.label}: {text}")
        eyes = Eyes(
            pools=pools,
            progress=progress,
            tell=tell,
            marker=marker(cloud, one.volume),
            label=one.label,
            began=lambda begun: underway.update({id(one): begun}),
            came_up=lambda pod: _show_page(cloud, pod, one, said),
        )
        look = min(_ELSEWHERE * len(prepared), _RAREST)
        renting = replace(_renting(cloud, fleet, said, look), wait=asked.wait)
        return (send_off if asked.detach else carry_out)(renting, one.errand, eyes)

    def abandoned(one: Prepared) -> Ending:
        return _abandoned(underway.get(id(one)))

    if len(prepared) == 1:
        return fleet.run(prepared, work, abandoned)
    progress.begin("pods", sum(one.estimate.fetch + one.estimate.verify for one in prepared))
    try:
        return fleet.run(prepared, work, abandoned)
    finally:
        progress.end()


def attended(cloud: Cloud, pod: Pod, *, quiet: bool) -> Ending | ProvisionError:
    """What comes of a pod that was rented before. An interrupt leaves it at its work, and so does all that ends us."""
    from provision.hubs.http.pools import Pools

    progress = console.progress(quiet=quiet)
    tell = teller(progress, quiet=quiet)
    fleet: Fleet[Pod, Ending] = Fleet(lambda: True, tell, unasked=True)
    volume = cloud.volume(pod.volume_id) if pod.volume_id else None
    underway: dict[str, Underway] = {}
    eyes = Eyes(
        pools=Pools(settings.http_settings(settings.Limits(connections=2))),
        progress=progress,
        tell=tell,
        marker=None if volume is None else marker(cloud, volume),
        began=lambda begun: underway.update({pod.id: begun}),
    )

    def work(one: Pod) -> Ending:
        return attend(_renting(cloud, fleet, tell), eyes, one, Task.FILL)

    return fleet.run([pod], work, lambda one: _abandoned(underway.get(one.id)))[0]


def _abandoned(underway: Underway | None) -> Ending:
    if underway is None:
        return Ending(result=None, bill=Bill(), error=Interrupted("interrupted before anything was begun"))
    return underway.abandoned()


@contextmanager
def seen_through() -> Iterator[Callable[[], bool]]:
    """Inside, neither a signal nor a reader who leaves breaks off what is done and told; only who insists does.

    Gives what `console.outlasting` gives.
    """
    interrupts = Interrupts()
    interrupts.shield()
    with console.outlasting() as heard, interrupts.installed():
        yield heard


def _renting(cloud: Cloud, fleet: Fleet[Any, Ending], tell: Callable[[str], None], look: float = _ELSEWHERE) -> Renting:
    return Renting(
        cloud=cloud,
        now=time.time,
        clock=time.monotonic,
        sleep=fleet.stop.sleep,
        rest=_rest,
        tell=tell,
        nonce=nonce,
        leave=fleet.leave,
        look=_AT_HOME if isinstance(cloud, Local) else look,
    )


def _rest(seconds: float) -> None:
    threading.Event().wait(seconds)


def nonce() -> str:
    """Eight random letters and digits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(8))


def teller(progress: Progress, *, quiet: bool) -> Callable[[str], None]:
    """Messages on stderr, above the bars where there are some."""
    if quiet:
        return lambda _: None
    return progress.note if isinstance(progress, Bars) else console.say


def _ask_to_leave(progress: Progress, count: int) -> bool:
    """Whether the pods are to go on; without a terminal nobody can be asked, and they are given back."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    with progress.aside() if isinstance(progress, Bars) else nullcontext():
        what = "the pod" if count == 1 else f"the {count} pods"
        console.say(f"\ninterrupted: detach from {what} (d), to do the job alone, or give back now (g)?")
        answer: str = click.prompt("d or g", type=click.Choice(["d", "g"]), default="g", show_choices=False, err=True)
    return answer == "d"


def _show_page(cloud: Cloud, pod: Pod, one: Prepared, tell: Callable[[str], None]) -> None:
    """Where people can watch it. Only on a terminal: a log would keep the token."""
    tell(f"pod {pod.id} is at work: provision pod attach {pod.id}{clouds.flag(cloud)}")
    address = cloud.address(pod.id, one.errand.port)
    if address and sys.stderr.isatty():
        tell(f"to watch it in a browser: {address}/#{one.errand.token}")
