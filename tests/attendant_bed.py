"""A bed for the attendant: its parts in this process, on a free port, with a clock that stands where it is put."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from provision.pods.attendant.account import Account, Ending
from provision.pods.attendant.duty import Duty
from provision.pods.attendant.outcome import result
from provision.pods.attendant.service import Service
from provision.pods.lease import new_lease
from provision.pods.status import Phase, Running

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "a-token-of-the-bed"
NOW = 1_790_000_000.0
LEASE = str(new_lease("wan22-i2v", NOW, 4 * 3600, "k3f9a2xq"))
HOSTILE = "</script><script>document.title='taken over'</script><img src=x onerror=alert(1)>\u202e\x1b[2J"


@dataclass
class AttendantBed:
    """An account and its service, without a job. `said` is the log, `now` the clock."""

    work: Path
    price: float | None = 0.06
    now: float = NOW
    ticks: float = 0.0
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.duty = Duty(
            work=self.work, lease=LEASE, volume=str(self.work / "volume"), deadline=NOW + 4 * 3600, starts=1, began=NOW,
            grace=0.0, token=TOKEN, host="127.0.0.1", port=0, price=self.price, python=sys.executable, environment={},
            clock=lambda: self.now, ticks=lambda: self.ticks, emit=self.said.append, is_stopped=lambda: False,
        )  # fmt: skip
        self.account = Account(self.duty, began=NOW, starts=1)
        self.account.introduce(["wan22-i2v"])
        self.service = Service(self.duty, self.account)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.service.server_port}"

    def show(self, phase: Phase, **status: Any) -> None:
        """Put the account where a job would have brought it."""
        with self.account._lock:
            self.account._status = replace(self.account._status, phase=phase, **status)

    def end(self, ending: Ending, **parts: Any) -> bytes:
        """End the job."""
        document = result(self.account.status(), None, ending, **parts)
        self.account.end(ending, document)
        return document


def running(*files: tuple[str, int, int]) -> tuple[Running, ...]:
    return tuple(Running(name=name, size=size, done=done) for name, size, done in files)


def wait_for(check, seconds: float = 10.0) -> Any:
    """What `check` answers as soon as that is something."""
    last = time.monotonic() + seconds
    while not (answer := check()):
        assert time.monotonic() < last, "it never came"
        time.sleep(0.02)
    return answer
