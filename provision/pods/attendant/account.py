"""The account: how the job stands, as one value that threads may ask for and change."""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from provision.errors import without_secrets
from provision.pods.attendant.pace import Pace
from provision.pods.status import Past, Phase, Running, Status, status_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from provision.pods.attendant.duty import Duty

NOTES = 20
LENGTH = 400
"""Characters of a note."""

RUNNING = 32
"""Files that are told of at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a job has ended."""

    exit_code: int
    error: str = ""
    hint: str = ""


class Account:
    """How the job stands. `result` is there once it has ended. Calls may come from several threads."""

    def __init__(self, duty: Duty, *, began: float, starts: int) -> None:
        self._duty = duty
        self._lock = threading.Lock()
        self._status = Status(
            lease=duty.lease, phase=Phase.INSTALLING, began=began, now=began, deadline=duty.deadline, starts=starts
        )
        self._pace = Pace()
        self._notes: deque[str] = deque(maxlen=NOTES)
        self._findings: Sequence[Mapping[str, str]] = ()
        self._projects: Sequence[str] = ()
        self.result: bytes | None = None

    def introduce(self, projects: Sequence[str]) -> None:
        """The job is about `projects`."""
        self._projects = tuple(projects)

    def enter(self, phase: Phase) -> None:
        """`phase` begins, from zero."""
        with self._lock:
            self._pace.clear()
            past = self._past()
            self._status = replace(
                self._status, phase=phase, total=0, done=0, rate=0.0, finished=0, running=(), past=past
            )

    def _past(self) -> tuple[Past, ...]:
        """The phases that are over, once the one under way is."""
        status = self._status
        own = Past(phase=status.phase, total=status.total, done=status.done)
        return (*status.past, own) if status.total and not status.has_ended else status.past

    def note(self, text: str) -> None:
        """The last of the notes; secrets in it are masked."""
        with self._lock:
            self._notes.append(without_secrets(text)[:LENGTH])

    def sample(self, progress: Path) -> None:
        """Take over what the running command has written into `progress`, if there is anything yet."""
        try:
            document = json.loads(progress.read_bytes())
        except (OSError, ValueError):
            return
        with self._lock:
            self._pace.add(self._duty.ticks(), document["done"])
            self._status = replace(
                self._status,
                total=document["total"],
                done=max(0, document["done"]),
                rate=self._pace.rate,
                finished=document["finished"],
                running=tuple(
                    Running(name=file["name"], size=file["size"], done=max(0, file["done"]))
                    for file in document["running"][:RUNNING]
                ),
            )

    def found(self, counts: Mapping[str, int], findings: Sequence[Mapping[str, str]]) -> None:
        """A verification has found `findings`, beside what is ok."""
        with self._lock:
            self._status = replace(self._status, counts=tuple(counts.items()))
            self._findings = findings

    def end(self, ending: Ending, result: bytes) -> None:
        """The job has ended."""
        with self._lock:
            self.result = result
            self._status = replace(
                self._status,
                phase=Phase.ENDED,
                past=self._past(),
                rate=0.0,
                running=(),
                exit_code=ending.exit_code,
                error=without_secrets(ending.error),
                hint=without_secrets(ending.hint),
            )

    def restore(self, status: Status, result: bytes) -> None:
        """The job had ended before this container was started."""
        with self._lock:
            self.result = result
            self._status = replace(status, starts=self._status.starts, deadline=self._duty.deadline)
            self._notes.extend(status.notes)

    def status(self) -> Status:
        """The job as it stands now."""
        with self._lock:
            return replace(self._status, now=self._duty.clock(), notes=tuple(self._notes))

    def document(self) -> dict[str, Any]:
        """The status, and what the page shows beside it: USD an hour, or null; the worst findings."""
        return {
            **status_document(self.status()),
            "price": self._duty.price,
            "projects": list(self._projects),
            "findings": list(self._findings),
        }
