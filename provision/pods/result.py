"""The result of a pod's job, read as what it is: a document from outside. Pure; no I/O.

All of it was written in the pod: names, counts and words are checked, and made fit to print, before they are believed.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from provision.errors import SEVERITY, ExitCode, PodError
from provision.names import STATE_FOLDER, shown
from provision.pods.job import Task
from provision.pods.status import LARGEST
from provision.pods.ways import RESULT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from provision.pods.status import Status

SCHEMA = 1
FILES = 1_000_000
_REMARKS = 10_000
_DEPTH = 12
_ITEMS = 2_000_000
_WORDS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a job. `fill` and `verify` are those commands' own documents (`--format json`), None where they did
    not come to one. Times are times of day in seconds, by the pod's clock; `reports` is by ending. `counted`: how many
    files are in which state, where `verify` is not there to say so. `locks`: the sha256 of the text of each lock it
    worked from, by project; {} where it does not say.
    """

    lease: str
    task: Task
    exit_code: int
    error: str = ""
    hint: str = ""
    began: float = 0.0
    ended: float = 0.0
    fill_seconds: float | None = None
    verify_seconds: float | None = None
    fill: Mapping[str, Any] | None = None
    verify: Mapping[str, Any] | None = None
    reports: Mapping[str, str] = field(default_factory=dict)
    counted: Mapping[str, int] = field(default_factory=dict)
    version: str = ""
    locks: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the volume holds what was promised, as far as this job was to see."""
        return self.exit_code == ExitCode.DONE

    @property
    def counts(self) -> dict[str, int]:
        """How many files the verification found in which state."""
        if self.verify is None:
            return dict(self.counted)
        return dict(Counter(file["state"] for file in self.verify["files"]))


def read_result(text: bytes, task: Task) -> Result:
    """The result that `text` tells; `task` is what the job was for, where it does not say so itself.

    Raises:
        PodError: it is none, or of a release whose results are not understood here.
    """
    try:
        document: Any = json.loads(text) if len(text) <= RESULT_LIMIT else None
        if document["schema"] != SCHEMA:
            raise KeyError("schema")  # noqa: TRY301 - told as all else below
        return _result(document, task)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, AttributeError, IndexError):
        raise PodError(
            "the result that the pod sends is not understood here",
            hint="the pod's release and this one must be the same: see PROVISION_PACKAGE",
        ) from None


def result_of(status: Status, task: Task) -> Result:
    """What is known of a job that has ended and whose result cannot be had."""
    code = status.exit_code
    return Result(
        lease=status.lease,
        task=task,
        exit_code=int(ExitCode.POD) if code is None else code,
        error=status.error or ("" if code == 0 else "the job has failed"),
        hint=status.hint,
        began=status.began,
        ended=status.now,
        counted=dict(status.counts),
    )


def believed(result: Result, promised: Collection[str] = ()) -> Result:
    """`result`; one that has failed where it says that all is well, and does not prove it of every target `promised`.

    Where it is not known here what was promised, it has to prove something, or to be about a shard.
    """
    why = _doubt(result, promised) if result.ok else ""
    if not why:
        return result
    return replace(
        result,
        exit_code=int(ExitCode.POD),
        error=f"the pod says that all is as promised, and {why}",
        hint="the next run costs little: provision pod verify; or look on the volume: "
        f"{STATE_FOLDER}/jobs/{shown(result.lease)}.result.json",
        verify=None if result.verify is None else {**result.verify, "ok": False},
    )


def _doubt(result: Result, promised: Collection[str]) -> str:
    """What is wrong with its proof, as a phrase; "" for nothing."""
    verify = result.verify
    if verify is None:
        return "its proof could not be brought back"
    if verify.get("ok") is not True or set(result.counts) - {"ok"}:
        return "its own proof says that it is not"
    found = {file["target"] for file in verify["files"]}
    missing = {_text(target) for target in promised} - found
    if missing:
        return f"its proof lacks {len(missing):,} of {len(promised):,} files, {shown(min(missing))} for one"
    return "" if found or promised or verify.get("shard") else "its proof is empty"


def _result(document: Mapping[str, Any], task: Task) -> Result:
    seconds = document.get("seconds") or {}
    code = document["exit_code"]
    if not isinstance(code, int) or isinstance(code, bool) or not 0 <= code <= 255:
        raise TypeError
    told = document.get("task")
    return Result(
        lease=_text(document["lease"]),
        task=task if told is None else Task(told),
        exit_code=code,
        error=_text(document.get("error") or ""),
        hint=_text(document.get("hint") or ""),
        began=_number(document.get("began", 0.0)),
        ended=_number(document.get("ended", 0.0)),
        fill_seconds=_number(seconds["fill"]) if "fill" in seconds else None,
        verify_seconds=_number(seconds["verify"]) if "verify" in seconds else None,
        fill=_report(document.get("fill"), "action"),
        verify=_report(document.get("verify"), "state"),
        reports=_reports(document.get("reports") or {}),
        version=_text(document.get("version") or ""),
        locks={_text(project): _text(digest) for project, digest in (document.get("locks") or {}).items()},
    )


def _report(document: Any, told: str) -> dict[str, Any] | None:
    """A command's own document, of which every file says `told`. One that ended before its report has no files."""
    if document is None:
        return None
    clean = _clean(document, depth=0, left=[_ITEMS])
    if not isinstance(clean, dict):
        raise TypeError
    files = clean.setdefault("files", [])
    if not isinstance(files, list) or len(files) > FILES:
        raise TypeError
    for file in files:
        if not isinstance(file["target"], str) or not isinstance(file[told], str):
            raise TypeError
    _check_counts([clean.get(name, 0) for name in ("fetched_bytes", "reused_bytes", "unread")])
    _check_counts([*clean.get("served_bytes", {}).values(), *(file.get("size", 0) for file in files)])
    if any(len(clean.get(name, [])) > _REMARKS for name in ("misfits", "notes")):
        raise TypeError
    return clean


