"""Proofs and reports of outcomes, written: what can be written is, and what cannot is told with all else."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.errors import InputError
from provision.names import shown
from provision.pods.proof import lock_sha256, of_project, proof_document, proof_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from provision.cli.pod.outcomes import Outcome, Telling
    from provision.lock import Lock
    from provision.pods.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The files that were written for a volume, why others were not to be, and why others could not be."""

    files: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    errors: tuple[InputError, ...] = ()


def written(telling: Telling, outcome: Outcome, *, is_one: bool) -> Written:
    """A proof for each project, beside its manifest, and the reports that were asked for."""
    result = outcome.result
    if result is None or result.verify is None:
        return Written()
    remarks = list(_remarks(telling, result))
    files, errors = [], []
    for path, text in [*_proofs(telling, outcome, result), *_reports(telling, outcome, result, is_one=is_one)]:
        try:
            _write(path, text)
        except InputError as error:
            errors.append(error)
        else:
            files.append(str(path))
    return Written(files=tuple(files), remarks=tuple(remarks), errors=tuple(errors))


def _remarks(telling: Telling, result: Result) -> Iterator[str]:
    """Why proofs are not written: they would be of more, or of something else, than what was looked at."""
    if (shard := _shard(result)) is not None:
        yield f"share {shown(shard)} of the files: no proof is written, it would be of all of them"
        return
    for lock in telling.what.locks:
        if lock.project not in result.locks:
            yield f"{lock.project}: the pod does not say which lock it worked from: no proof is written"
        elif not _is_of(result, lock):
            yield f"{lock.project}: the pod worked from another lock than the one here: no proof is written"


def _shard(result: Result) -> str | None:
    """The share of the files that was looked at; None for all of them."""
    shard = result.verify.get("shard") if result.verify is not None else None
    return None if shard is None else str(shard)


def _is_of(result: Result, lock: Lock) -> bool:
    return result.locks.get(lock.project) == lock_sha256(lock)


def _proofs(telling: Telling, outcome: Outcome, result: Result) -> Iterator[tuple[Path, str]]:
    if _shard(result) is not None:
        return
    for project, lock in zip(telling.what.projects, telling.what.locks, strict=True):
        if _is_of(result, lock):
            own = result if len(result.locks) == 1 else of_project(result, project.name)
            document = proof_document(telling.cloud.name, outcome.volume, [lock], own, outcome.bill)
            yield project.lock.with_name(proof_name(project.name, outcome.volume.id)), json_text(document)


def _reports(telling: Telling, outcome: Outcome, result: Result, *, is_one: bool) -> Iterator[tuple[Path, str]]:
    for name in telling.files:
        path = Path(name)
        if path.suffix in result.reports:
            own = path if is_one else path.with_name(f"{path.stem}.{outcome.volume.id}{path.suffix}")
            yield own, result.reports[path.suffix]


def json_text(document: Mapping[str, Any]) -> str:
    """As all our documents on disk."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _write(path: Path, text: str) -> None:
    """The file, whole or not at all. Raises InputError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
