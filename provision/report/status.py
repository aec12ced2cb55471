"""The status of a volume: one screen for people, one document for programs. Pure; nothing is printed."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from provision.names import shown
from provision.progress import size_text
from provision.report.advice import NOTHING_GIVEN, Remedy
from provision.report.document import SCHEMA
from provision.report.wording import counted
from provision.status import Kept

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from provision.report.advice import Commands
    from provision.report.paint import Paint
    from provision.status import Contents, ModelStatus, Status, Tally
    from provision.volume.presence import Presence

NAME_WIDTH = 28
"""Characters of a model's name that are shown."""

QUIET = 300.0
"""Seconds after which a fill that shows no sign of life is said to be silent."""

_ALWAYS = ("files", "promised", "present", "proven", "oldest proof")


def status_lines(status: Status, paint: Paint, commands: Commands = NOTHING_GIVEN) -> list[str]:
    """The whole screen."""
    return [
        *_table(status, paint),
        *_contents_lines(status.contents, status.at),
        *_presence_lines(status.at_work, status.at),
        _space_line(status),
        *_next_lines(status, paint, commands),
    ]


def _table(status: Status, paint: Paint) -> list[str]:
    """One row for each project and each of its models; a column of faults is there when it has something to say."""
    if not status.models:
        return [f"{shown(status.volume, 300)}: no project was ever filled here", ""]
    rows = [(name, _cells(kept, status.at)) for name, kept in _rows(status.models)]
    columns = [column for column in rows[0][1] if column in _ALWAYS or any(cells[column] != "-" for _, cells in rows)]
    widths = {column: max(len(column), *(len(cells[column]) for _, cells in rows)) for column in columns}
    first = max(len(name) for name, _ in rows)
    heading = "  ".join([" " * first, *(column.rjust(widths[column]) for column in columns)])
    lines = ["  ".join([name.ljust(first), *(_cell(cells, c, widths, paint) for c in columns)]) for name, cells in rows]
    return [f"{shown(status.volume, 300)}:", paint(heading, "faint"), *lines, ""]


def _cell(cells: dict[str, str], column: str, widths: dict[str, int], paint: Paint) -> str:
    text = cells[column].rjust(widths[column])
    return paint(text, "bad") if column in {"damaged", "missing"} and cells[column] != "-" else text


def _rows(models: Sequence[ModelStatus]) -> Iterable[tuple[str, Kept]]:
    for project, some in groupby(models, key=lambda model: model.project):
        of_project = list(some)
        yield shown(project, NAME_WIDTH), sum((model.kept for model in of_project), Kept())
        for model in of_project:
            yield f"  {shown(model.model, NAME_WIDTH)}", model.kept


def _cells(kept: Kept, now: float) -> dict[str, str]:
    return {
        "files": f"{kept.promised.files:,}",
        "promised": size_text(kept.promised.size),
        "present": size_text(kept.present.size),
        "proven": _number(kept.proven.files),
        "oldest proof": "-" if kept.oldest is None else age_text(now - kept.oldest),
        "unproven": _number(kept.unproven.files),
        "damaged": _number(kept.damaged.files),
        "outdated": _number(kept.outdated.files),
        "missing": _number(kept.missing.files),
        "partial": size_text(kept.partial) if kept.partial else "-",
    }


def _number(count: int) -> str:
    return f"{count:,}" if count else "-"


def _contents_lines(contents: Contents, now: float) -> list[str]:
    lines = [f"unclaimed: {_tally(contents.unclaimed)} that no lock promises"] if contents.unclaimed.files else []
    for place in contents.places:
        count = f" ({counted(place.held.files, 'file')})" if place.path.endswith("/") else ""
        lines.append(f"  {size_text(place.held.size):>8}  {shown(place.path)}{count}")
    if contents.out_of > len(contents.places):
        lines.append(f"  and {contents.out_of - len(contents.places)} more")
    if contents.stray.files:
        touched = age_text(now - contents.touched)
        lines.append(f"partials: {_tally(contents.stray)} that no lock wants, last written {touched}")
    if contents.closed:
        lines.append(f"not looked into: {_some([shown(path) for path in contents.closed])}")
    return lines


