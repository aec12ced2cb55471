"""What the RunPod adapter is told: whose key, where to, how to reach out and for how long to try."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provision.crew import Stop
from provision.retry import Patience

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.hubs.http import HttpSettings

_PATIENCE = Patience(attempts=5, longest_wait=15.0, longest_request=120.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPodSettings:
    """Settings of one account at RunPod. Times in seconds.

    `base_url`: of the API, `https://api.runpod.io`. `pod_url`: where a pod's port is served, with `{pod}` and `{port}`.
    `patience`: for what may be asked again; `sleep` waits in between, and may raise Interrupted. `timeout`: most time
    for one answer. `use_sdk`: whether RunPod's own SDK is used for pods where it is installed. Logs never end: they are
    read for `log_time`, or until nothing has come for `log_quiet`.
    """

    key: str = field(repr=False)
    base_url: str
    pod_url: str
    http: HttpSettings = field(repr=False)  # a proxy's address may hold a password
    patience: Patience = _PATIENCE
    sleep: Callable[[float], None] = field(default_factory=lambda: Stop().sleep, repr=False)
    timeout: float = 30.0
    use_sdk: bool = True
    log_time: float = 5.0
    log_quiet: float = 1.0
