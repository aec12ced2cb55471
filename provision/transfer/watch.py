"""The watch over one file: who is asked and told while it is brought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provision.crew import Stop
    from provision.progress import Task
    from provision.retry import Retry
    from provision.transfer.rate import Rate
    from provision.transfer.width import Width


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who is asked and told while a file is put together, and the connections there are for all files."""

    retry: Retry
    stop: Stop
    task: Task
    rate: Rate
    width: Width
