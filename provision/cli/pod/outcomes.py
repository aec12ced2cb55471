"""Outcomes: what came of errands, told by volume: a table, what is wrong, where volumes differ, proofs and the bill."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from itertools import filterfalse
from typing import TYPE_CHECKING, Any

from provision.cli import clouds, console, options
from provision.cli.pod.proofs import Written, written
from provision.cli.tables import table_lines
from provision.errors import ExitCode, PodError, PodNotReturned, ProvisionError, without_secrets
from provision.names import shown
from provision.pods.bill import Bill, bill_document, bill_lines, money
from provision.pods.carrying import Ending
from provision.pods.result import decisive, drift, merged
from provision.progress import duration_text, size_text
from provision.report.document import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from provision.cli.pod.errands import Prepared, Wanted
    from provision.pods.cloud import Cloud, NetworkVolume, Pod
    from provision.pods.result import Drift, Result

NAMED = 20
"""Files that are named of one volume; the proof has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """Where and how outcomes are told: `files` are the reports that were asked for, `output` the form on stdout."""

    cloud: Cloud
    what: Wanted
    output: str
    files: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one volume: the `result` of all its pods together, None where not all of them brought one."""

    volume: NetworkVolume
    result: Result | None
    errors: tuple[ProvisionError, ...]
    bill: Bill
    left: tuple[Pod, ...]

    @property
    def exit_code(self) -> int:
        """What a person must act on first: a pod that may still be billing before all else."""
        codes = [int(error.exit_code) for error in self.errors]
        if self.result is not None:
            codes.append(self.result.exit_code)
        return decisive(codes)


def outcomes(prepared: Sequence[Prepared], endings: Sequence[Ending | ProvisionError]) -> list[Outcome]:
    """One for each volume, in the order in which they were named."""
    by_volume: dict[str, list[tuple[Prepared, Ending | ProvisionError]]] = {}
    for one, ending in zip(prepared, endings, strict=True):
        by_volume.setdefault(one.volume.id, []).append((one, ending))
    return [outcome(pairs[0][0].volume, [ending for _, ending in pairs]) for pairs in by_volume.values()]


def outcome(volume: NetworkVolume, all_endings: Sequence[Ending | ProvisionError]) -> Outcome:
    """What all pods of one volume have come to."""
    endings = [ending for ending in all_endings if isinstance(ending, Ending)]
    results = [ending.result for ending in endings if ending.result is not None]
    failed = [ending for ending in all_endings if isinstance(ending, ProvisionError)]
    is_whole = len(results) == len(all_endings)
    return Outcome(
        volume=volume,
        result=(results[0] if len(results) == 1 else merged(results)) if is_whole else None,
        errors=(*failed, *(ending.error for ending in endings if ending.error is not None)),
        bill=sum((ending.bill for ending in endings), Bill()),
        left=tuple(ending.left for ending in endings if ending.left is not None),
    )


def tell(telling: Telling, found: Sequence[Outcome]) -> int:
    """Write the proofs and reports, tell what came of it, and say how the process exits."""
    proofs = {one.volume.id: written(telling, one, is_one=len(found) == 1) for one in found}
    found = [replace(one, errors=(*one.errors, *proofs[one.volume.id].errors)) for one in found]
    apart, code = _drift(found), _code(found)
    if telling.output == "json":
        options.show([], _document(telling.cloud, found, proofs, code), "json")
    else:
        for line in _lines(found, proofs, apart):
            console.out(line)
        _tell_errors(telling, found)
    for error in filter(_is_fault, [error for one in found for error in one.errors]):
        console.confess(error.__cause__ or error)
    return code


def _is_fault(error: ProvisionError) -> bool:
    """Of ours."""
    return error.exit_code == ExitCode.FAULT


def _code(found: Sequence[Outcome]) -> int:
    codes = [outcome.exit_code for outcome in found]
    return decisive(codes)


def _drift(found: Sequence[Outcome]) -> list[Drift]:
    """Where the volumes differ; only of those that were all looked at."""
    verified = {
        outcome.volume.id: outcome.result.verify
        for outcome in found
        if outcome.result is not None and outcome.result.verify is not None
    }
    return drift(verified) if len(verified) > 1 else []


def _lines(found: Sequence[Outcome], proofs: Mapping[str, Written], apart: Sequence[Drift]) -> Iterator[str]:
    yield from table_lines([_row(outcome) for outcome in found], {"files ok", "fetched", "there", "time", "cost"})
    for outcome in found:
        yield from _wrong(outcome)
        for pod in outcome.left:
            yield f"pod {shown(pod.id)} goes on alone, and gives itself back when it is done"
        yield from proofs[outcome.volume.id].remarks
        yield from (f"written: {path}" for path in proofs[outcome.volume.id].files)
    yield from _drift_lines(apart)
    bill = sum((outcome.bill for outcome in found), Bill())
    yield from bill_lines(bill)
    is_returned = not any(isinstance(error, PodNotReturned) for outcome in found for error in outcome.errors)
    if bill.uses and is_returned and not any(outcome.left for outcome in found):
        yield "given back" if len(bill.uses) == 1 else "all given back"


def _row(outcome: Outcome) -> dict[str, str]:
    result, bill = outcome.result, outcome.bill
    counts = result.counts if result is not None else {}
    fill = result.fill if result is not None else None
    return {
        "volume": shown(outcome.volume.id),
        "data center": shown(outcome.volume.datacenter),
        "machine": ", ".join(dict.fromkeys(shown(use.machine) for use in bill.uses)) or "-",
        "files ok": f"{counts.get('ok', 0)} of {sum(counts.values())}" if counts else "-",
        "fetched": size_text(fill["fetched_bytes"]) if fill and "fetched_bytes" in fill else "-",
        "there": size_text(fill["reused_bytes"]) if fill and "reused_bytes" in fill else "-",
        "time": duration_text(max((use.seconds for use in bill.uses), default=0.0)),
        "cost": money(bill.cost),
        "outcome": _end(outcome),
    }


def _end(outcome: Outcome) -> str:
    if outcome.left:
        return "at work"
    code = outcome.exit_code
    if code == 0:
        return "as promised"
    return ExitCode(code).meaning if code in set(ExitCode) else f"exit {code}"


def _wrong(outcome: Outcome) -> Iterator[str]:
    verify = outcome.result.verify if outcome.result is not None else None
    bad = [file for file in (verify or {}).get("files", ()) if file["state"] != "ok"]
    for file in bad[:NAMED]:
        yield f"  {file['state']:<10} {shown(file['target'])}  on {shown(outcome.volume.id)}"
    if len(bad) > NAMED:
        yield f"  and {len(bad) - NAMED:,} more on {shown(outcome.volume.id)}"


def _drift_lines(apart: Sequence[Drift]) -> Iterator[str]:
    if apart:
        yield f"the volumes differ in {len(apart):,} file{'s' if len(apart) > 1 else ''}:"
    for one in apart[:NAMED]:
        said = ", ".join(f"{shown(volume)} {shown(state, 24)}" for volume, state in one.found)
        yield f"  {shown(one.target)}: {said}"
    if len(apart) > NAMED:
        yield f"  and {len(apart) - NAMED:,} more"


def _tell_errors(telling: Telling, found: Sequence[Outcome]) -> None:
    for outcome in found:
        errors: list[ProvisionError] = list(outcome.errors)
        result = outcome.result
        if result is not None and result.exit_code and (result.error or not errors):
            hint = _cure(telling, outcome) or result.hint
            errors.append(PodError(result.error or "the job has failed in the pod", hint=hint))
        for error in filterfalse(_is_fault, errors):
            where = f"{shown(outcome.volume.id)}: " if len(found) > 1 else ""
            console.show_error(ProvisionError(f"{where}{error.message}", hint=error.hint))
    if any(outcome.left for outcome in found):
        console.say(f"provision pod ls{clouds.flag(telling.cloud)} shows what is rented")


def _cure(telling: Telling, outcome: Outcome) -> str:
    """The command that repairs what is not as promised."""
    if outcome.result is None or outcome.result.exit_code != ExitCode.BYTES:
        return ""
    projects = " ".join(shlex.quote(project.name) for project in telling.what.projects)
    where = f"--volume-id {shlex.quote(outcome.volume.id)}{clouds.flag(telling.cloud)}"
    return f"provision pod fill {projects} {where}: it repairs"


def _document(cloud: Cloud, found: Sequence[Outcome], proofs: Mapping[str, Written], code: int) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "ok": code == 0,
        "exit_code": code,
        "cloud": cloud.name,
        "volumes": [_volume_document(outcome, proofs[outcome.volume.id]) for outcome in found],
        "drift": [{"project": one.project, "target": one.target, "found": dict(one.found)} for one in _drift(found)],
    }


def _volume_document(outcome: Outcome, proofs: Written) -> dict[str, Any]:
    volume, result = outcome.volume, outcome.result
    return {
        "volume": {"id": volume.id, "name": volume.name, "size_gb": volume.size, "datacenter": volume.datacenter},
        "exit_code": outcome.exit_code,
        "errors": [
            {
                "kind": type(error).__name__,
                "message": without_secrets(error.message),
                "hint": without_secrets(error.hint),
            }
            for error in outcome.errors
        ],
        "error": result.error if result is not None else "",
        "hint": result.hint if result is not None else "",
        "fill": result.fill if result is not None else None,
        "verify": result.verify if result is not None else None,
        "bill": bill_document(outcome.bill),
        "left": [pod.id for pod in outcome.left],
        "written": list(proofs.files),
        "remarks": list(proofs.remarks),
    }
