"""Puts together what resolution and transfer get their facts and bytes from."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from provision.cli import logins, settings
from provision.hubs.http import Http
from provision.hubs.schemes import open_hub
from provision.hubs.supply import Supply
from provision.retry import Patience, Retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.crew import Stop
    from provision.hubs import Hub


def supply(stop: Stop, tell: Callable[[str], None], limits: settings.Limits | None = None) -> Supply:
    """Hubs and HTTP by the environment's settings, within `limits`; patience that a stop cuts short."""
    http = settings.http_settings(limits or settings.Limits())
    retry = Retry(patience=Patience(), sleep=stop.sleep, tell=tell)

    def hub_of(scheme: str) -> Hub:
        logins.check_endpoint(scheme)
        return open_hub(scheme, logins.hub_settings(scheme, http))

    return Supply(cache(hub_of), Http(http), retry)
