"""What a hub adapter is told: how to reach out, where to, and in whose name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provision.hubs.http import HttpSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSettings:
    """Settings of one hub.

    `endpoint` and `token`: None is what the vendor's own library would use (its variables, its saved login); a token
    of "" is none at all. `requests`: most requests that one call may cost; a listing of LISTING_LIMIT files takes
    Hugging Face 250 and ModelScope seldom more than a few hundred.
    """

    http: HttpSettings
    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    requests: int = 5_000
