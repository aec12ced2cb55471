"""What a hub's answer means: statuses and headers, against what was asked for and promised. Pure.

What is not as it should be is one of the errors of `provision.errors`.
"""

from __future__ import annotations

import json
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from provision.digest import is_sha256
from provision.errors import (
    AccessDenied,
    ConnectionCut,
    DigestMismatch,
    Gated,
    HubRefused,
    NotAHub,
    ObjectChanged,
    PathNotFound,
    RateLimited,
    RepositoryNotFound,
    RevisionNotFound,
    SizeMismatch,
    Unreachable,
)
from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provision.hubs.http import Wanted
    from provision.hubs.http.memory import Validator

AGAIN = "run the same command again; it resumes"
_MOVED = "see what moved with `provision lock --upgrade --dry-run`"
_CHANGED = f"the hub's file has changed since the lock: {_MOVED}"
_STRONG = re.compile(r'"[\x21\x23-\x7e]{1,200}"')
_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)", re.IGNORECASE)

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 529, 530})
"""Statuses that may pass: the standard ones, and those of Cloudflare, which stands before both hubs."""

_REFUSALS: dict[str, type[HubRefused]] = {
    "GatedRepo": Gated,
    "RepoNotFound": RepositoryNotFound,
    "RevisionNotFound": RevisionNotFound,
    "EntryNotFound": PathNotFound,
}
"""Hugging Face's own word for a refusal, in the X-Error-Code header (huggingface_hub, utils/_http.py)."""

NO_RECORD = 10010205001
NO_ACCESS = 10010200001
NO_TREE = 10990101004
_CODES: dict[int | None, type[HubRefused]] = {
    NO_RECORD: RepositoryNotFound,
    NO_ACCESS: AccessDenied,
    NO_TREE: RevisionNotFound,
}
"""ModelScope's own, in the body: most of its refusals are a 404."""


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
    return Unreachable(f"{host} answers {status}", hint=AGAIN)


def refusal(
    status: int, headers: Mapping[str, str], what: str, *, code: int | None = None, page: str = ""
) -> HubRefused:
    """The error for a status that will not pass: by the hub's own code where it gives one, else by number.

    `what` is a sentence that ends before the status; `page` is where people ask for access.
    """
    if status == 407:
        return HubRefused("a proxy wants a login (407)", hint="write it into HTTPS_PROXY: http://USER:PASSWORD@HOST")
    if status == 401 and headers.get("X-Error-Message", "").startswith("Invalid credentials"):
        return AccessDenied(
            f"{what} (401): the token that was given is not valid",
            hint="set a valid token, or none (HF_TOKEN, MODELSCOPE_API_TOKEN)",
        )
    by_status = {401: AccessDenied, 403: AccessDenied, 404: PathNotFound, 410: PathNotFound}
    kind = _REFUSALS.get(headers.get("X-Error-Code", ""), _CODES.get(code, by_status.get(status, HubRefused)))
    hints = {
        Gated: f"ask for access on {page or 'the repository page'}, and set a token that has it",
        AccessDenied: "set a token that may read it (HF_TOKEN, MODELSCOPE_API_TOKEN)",
        RepositoryNotFound: "check the name; a private repository needs a token (HF_TOKEN, MODELSCOPE_API_TOKEN)",
        RevisionNotFound: f"the hub no longer has this commit; {_MOVED}",
        PathNotFound: f"the hub no longer has it at this commit; {_MOVED}",
    }
    return kind(
        f"{what} ({status})", hint=hints.get(kind, "check the hub's endpoint, and any proxy or mirror in between")
    )


def code_of(body: bytes) -> int | None:
    """ModelScope's own word for a refusal: the `Code` of its envelope, None where there is none."""
    try:
        envelope = json.loads(body)
    except (ValueError, RecursionError):
        return None
    code = envelope.get("Code") if isinstance(envelope, dict) else None
    return code if isinstance(code, int) else None


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that an answer asks to wait: Retry-After as a number or a date (RFC 9110 §10.2.3), or RateLimit's `t`."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text[:9])
    if text:
        try:
            date = parsedate_to_datetime(text)
            return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
        except (ValueError, OverflowError):  # a year or a zone that no date has
            return None
    limit = re.search(r"\br=0\b.*?\bt=(\d{1,6})\b", headers.get("RateLimit", ""))
    return float(limit[1]) if limit else None


