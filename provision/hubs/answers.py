"""What a hub's answer means: statuses and headers, turned into the errors of `provision.errors`. Pure."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from provision.errors import (
    AccessDenied,
    Gated,
    HubRefused,
    PathNotFound,
    RateLimited,
    RepositoryNotFound,
    RevisionNotFound,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 529, 530})
"""Statuses that may pass: the standard ones, and those of Cloudflare, which stands before both hubs."""

_REFUSALS: dict[str, type[HubRefused]] = {
    "GatedRepo": Gated,
    "RepoNotFound": RepositoryNotFound,
    "RevisionNotFound": RevisionNotFound,
    "EntryNotFound": PathNotFound,
}
"""Hugging Face's own word for a refusal, in the X-Error-Code header (huggingface_hub, utils/_http.py)."""


def transient(status: int, headers: Mapping[str, str], host: str, now: float) -> RateLimited | Unreachable:
    """The error for a status that may pass: RateLimited where the hub asks for time, Unreachable otherwise."""
    after = retry_after(headers, now)
    if status == 429 or after is not None:
        asked = f"; it asks for {after:.0f} s" if after else ""
        return RateLimited(
            f"{host} asks us to slow down ({status}{asked})",
            hint="run the same command again later; a token raises the limits",
            retry_after=after,
        )
    return Unreachable(f"{host} answers {status}", hint="run the same command again; it resumes")


def refusal(status: int, headers: Mapping[str, str], what: str) -> HubRefused:
    """The error for a status that will not pass: by the hub's own code where it gives one, else by number."""
    if status == 407:
        return HubRefused("a proxy wants a login (407)", hint="write it into HTTPS_PROXY: http://USER:PASSWORD@HOST")
    by_status = {401: AccessDenied, 403: AccessDenied, 404: PathNotFound, 410: PathNotFound}
    kind = _REFUSALS.get(headers.get("X-Error-Code", ""), by_status.get(status, HubRefused))
    hints = {
        Gated: "ask for access on the repository's page, and set a token that has it",
        AccessDenied: "set a token that may read it (HF_TOKEN, MODELSCOPE_API_TOKEN)",
        RepositoryNotFound: "check the name; a private repository needs a token (HF_TOKEN, MODELSCOPE_API_TOKEN)",
    }
    return kind(f"{what} ({status})", hint=hints.get(kind, "see what moved with `provision lock --upgrade --dry-run`"))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that an answer asks to wait: Retry-After as a number or a date (RFC 9110 §10.2.3), or RateLimit's `t`."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text[:9])
    if text:
        try:
            date = parsedate_to_datetime(text)
        except ValueError:
            return None
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
    limit = re.search(r"\br=0\b.*?\bt=(\d{1,6})\b", headers.get("RateLimit", ""))
    return float(limit[1]) if limit else None
