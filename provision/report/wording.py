"""The words that all reports of a verification share: what is wrong with a file, and how it ended. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from provision.names import shown
from provision.verification.findings import Mode, State

if TYPE_CHECKING:
    from provision.report.tally import Tally
    from provision.verification.findings import Finding, ModelMisfit, Verification

_READING = {
    Mode.FULL: "full verification: every byte was read",
    Mode.QUICK: "quick verification: sizes, headers and receipts; no weights were read",
    Mode.SAMPLE: "sample verification: some pieces, taken at random, were read",
}
MEANING = {
    State.OK: "as promised",
    State.MISSING: "nothing stands there",
    State.SIZE: "another length",
    State.DIGEST: "the right length, other bytes",
    State.HEADER: "a damaged or another safetensors header",
    State.UNREADABLE: "could not be read",
    State.UNEXPECTED: "nobody promised it",
    State.UNPROVEN: "looks right, but nothing vouches for it",
}

_FILES_IN = {
    State.OK: "as promised",
    State.MISSING: "missing",
    State.SIZE: "of another length",
    State.DIGEST: "with other bytes",
    State.HEADER: "with a wrong header",
    State.UNREADABLE: "that cannot be read",
    State.UNEXPECTED: "that nobody promised",
    State.UNPROVEN: "unproven",
}

NOBODY = "nobody"
"""Whose a file is that no lock promises."""

_UNREAD_STATES = frozenset({State.MISSING, State.SIZE, State.UNREADABLE})
_UNREAD_NOTES = frozenset({"max-age", "resumed"})
_HASH = re.compile(r"[0-9a-f]{64}")
_RANGES = 4


def reading_text(verification: Verification) -> str:
    """What was done, as a phrase after the volume's name. It does not claim to have read what was passed over."""
    share = "" if verification.shard is None else f"share {verification.shard} of the files, "
    if verification.mode is Mode.FULL and _is_partly(verification):
        return f"{share}full verification: not every byte was read, see below"
    return share + _READING[verification.mode]


def _is_partly(verification: Verification) -> bool:
    notes = any(note.kind in _UNREAD_NOTES for note in verification.notes)
    return bool(verification.unread) or notes or any(f.state in _UNREAD_STATES for f in verification.findings)


def states_text(tally: Tally) -> str:
    """What there is to say against a model: `1 missing, 2 not looked at`; `ok` where there is nothing."""
    told = [f"{count:,} {state}" for state, count in tally.states.items() if state is not State.OK]
    told += [counted(tally.misfits, "misfit")] if tally.misfits else []
    told += [f"{tally.unread:,} not looked at"] if tally.unread else []
    return ", ".join(told) or "ok"


def files_in(state: State, count: int) -> str:
    """So many files in `state`: `1 file missing`, `3 files with other bytes`."""
    return f"{counted(count, 'file')} {_FILES_IN[state]}"


def misfit_advice(found: ModelMisfit) -> str:
    """What to do about a model whose files do not fit together."""
    project = shown(found.project)
    allowing = ", or set `allow_incomplete: true` there" if found.misfit.grave else ""
    return f"compare the manifest of {project} with the repository{allowing}, then provision lock {project}"


def owner(project: str, model: str) -> str:
    """Whose a file is: `PROJECT/MODEL`, or nobody's."""
    return "/".join(shown(name) for name in (project, model) if name) or NOBODY


def wrong_parts(finding: Finding, ranges: int = _RANGES) -> list[str]:
    """What is wrong with a file, beyond its state: promised and found, the phrase, the damaged bytes. May be none.

    At most `ranges` damaged ranges are named; the phrase of a finding that has some says the same in short.
    """
    parts = (_told(finding), damage_text(finding, ranges) or shown(finding.detail, 400))
    return [part for part in parts if part]


def _told(finding: Finding) -> str:
    if finding.expected is None or finding.state is State.UNPROVEN:
        return ""
    found = "" if finding.actual is None else f", found {_value(finding.actual)}"
    return f"promised {_value(finding.expected)}{found}"


def _value(value: str | int) -> str:
    """A length in bytes, or the beginning of a sha256."""
    if isinstance(value, int):
        return counted(value, "byte")
    return f"{value[:12]}…" if _HASH.fullmatch(value) else shown(value, 80)


def damage_text(finding: Finding, ranges: int = _RANGES) -> str:
    """Which bytes are known to differ: `bytes 0-16777215 of 33554432 are damaged`; first and last are of them."""
    named = [f"{first}-{end - 1}" for first, end in finding.damaged[:ranges]]
    if not named:
        return ""
    rest = len(finding.damaged) - len(named)
    more = f" and {counted(rest, 'more range')}" if rest else ""
    return f"bytes {', '.join(named)}{more} of {finding.size} are damaged"


def counted(count: int, thing: str) -> str:
    """`1 file`, `2 files`, `10,000 files`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def verdict(verification: Verification) -> str:
    """How it ended, as one line: `3 of 14 files are not as promised`."""
    return "; ".join(verdict_parts(verification))


def verdict_parts(verification: Verification) -> list[str]:
    """The verdict on the files, then what else there is to say."""
    return [part for part in (_files_verdict(verification), *_afterthoughts(verification)) if part]


def _files_verdict(verification: Verification) -> str:
    promised = [finding for finding in verification.findings if finding.state is not State.UNEXPECTED]
    total = len(promised) + verification.unread
    bad = sum(finding.state is not State.OK for finding in promised)
    if total == 0:
        return "no files were promised" if verification.shard is None else "this share has no files"
    if bad:
        return f"{bad:,} of {counted(total, 'file')} {'is' if bad == 1 else 'are'} not as promised"
    if verification.unread:
        return f"{len(promised):,} of {counted(total, 'file')} {'is' if len(promised) == 1 else 'are'} as promised"
    return "the one file is as promised" if total == 1 else f"all {counted(total, 'file')} as promised"


def _afterthoughts(verification: Verification) -> list[str]:
    misfits = {(found.project, found.model) for found in verification.misfits if found.misfit.grave}
    unread, unexpected = verification.unread, verification.counts[State.UNEXPECTED]
    return [
        f"{counted(len(misfits), 'model')} {'does' if len(misfits) == 1 else 'do'} not fit together" if misfits else "",
        files_in(State.UNEXPECTED, unexpected) if unexpected else "",
        f"{counted(unread, 'file')} {'was' if unread == 1 else 'were'} not looked at" if unread else "",
    ]
