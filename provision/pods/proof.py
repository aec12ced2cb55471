"""Proofs: what a pod has proven about a volume, as one document beside the manifest; written, named and read back."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from provision.lock import dumps
from provision.pods.bill import Bill, Moved, bill_document
from provision.pods.status import LARGEST
from provision.pods.ways import RESULT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from provision.lock import Lock
    from provision.pods.cloud import NetworkVolume
    from provision.pods.result import Result

SCHEMA = 1
SUFFIX = ".proof.json"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def lock_sha256(lock: Lock) -> str:
    """The lock's identity: of its one canonical text."""
    return hashlib.sha256(dumps(lock).encode()).hexdigest()


def proof_name(project: str, volume_id: str) -> str:
    """The file that holds the proof of `project` on that volume: a plain name, whatever the volume's id is.

    An id that is a path becomes its last part and eight digits of its sha256.
    """
    if not _PLAIN.fullmatch(volume_id):
        last = re.sub(r"[^A-Za-z0-9_-]+", "-", volume_id.rstrip("/").rpartition("/")[2]).strip("-")[:40]
        volume_id = f"{last or 'volume'}-{hashlib.sha256(volume_id.encode(errors='surrogatepass')).hexdigest()[:8]}"
    return f"{project}.{volume_id}{SUFFIX}"


def proof_document(
    cloud: str, volume: NetworkVolume, locks: Sequence[Lock], result: Result, bill: Bill
) -> dict[str, Any]:
    """The proof: which locks, on which volume, with what outcome, and what it has cost."""
    return {
        "schema": SCHEMA,
        "cloud": cloud,
        "volume": {"id": volume.id, "name": volume.name, "size": volume.size, "datacenter": volume.datacenter},
        "locks": {lock.project: lock_sha256(lock) for lock in locks},
        "lease": result.lease,
        "task": result.task.value,
        "exit_code": result.exit_code,
        "error": result.error,
        "hint": result.hint,
        "began": result.began,
        "ended": result.ended,
        "seconds": {
            name: seconds
            for name, seconds in (("fill", result.fill_seconds), ("verify", result.verify_seconds))
            if seconds is not None
        },
        "fill": result.fill,
        "verify": result.verify,
        "bill": bill_document(bill),
        "version": result.version,
    }


def of_project(result: Result, project: str) -> Result:
    """The part of `result` that is about one of its projects. Its exit code is that of the whole."""
    return replace(result, fill=_fill_of(result.fill, project), verify=_verify_of(result.verify, project))


def _fill_of(document: Mapping[str, Any] | None, project: str) -> dict[str, Any] | None:
    if document is None:
        return None
    own = _own(document, project)
    return own | {
        "ok": not any(file.get("error") for file in own["files"]) and not _is_unfit(own) and not own.get("lacking"),
        "fetched_bytes": sum(file.get("fetched_bytes") or 0 for file in own["files"]),
        "reused_bytes": sum(file.get("reused_bytes") or 0 for file in own["files"]),
    }


def _verify_of(document: Mapping[str, Any] | None, project: str) -> dict[str, Any] | None:
    if document is None:
        return None
    own = _own(document, project)
    counts = Counter(str(file["state"]) for file in own["files"])
    is_ok = set(counts) == {"ok"} and not _is_unfit(own) and not own.get("lacking")
    return own | {"ok": is_ok, "counts": dict(counts)}


def _own(document: Mapping[str, Any], project: str) -> dict[str, Any]:
    parts = {name: [one for one in document.get(name) or [] if _is_of(one, project)] for name in ("files", "misfits")}
    return {**document, **parts}


def _is_of(item: Any, project: str) -> bool:
    return isinstance(item, dict) and item.get("project") == project


def _is_unfit(document: Mapping[str, Any]) -> bool:
    return any(misfit.get("grave") for misfit in document["misfits"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A proof that was written before. `ended` is time of day in seconds; `locks` has the sha256 of each lock."""

    path: str
    volume_id: str
    datacenter: str
    locks: Mapping[str, str]
    exit_code: int
    ended: float
    moved: Moved
    verify: Mapping[str, Any] | None


def proofs_in(folder: Path) -> list[Proof]:
    """The proofs in `folder`, the newest first. What is no proof, or of a release not understood here, is passed over:
    they only tell of the past.
    """
    proofs = [_read(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    return sorted((proof for proof in proofs if proof is not None), key=lambda proof: -proof.ended)


def _read(path: Path) -> Proof | None:
    try:
        with path.open("rb") as stream:
            document = json.loads(stream.read(RESULT_LIMIT + 1))
        return _proof(str(path), document) if document["schema"] == SCHEMA else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None


def _proof(path: str, document: Mapping[str, Any]) -> Proof:
    fill, verify, seconds = document.get("fill"), document.get("verify"), document.get("seconds") or {}
    volume = document["volume"]
    return Proof(
        path=path,
        volume_id=str(volume["id"]),
        datacenter=str(volume.get("datacenter", "")),
        locks={str(project): str(digest) for project, digest in document["locks"].items()},
        exit_code=_whole(document["exit_code"]),
        ended=_number(document["ended"]),
        moved=Moved(
            fetched=_whole((fill or {}).get("fetched_bytes") or 0),
            fetch_seconds=_number(seconds.get("fill", 0.0)),
            verified=_read_bytes(verify),
            verify_seconds=_number(seconds.get("verify", 0.0)),
        ),
        verify=verify,
    )


def _read_bytes(verify: Mapping[str, Any] | None) -> int:
    """Bytes that a full verification has read: of files that have their length."""
    if verify is None or verify.get("mode") != "full":
        return 0
    return sum(_whole(file.get("size") or 0) for file in verify["files"] if file["state"] in {"ok", "digest", "header"})


def _whole(value: Any) -> int:
    return int(_bounded(value))


def _number(value: Any) -> float:
    return float(_bounded(value))


def _bounded(value: Any) -> Any:
    """Raises ValueError where it is more than anything can be."""
    if not 0 <= value <= LARGEST:
        raise ValueError
    return value
