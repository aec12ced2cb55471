"""Who is asking: what a request's credentials amount to."""

from __future__ import annotations

import base64
import hmac
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request


class Standing(Enum):
    """What the hub's token says about a request."""

    OPEN = "no token is demanded"
    KNOWN = "the token is right"
    ANONYMOUS = "a token is demanded and none was given"
    REFUSED = "a token was given and it is wrong"

    @property
    def admitted(self) -> bool:
        """Whether the request may go on."""
        return self in {Standing.OPEN, Standing.KNOWN}


def standing(request: Request, token: str | None) -> Standing:
    """How `request` stands towards the demanded `token`: bearer, basic password, or ModelScope's cookie."""
    if token is None:
        return Standing.OPEN
    offered = list(_offered(request))
    if not offered:
        return Standing.ANONYMOUS
    right = any(hmac.compare_digest(secret.encode(), token.encode()) for secret in offered)
    return Standing.KNOWN if right else Standing.REFUSED


def _offered(request: Request) -> Iterator[str]:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield credentials.strip()
    elif scheme.lower() == "basic":
        yield _password(credentials)
    if cookie := request.cookies.get("m_session_id"):
        yield cookie


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials).decode().partition(":")[2]
    except ValueError:  # not base64, not ASCII, not UTF-8
        return ""
