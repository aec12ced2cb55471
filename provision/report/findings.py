"""Text for people about findings: one line per file that is not ok, with what to run next, and the sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.names import shown
from provision.progress import size_text
from provision.verification.findings import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from provision.verification.findings import Finding, Verification

_COLOURS = {"good": "32", "bad": "31", "faint": "2"}
_ADVICE = {
    State.MISSING: "provision fill {project}",
    State.SIZE: "provision fill {project}",
    State.DIGEST: "provision fill {project}",
    State.HEADER: "provision fill {project}",
    State.UNPROVEN: "provision verify --full {project}",
    State.UNREADABLE: "look at the volume, then provision verify --full {project}",
    State.UNEXPECTED: "remove it, or add it to a manifest",
}


class Paint:
    """Colours, where the reader is a terminal."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled

    def __call__(self, text: str, colour: str) -> str:
        """`text` in one of `good`, `bad`, `faint`."""
        return f"\033[{_COLOURS[colour]}m{text}\033[0m" if self._enabled else text


def verification_lines(verification: Verification, paint: Paint, where: str = "") -> list[str]:
    """One line for each finding that is not ok, with what to run next; then a line per project.

    `where` is what the proposed commands need besides, such as ` --volume DIR`.
    """
    lines = [_finding_line(finding, paint, where) for finding in verification.findings if finding.state is not State.OK]
    for project in dict.fromkeys(finding.project for finding in verification.findings):
        lines += _project_lines(project, [f for f in verification.findings if f.project == project], paint)
    return lines


def _finding_line(finding: Finding, paint: Paint, where: str) -> str:
    told = f": {shown(finding.detail, 400)}" if finding.detail else _told(finding)
    advice = _ADVICE[finding.state].format(project=finding.project + where)
    return f"{paint(f'{finding.state.value:<10}', 'bad')} {finding.target}{told}  {paint(f'-> {advice}', 'faint')}"


def _told(finding: Finding) -> str:
    if finding.expected is None:
        return ""
    expected, actual = (f"{v:,} bytes" if isinstance(v, int) else str(v) for v in (finding.expected, finding.actual))
    return f": promised {expected}, found {actual}"


def _project_lines(project: str, findings: Sequence[Finding], paint: Paint) -> Iterable[str]:
    good = [finding for finding in findings if finding.state is State.OK]
    models = len({finding.model for finding in findings})
    count = f"{len(good)} of {len(findings)} files ok"
    verdict = paint(count, "good" if len(good) == len(findings) else "bad")
    size = size_text(sum(finding.size for finding in findings))
    yield f"{project}: {verdict}, {models} model{'s' if models != 1 else ''}, {size}"