def _check_counts(values: Iterable[object]) -> None:
    if not all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values):
        raise TypeError


def _clean(value: Any, depth: int, left: list[int]) -> Any:
    """`value` with all text fit to print. Raises TypeError where it is too deep, too much, or no JSON."""
    left[0] -= 1
    if depth > _DEPTH or left[0] < 0:
        raise TypeError
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_clean(item, depth + 1, left) for item in value]
    if isinstance(value, dict):
        return {_text(key): _clean(item, depth + 1, left) for key, item in value.items()}
    if isinstance(value, int | float) and not (math.isfinite(value) and abs(value) <= LARGEST):
        raise TypeError
    return value


def _reports(reports: Mapping[str, Any]) -> dict[str, str]:
    if not all(isinstance(ending, str) and isinstance(text, str) for ending, text in reports.items()):
        raise TypeError
    return {ending: text for ending, text in reports.items() if ending.startswith(".") and ending[1:].isalnum()}


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        raise TypeError
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value if value.isprintable() and len(value) <= _WORDS else shown(value, _WORDS)


def decisive(codes: Iterable[int]) -> int:
    """The exit code of several jobs together; one that is not known here comes before all."""
    return min(codes, key=lambda code: SEVERITY.index(ExitCode(code)) if code in SEVERITY else -1, default=0)


def merged(results: Sequence[Result]) -> Result:
    """The results of all shards of one fill as one: all files, counts and bytes added up, the gravest exit code."""
    code = decisive(result.exit_code for result in results)
    grave = next(result for result in results if result.exit_code == code)
    return replace(
        grave,
        began=min(result.began for result in results),
        ended=max(result.ended for result in results),
        fill_seconds=_longest(result.fill_seconds for result in results),
        verify_seconds=_longest(result.verify_seconds for result in results),
        fill=_merged([result.fill for result in results], _merged_fill),
        verify=_merged([result.verify for result in results], _merged_verify),
        reports={},  # each is about a shard
        counted=sum((Counter(result.counted) for result in results), Counter[str]()),
    )


def _longest(seconds: Iterable[float | None]) -> float | None:
    return max((told for told in seconds if told is not None), default=None)


def _merged(
    documents: Sequence[Mapping[str, Any] | None], merge: Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]]
) -> dict[str, Any] | None:
    """None where there is none; `lacking` tells how many shards have none, where others do."""
    there = [document for document in documents if document is not None]
    if not there:
        return None
    lacking = len(documents) - len(there)
    is_ok = not lacking and all(document.get("ok") is True for document in there)
    return {**merge(there), "ok": is_ok, **({"lacking": lacking} if lacking else {})}


def _merged_fill(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    served: Counter[str] = Counter()
    for document in documents:
        served.update(document.get("served_bytes") or {})
    return {
        **documents[0],
        "fetched_bytes": sum(document.get("fetched_bytes") or 0 for document in documents),
        "reused_bytes": sum(document.get("reused_bytes") or 0 for document in documents),
        "served_bytes": dict(sorted(served.items())),
        "files": _all_files(documents),
        "misfits": _all("misfits", documents),
    }


def _merged_verify(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A file that several shards have looked at counts once, as the worst of them found it."""
    files = _all_files(documents)
    return {
        **documents[0],
        "shard": None,
        "counts": dict(Counter(file["state"] for file in files)),
        "files": files,
        "misfits": _all("misfits", documents),
        "notes": _all("notes", documents),
        "unread": sum(document.get("unread") or 0 for document in documents),
    }


def _all_files(documents: Sequence[Mapping[str, Any]]) -> list[Any]:
    found: dict[tuple[str, str], Any] = {}
    for document in documents:
        for file in document["files"]:
            key = (str(file.get("project")), file["target"])
            if key not in found or found[key].get("state") == "ok":
                found[key] = file
    return [found[key] for key in sorted(found)]


def _all(name: str, documents: Sequence[Mapping[str, Any]]) -> list[Any]:
    """What any of them holds under `name`, each once, in order."""
    found: list[Any] = []
    for document in documents:
        found += [item for item in document.get(name) or [] if item not in found]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A file that is not the same on all volumes: what each volume's verification found, by the volume."""

    project: str
    target: str
    found: tuple[tuple[str, str], ...]


def drift(verified: Mapping[str, Mapping[str, Any]]) -> list[Drift]:
    """Where verifications of one lock on several volumes differ. `verified`: verify's documents, by the volume.

    The lock is the same, so that files which are ok on both are equal; others are told by their state and, where they
    were read, by what they hold.
    """
    seen: dict[tuple[str, str], dict[str, str]] = {}
    for volume, document in verified.items():
        for file in document["files"]:
            seen.setdefault((str(file.get("project") or ""), file["target"]), {})[volume] = _found(file)
    drifts = []
    for (project, target), states in sorted(seen.items()):
        found = tuple((volume, states.get(volume, "not looked at")) for volume in verified)
        if len({state for _, state in found}) > 1:
            drifts.append(Drift(project=project, target=target, found=found))
    return drifts


def _found(file: Mapping[str, Any]) -> str:
    actual = file.get("actual")
    state = str(file["state"])
    return state if state == "ok" or not actual else f"{state}: {actual}"
