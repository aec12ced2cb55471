"""What RunPod's refusals mean: its statuses and words, of every interface it has had. Pure.

Statuses: docs.runpod.io, api-reference-v2, "Create a pod". Words: what people have met, since lack of capacity has no
code of its own. Of what RunPod says only a little is passed on, without anything that looks like a secret, or is one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision.errors import CloudRefused, CloudUnavailable, NoCapacity, without_secrets
from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

KEYS_PAGE = "https://console.runpod.io/user/settings"
_BILLING_PAGE = "https://console.runpod.io/user/billing"
AGAIN = "run the same command again in a few minutes"

_WORDS = 300

_NO_CAPACITY = re.compile(
    r"no (?:longer any )?(?:\w+ )?instances (?:currently )?available"
    r"|does not have the resources to deploy"
    r"|could not find any pods with required specifications"
    r"|insufficient capacity|no available machine|out of stock|SUPPLY_CONSTRAINT",
    re.IGNORECASE,
)
"""RunPod's own code knows the words of the last line but one (`is_capacity_error`, apps/api.py of its SDK 2.0.0rc1)."""

_NO_BALANCE = re.compile(
    r"balance is too low|add funds|(?:insufficient|not enough)[ _](?:account )?(?:balance|funds|credits?)",
    re.IGNORECASE,
)
_NOT_ALLOWED = re.compile(
    r"unauthori[sz]ed|unauthenticated|forbidden|access denied|permission|invalid api.?key", re.IGNORECASE
)
_TOO_MANY = re.compile(r"rate.?limit|too many requests", re.IGNORECASE)
_NOT_UNDERSTOOD = re.compile(
    r"GRAPHQL_(?:VALIDATION|PARSE)_FAILED|BAD_USER_INPUT|validation failed|syntax error|cannot query field"
    r"|unknown argument|is not defined by type|cannot represent|was not provided|got invalid value|is in data center",
    re.IGNORECASE,
)
_GONE = re.compile(
    r"\bnot found\b|does(?: not|n't) exist|no such pod|already (?:been )?(?:terminated|deleted)", re.IGNORECASE
)

_ADD_FUNDS = f"the balance is too low: add funds at {_BILLING_PAGE}"
_PERMIT = f"give the API key the permission for it at {KEYS_PAGE}"
_CHANGE = "what it says should tell what to change; if not, a newer release of provision may help"
_HINTS = {
    401: f"the API key is not valid: make one at {KEYS_PAGE}, then export RUNPOD_API_KEY=…",
    402: _ADD_FUNDS,
    403: _PERMIT,
    410: "this interface has been retired: a newer release of provision may know its successor",
}
_PASSING = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What RunPod answered: an HTTP status, None where the SDK hides it; its words; seconds it asks us to wait."""

    status: int | None
    words: str = ""
    retry_after: float | None = None


def words_of(body: bytes) -> str:
    """What an answer's body says of an error; "" where it does not, or is a web page.

    v2: `title`, `detail` and `errors`. v1: `error`. GraphQL: `errors` with `message` and `extensions.code`.
    """
    try:
        return "; ".join(dict.fromkeys(filter(None, _told(json.loads(body)))))
    except (ValueError, RecursionError):
        text = body[: 4 * _WORDS].decode(errors="replace").strip()
        return "" if text.startswith(("<", "{", "[")) else text


def _told(document: Any) -> list[str]:
    if isinstance(document, str):
        return [document]
    if isinstance(document, list):
        return [text for part in document[:8] for text in _told(part)]
    if not isinstance(document, dict):
        return []
    parts = [document.get(name) for name in ("detail", "error", "message", "errors", "extensions", "code")]
    return [text for part in parts for text in _told(part)] or _told(document.get("title"))


def is_gone(said: Said) -> bool:
    """Whether the answer says that there is no such pod."""
    return said.status == 404 or (said.status in {None, 200} and bool(_GONE.search(said.words)))


def fault(said: Said, what: str, secrets: Sequence[str] = ()) -> CloudRefused | CloudUnavailable | NoCapacity:
    """The error for an answer other than the one that was asked for.

    `what`: a phrase for what was asked, "rent a pod". `secrets` are struck from RunPod's words, and so is what looks
    like one. Words of no known meaning, without a status that has one, are CloudUnavailable: unknown is not refused.
    """
    status, told = said.status, _fit(said.words, secrets)
    number = f" ({status})" if status and status != 200 else ""
    if status not in {401, 402, 403, 422, 429} and _NO_CAPACITY.search(said.words):
        return NoCapacity(
            f"RunPod has no such machine free just now{number}{told}",
            hint="another type, another data center, or a little patience (--wait) may help",
        )
    hint = _refusal_hint(status, said.words)
    if hint is not None:
        return CloudRefused(f"RunPod refuses to {what}{number}{told}", hint=hint)
    if status == 429 or _TOO_MANY.search(said.words):
        asked = f"; it asks for {said.retry_after:.0f} s" if said.retry_after else ""
        return CloudUnavailable(
            f"RunPod asks us to slow down{number}{asked}{told}", hint=AGAIN, retry_after=said.retry_after
        )
    return CloudUnavailable(f"RunPod cannot {what} now{number}{told}", hint=AGAIN, retry_after=said.retry_after)


def unclear(what: str, why: str) -> CloudUnavailable:
    """The error for an answer that makes no sense, or none at all: what was asked for may have taken effect."""
    return CloudUnavailable(f"RunPod cannot be asked to {what}: {why}", hint=AGAIN)


def _refusal_hint(status: int | None, words: str) -> str | None:
    """What to do about a refusal; None where it is none, or may pass. Without a status that tells, the words decide."""
    if status in {None, 200, 400, 500} and _NO_BALANCE.search(words):
        return _ADD_FUNDS
    if status not in {None, 200}:
        refused = 400 <= (status or 0) < 500 and status not in _PASSING
        return _HINTS.get(status or 0, _CHANGE) if refused else None
    if _NOT_ALLOWED.search(words):
        return _PERMIT
    return _CHANGE if _NOT_UNDERSTOOD.search(words) else None


def _fit(words: str, secrets: Sequence[str]) -> str:
    """`words` fit to be shown after a sentence; "" for none. The longest secrets go first: one may hold another."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        words = words.replace(secret, "***").replace(json.dumps(secret)[1:-1], "***")
    words = shown(without_secrets(" ".join(words.split())), _WORDS).strip()
    return f": {words}" if words else ""