def _presence_lines(at_work: Sequence[Presence], now: float) -> list[str]:
    return [f"at work: {_presence(one, now)}" for one in at_work]


def _presence(one: Presence, now: float) -> str:
    place = "on this machine" if one.is_here else "on another machine"
    silent = now - one.seen
    life = f"silent since {age_text(silent)}" if silent > QUIET else f"last seen {age_text(silent)}"
    return f"a fill {place}, {counted(one.claims, 'claim')}, {life}"


def _space_line(status: Status) -> str:
    used = f"space: {size_text(status.contents.used)} used"
    if status.volume_size is None or status.left is None:
        return f"{used}; what is left shows with --volume-size, as 50G"
    left = f"{size_text(status.left)} left" if status.left >= 0 else f"{size_text(-status.left)} too much"
    return f"{used} of {size_text(status.volume_size)}, {left}"


def _next_lines(status: Status, paint: Paint, commands: Commands) -> list[str]:
    """What to run for each project that is not all proven."""
    lines = []
    for project, some in groupby(status.models, key=lambda model: model.project):
        kept = sum((model.kept for model in some), Kept())
        if kept.missing.files or kept.damaged.files or kept.outdated.files:
            lines.append(paint(f"-> {commands.advice(Remedy.FILL, project)}", "faint"))
        elif kept.unproven.files:
            lines.append(paint(f"-> {commands.advice(Remedy.READ, project)}", "faint"))
    return list(dict.fromkeys(lines))


def _tally(tally: Tally) -> str:
    return f"{counted(tally.files, 'file')}, {size_text(tally.size)}"


def _some(paths: Sequence[str], limit: int = 3) -> str:
    more = f" and {len(paths) - limit} more" if len(paths) > limit else ""
    return ", ".join(paths[:limit]) + more


def age_text(seconds: float) -> str:
    """How long ago, for people: `just now` (also when clocks differ), `12 s ago`, `5 min ago`, `3 h ago`, `4 d ago`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def status_document(status: Status) -> dict[str, Any]:
    """Status's report. Times are in seconds since the epoch."""
    contents = status.contents
    return {
        "schema": SCHEMA,
        "ok": True,
        "volume": status.volume,
        "at": int(status.at),
        "projects": [
            {"project": project, "models": [_model_document(model) for model in models]}
            for project, models in groupby(status.models, key=lambda model: model.project)
        ],
        "unclaimed": {
            **_tally_document(contents.unclaimed),
            "places": [{"path": place.path, **_tally_document(place.held)} for place in contents.places],
        },
        "partials": {"claimed": _tally_document(contents.claimed), "stray": _tally_document(contents.stray)},
        "not_looked_into": list(contents.closed),
        "at_work": [
            {"writer": one.writer, "claims": one.claims, "here": one.is_here, "seen": int(one.seen)}
            for one in status.at_work
        ],
        "space": {"used_bytes": contents.used, "volume_bytes": status.volume_size, "left_bytes": status.left},
    }


def _model_document(model: ModelStatus) -> dict[str, Any]:
    kept = model.kept
    return {
        "model": model.model,
        "source": model.source,
        "promised": _tally_document(kept.promised),
        "present": _tally_document(kept.present),
        "proven": {**_tally_document(kept.proven), "oldest": None if kept.oldest is None else int(kept.oldest)},
        "unproven": _tally_document(kept.unproven),
        "damaged": _tally_document(kept.damaged),
        "outdated": _tally_document(kept.outdated),
        "missing": _tally_document(kept.missing),
        "partial_bytes": kept.partial,
    }


def _tally_document(tally: Tally) -> dict[str, int]:
    return {"files": tally.files, "bytes": tally.size}
