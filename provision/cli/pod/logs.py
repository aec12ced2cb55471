"""`provision pod logs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from provision.cli import clouds, console
from provision.errors import InputError, Interrupted, without_secrets
from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.pods.cloud import Cloud, LogLine

LOOK = 2.0
"""Seconds between two looks at a log that is followed."""
_WIDTH = 4000


@click.command("logs")
@click.argument("pod_id", metavar="ID")
@click.option("--follow", "-f", is_flag=True, help="Go on until the pod has ended, or Ctrl-C.")
@click.option("--raw", is_flag=True, help="Also the lines by which a pod tells programs how far it is.")
@clouds.option
def command(pod_id: str, cloud: str | None, *, follow: bool, raw: bool) -> None:
    """Show what the pod ID has printed. Its log is gone when the pod is."""
    at = clouds.cloud(cloud)
    try:
        _show(at, pod_id, follow=follow, raw=raw)
    except KeyboardInterrupt as interrupt:
        raise Interrupted("interrupted", hint="the pod goes on") from interrupt


def _show(cloud: Cloud, pod_id: str, *, follow: bool, raw: bool) -> None:
    from provision.crew import Stop
    from provision.pods.cloud import State

    if cloud.pod(pod_id) is None:
        raise InputError(
            f"there is no pod `{shown(pod_id)}` at {cloud.name}, or none any more: its log went with it",
            hint=f"provision pod ls{clouds.flag(cloud)}",
        )
    reader, stop = _Reader(cloud, pod_id), Stop()
    while True:
        pod = cloud.pod(pod_id)  # first: what it printed last is then read after it has ended
        for line in reader.further():
            if raw or not _is_for_programs(line.text):
                console.out(shown(without_secrets(line.text), _WIDTH))
        if not follow or pod is None or pod.state in {State.STOPPED, State.FAILED}:
            return
        stop.sleep(LOOK)


class _Reader:
    """Reads a log on from where it was left, also where its lines have no ids."""

    def __init__(self, cloud: Cloud, pod_id: str) -> None:
        self._cloud, self._pod_id = cloud, pod_id
        self._after, self._seen = "", 0

    def further(self) -> Sequence[LogLine]:
        """What has come since."""
        lines = self._cloud.logs(self._pod_id, self._after)
        new = lines[self._seen :]
        last = max((number for number, line in enumerate(lines) if line.id), default=-1)
        if last >= 0:
            self._after = lines[last].id
        self._seen = len(lines) - last - 1
        return new


def _is_for_programs(text: str) -> bool:
    from provision.pods.status import LINE, RESULT_LINE

    return text.startswith((LINE, RESULT_LINE))