def body_span(status: int, headers: Mapping[str, str], wanted: Wanted) -> tuple[int, int | None]:
    """The offsets of the body's first byte and after its last, None where no end is announced.

    A part (206) ends where it was asked to or, where a server caps its parts, before; it may begin before the wanted
    byte. Anything else begins at 0.

    Raises:
        NotAHub: a web page, or compressed bytes.
        SizeMismatch: a file of another size.
        ConnectionCut: a part that is not the one asked for, or does not say which it is.
    """
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise NotAHub(
            f"{shown(wanted.path)} came compressed ({shown(encoding)}), though plain bytes were asked for",
            hint="something between you and the hub rewrites answers: check proxies and mirrors",
        )
    announced = headers.get("Content-Length", "")
    length = int(announced) if announced.isdecimal() and len(announced) < 19 else None
    if status == 206:
        return _part_span(headers, wanted, length)
    _check_not_a_page(headers, wanted, length)
    check_total(length, wanted)
    return 0, length


def _part_span(headers: Mapping[str, str], wanted: Wanted, length: int | None) -> tuple[int, int]:
    span, total = content_range(headers)
    if span is None:
        raise ConnectionCut(f"{shown(wanted.path)}: a part came (206) without saying which part", hint=AGAIN)
    check_total(total, wanted)
    first, last = span
    if not first <= wanted.start <= last < wanted.until:
        raise ConnectionCut(
            f"{shown(wanted.path)}: bytes {wanted.start:,}-{wanted.until - 1:,} were wanted, {first:,}-{last:,} came",
            hint=AGAIN,
        )
    if length not in {None, last + 1 - first}:
        raise ConnectionCut(
            f"{shown(wanted.path)}: {length:,} bytes came as {first:,}-{last:,}, which is another number", hint=AGAIN
        )
    return first, last + 1


def _check_not_a_page(headers: Mapping[str, str], wanted: Wanted, length: int | None) -> None:
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "text/html" and length != wanted.size and (length is not None or not _may_be_html(wanted.path)):
        raise NotAHub(
            f"a web page came instead of {shown(wanted.path)}",
            hint="a proxy's log-in page, or an endpoint that is not a hub: check proxies and the hub's endpoint",
        )


def _may_be_html(path: str) -> bool:
    """Whether a server that looks at first bytes may call the file a page: a README often begins with HTML."""
    return path.lower().endswith((".html", ".htm", ".md", ".txt", ".json")) or "." not in path.rpartition("/")[2]


def check_total(total: int | None, wanted: Wanted) -> None:
    """Raise SizeMismatch when an answer speaks of a file of another size; None is an answer that does not say."""
    if total is not None and total != wanted.size:
        raise SizeMismatch(
            f"{shown(wanted.path)}: the hub has {total:,} bytes, promised were {wanted.size:,}",
            hint=_CHANGED,
        )


def strong_etag(headers: Mapping[str, str]) -> str | None:
    """The ETag of an answer, in its quotes, when it names exactly these bytes; weak ones do not (RFC 9110 §8.8.1)."""
    etag = headers.get("ETag", "").strip()
    return etag if _STRONG.fullmatch(etag) else None


def check_unchanged(status: int, headers: Mapping[str, str], known: Validator | None, what: str) -> None:
    """Raise ObjectChanged when an answer, to a request with `If-Range` where it was for a part, is of another object.

    All of a file (200) with the same ETag comes from a server that ignores ranges. Without any ETag it does where the
    server never gave a part; where it did, it says that what we know is no longer so (RFC 9110 §13.1.5).
    """
    if known is None:
        return
    etag = strong_etag(headers)
    if etag != known.etag and (etag is not None or (status == 200 and known.ranged)):
        raise ObjectChanged(f"{what} was replaced while it was being fetched", hint=f"{AGAIN}, or {_MOVED}")


def check_linked_digest(headers: Mapping[str, str], wanted: Wanted) -> None:
    """Raise DigestMismatch when an answer names another sha256 than the promised one.

    Hugging Face does so in X-Linked-ETag before it redirects to a large file, ModelScope's store with the file.
    """
    linked = headers.get("X-Linked-ETag", "").strip().removeprefix("W/").strip('"').lower()
    if wanted.sha256 and is_sha256(linked) and linked != wanted.sha256:
        raise DigestMismatch(
            f"{shown(wanted.path)}: the hub has sha256 {linked}, promised was {wanted.sha256}",
            hint=_CHANGED,
        )


def content_range(headers: Mapping[str, str]) -> tuple[tuple[int, int] | None, int | None]:
    """First and last byte of a part, and the size of the whole; each None where the header does not tell it."""
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if match is None:
        return None, None
    first, last, total = match.groups()
    return (int(first), int(last)) if first else None, None if total == "*" else int(total)
