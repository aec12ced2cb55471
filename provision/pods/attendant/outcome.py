"""What came of the commands: an exit code, words for people, and one result document for the renter."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision import __version__
from provision.errors import ExitCode
from provision.pods.attendant.account import Ending
from provision.pods.status import RESULT_LINE, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provision.pods.attendant.duty import Errand
    from provision.pods.status import Status

GOES_ON = frozenset({ExitCode.DONE, ExitCode.BYTES, ExitCode.REFUSED, ExitCode.UNAVAILABLE})
"""After a fill that ended so, the volume is verified: most of it may stand."""

FINDINGS = 20
SAID = 40
"""Lines of what a command said last, among which its error is looked for."""

LOG_LIMIT = 1024 * 1024
"""Characters of a result that are printed; a larger one is had by HTTP or from the volume."""

_PART = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A command that has ended. `code` is negative for a signal, `document` what it printed, where that is one, and
    `said` its last words.
    """

    name: str
    code: int
    seconds: float
    document: Mapping[str, Any] | None
    said: Sequence[str]


def ending(*ran: Ran | None) -> Ending:
    """The first that went wrong decides."""
    bad = next((one for one in ran if one is not None and one.code), None)
    return Ending(exit_code=0) if bad is None else _ending(bad)


def _ending(ran: Ran) -> Ending:
    if ran.code < 0:
        return Ending(
            exit_code=ExitCode.POD,
            error=f"provision {ran.name} was killed in the pod by signal {-ran.code}",
            hint="run the same command again, it resumes; if it ends so again, take a machine with more memory",
        )
    told = _told(ran.document or {}, ran.code) or _said(ran.said) or (f"provision {ran.name} has failed", "")
    return Ending(exit_code=ran.code, error=told[0], hint=told[1])


def _told(document: Mapping[str, Any], code: int) -> tuple[str, str] | None:
    """What a report says about why it is not ok: fill's and verify's, or that there is none."""
    errors = [file["error"] for file in document.get("files", ()) if "error" in file]
    errors = [error for error in [document.get("error"), *errors] if error and error["exit_code"] == code]
    if errors:
        more = f" ({len(errors) - 1} more files)" if len(errors) > 1 else ""
        return f"{errors[0]['message']}{more}", errors[0]["hint"]
    counts = document.get("counts", {})
    wrong = sum(counts.values()) - counts.get("ok", 0)
    if wrong:
        return f"{wrong} of {sum(counts.values())} files are not as promised", "fill the volume again: it repairs"
    misfits = [found for found in document.get("misfits", ()) if found["grave"]]
    if misfits:
        return f"{misfits[0]['project']}/{misfits[0]['model']} does not fit together: {misfits[0]['detail']}", ""
    return None


def _said(lines: Sequence[str]) -> tuple[str, str] | None:
    last = {label: line[len(label) :] for line in lines for label in ("error: ", "hint: ") if line.startswith(label)}
    return (last["error: "], last.get("hint: ", "")) if "error: " in last else None


def findings(document: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """The first files of a verification that are not ok."""
    wrong = (file for file in (document or {}).get("files", ()) if file["state"] != "ok")
    return [
        {"target": file["target"], "state": file["state"], "detail": file["detail"] or ""}
        for file, _ in zip(wrong, range(FINDINGS), strict=False)
    ]


def result(  # noqa: PLR0913 - the parts of one document
    status: Status,
    errand: Errand | None,
    ended: Ending,
    *,
    fill: Ran | None = None,
    verify: Ran | None = None,
    reports: Mapping[str, str] | None = None,
) -> bytes:
    """The result document, as JSON. `errand` is None where it could not be read."""
    ran = {one.name: one for one in (fill, verify) if one is not None}
    document = {
        "schema": SCHEMA,
        "lease": status.lease,
        "task": errand.task.value if errand else None,
        "locks": dict(errand.digests) if errand else {},
        "exit_code": int(ended.exit_code),
        "error": ended.error,
        "hint": ended.hint,
        "began": status.began,
        "ended": status.now,
        "seconds": {name: round(one.seconds, 3) for name, one in ran.items()},
        "fill": fill.document if fill else None,
        "verify": verify.document if verify else None,
        "reports": dict(reports or {}),
        "version": __version__,
    }
    return json.dumps(document).encode()


def result_lines(document: bytes) -> list[str]:
    """`document` as lines of a log; none when it is too large for one."""
    packed = base64.b64encode(gzip.compress(document, mtime=0)).decode()
    if len(packed) > LOG_LIMIT:
        return []
    parts = [packed[at : at + _PART] for at in range(0, len(packed), _PART)]
    return [f"{RESULT_LINE}{number}/{len(parts)} {part}" for number, part in enumerate(parts, 1)]
