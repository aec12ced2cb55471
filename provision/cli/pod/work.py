"""`provision pod work`: what a pod runs. Its folder and its environment are made by scripts/download_models.sh."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provision.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from provision.pods.attendant.duty import Duty

OURS = ("PROVISION_STATUS_TOKEN", "RUNPOD_API_KEY", "PROVISION_SCRIPT", "PROVISION_PARCEL_")
"""Variables, by their beginnings, that the commands of a job have no business with."""


@click.command("work")
@click.argument("work", type=click.Path(exists=True, file_okay=False, path_type=Path))
def command(work: Path) -> int:
    """Do the job that lies in the folder WORK, and serve its progress. Run by the script in a pod."""
    from provision.pods.attendant.attendance import attend
    from provision.pods.attendant.voice import Voice

    voice = Voice(_written)
    try:
        return attend(_duty(work.resolve(), os.environ, voice.say))
    finally:
        voice.end()


def _duty(work: Path, environment: Mapping[str, str], emit: Callable[[str], None]) -> Duty:
    from provision.pods import job
    from provision.pods.attendant.duty import Duty

    now = time.time()
    return Duty(
        work=work,
        lease=_given(environment, job.LEASE),
        volume=_given(environment, job.VOLUME),
        deadline=_number(environment, job.DEADLINE, None),
        starts=int(_noted(work / "starts", 1)),
        began=_noted(work / "began", now),
        grace=_number(environment, job.GRACE, 180.0),
        token=environment.get(job.TOKEN, ""),
        host=environment.get("PROVISION_STATUS_HOST") or _host(environment),
        port=int(_number(environment, job.PORT, 8000.0)),
        price=_number(environment, job.PRICE, None) if environment.get(job.PRICE) else None,
        python=sys.executable,
        environment={name: value for name, value in environment.items() if not name.startswith(OURS)},
        clock=time.time,
        ticks=time.monotonic,
        emit=emit,
        is_stopped=_stopped(),
    )


def _host(environment: Mapping[str, str]) -> str:
    """In a pod of RunPod its proxy comes from outside; anywhere else the renter is on the same machine."""
    return "0.0.0.0" if environment.get("RUNPOD_POD_ID") else "127.0.0.1"  # noqa: S104 - as said


def _given(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name)
    if not value:
        raise InputError(f"{name} is not set", hint="`pod work` is run by scripts/download_models.sh, in a pod")
    return value


def _number(environment: Mapping[str, str], name: str, default: float | None) -> float:
    value = environment.get(name)
    if not value and default is not None:
        return default
    try:
        return float(_given(environment, name))
    except ValueError as error:
        raise InputError(f"{name} is `{value}`, which is no number") from error


def _noted(path: Path, default: float) -> float:
    """A number that the script has written down."""
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return default


def _written(data: bytes) -> None:
    """Write to the log; past Python's own buffer, which would be waited for at the end. Raises OSError."""
    if sys.stdout is None:
        return  # it was closed before we began: its number may be that of another file by now
    while data:
        try:
            data = data[os.write(sys.stdout.fileno(), data) :]
        except BlockingIOError:
            select.select([], [sys.stdout], [])


def _stopped() -> Callable[[], bool]:
    """True once the platform has asked the process to end: a handler that only sets a mark gets in nobody's way."""
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: asked.append(number))
    return lambda: bool(asked)
