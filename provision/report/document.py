"""The JSON documents of `--format json`. Their fields are a contract: `schema` rises when one changes its meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.difference import Difference
    from provision.errors import ProvisionError
    from provision.lock import Mirror
    from provision.plan import Plan
    from provision.transfer.outcome import Filling, Outcome
    from provision.verification import Verification
    from provision.verification.findings import ModelMisfit

SCHEMA = 1


def error_document(error: ProvisionError) -> dict[str, Any]:
    """A run that ended before it had a report."""
    return {"schema": SCHEMA, "ok": False, "error": _error(error)}


def verification_document(verification: Verification) -> dict[str, Any]:
    """Verify's report."""
    return {
        "schema": SCHEMA,
        "ok": verification.ok,
        "volume": verification.volume,
        "mode": verification.mode.value,
        "counts": verification.counts,
        "files": [
            {
                "project": finding.project,
                "model": finding.model,
                "target": finding.target,
                "state": finding.state.value,
                "expected": finding.expected,
                "actual": finding.actual,
                "detail": finding.detail,
                "size": finding.size,
                "damaged": [list(span) for span in finding.damaged],
            }
            for finding in verification.findings
        ],
        "misfits": [_misfit(found) for found in verification.misfits],
        "notes": [{"kind": note.kind, "text": note.text} for note in verification.notes],
        "unread": verification.unread,
        "shard": None if verification.shard is None else str(verification.shard),
    }


def _misfit(found: ModelMisfit) -> dict[str, Any]:
    return {
        "project": found.project,
        "model": found.model,
        "rule": found.misfit.rule.value,
        "path": found.misfit.path,
        "detail": found.misfit.detail,
        "grave": found.misfit.grave,
    }


def filling_document(filling: Filling, volume: str, misfits: Sequence[ModelMisfit] = ()) -> dict[str, Any]:
    """Fill's report; `misfits`: of the models that it fetched something for."""
    return {
        "schema": SCHEMA,
        "ok": filling.ok and not any(found.misfit.grave for found in misfits),
        "volume": volume,
        "fetched_bytes": filling.fetched,
        "reused_bytes": filling.reused,
        "served_bytes": dict(filling.served),
        "files": [_outcome(outcome) for outcome in filling.outcomes],
        "misfits": [_misfit(found) for found in misfits],
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    step = outcome.step
    document: dict[str, Any] = {
        "project": step.project,
        "model": step.model.name,
        "target": step.file.target,
        "action": outcome.done.value,
        "size": step.file.size,
        "sha256": step.file.sha256,
        "fetched_bytes": outcome.fetched,
        "reused_bytes": outcome.reused,
        "served_bytes": dict(outcome.served),
    }
    if outcome.dropped:
        document["dropped"] = dict(outcome.dropped)
    return document if outcome.error is None else document | {"error": _error(outcome.error)}


def plan_document(plan: Plan, volume: str) -> dict[str, Any]:
    """The report of `fill --dry-run`."""
    return {
        "schema": SCHEMA,
        "ok": True,
        "volume": volume,
        "fetch_bytes": plan.missing,
        "files": [
            {
                "project": step.project,
                "model": step.model.name,
                "target": step.file.target,
                "action": step.action.value,
                "size": step.file.size,
                "fetch_bytes": step.missing,
            }
            for step in plan.steps
        ],
    }


def difference_document(
    project: str, change: Difference, misfits: Sequence[ModelMisfit] = (), *, stale: bool
) -> dict[str, Any]:
    """One project of lock's report. `stale`: the lock on disk is not the one that belongs to its manifest. `misfits`:
    of the models that were resolved anew.
    """
    return {
        "project": project,
        "stale": stale,
        "new_bytes": change.new_bytes,
        "pins": [
            {"model": pin.model, "source": pin.source, "before": pin.before, "after": pin.after} for pin in change.pins
        ],
        "mirrors": [
            {"model": moved.model, "before": _mirrors(moved.before), "after": _mirrors(moved.after)}
            for moved in change.mirrors
        ],
        "files": [
            {
                "model": file.model,
                "target": file.target,
                "change": file.change.value,
                "before": None if file.before is None else {"size": file.before.size, "sha256": file.before.sha256},
                "after": None if file.after is None else {"size": file.after.size, "sha256": file.after.sha256},
            }
            for file in change.files
        ],
        "misfits": [_misfit(found) for found in misfits],
    }


def _mirrors(mirrors: Sequence[Mirror]) -> list[dict[str, Any]]:
    return [{"source": mirror.source, "pin": mirror.commit or mirror.revision or None} for mirror in mirrors]


def _error(error: ProvisionError) -> dict[str, Any]:
    return {
        "kind": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "exit_code": int(error.exit_code),
    }
