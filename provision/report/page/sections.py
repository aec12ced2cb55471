"""The parts of a page, from its head to the table of every file."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

from provision.progress import count_text, size_text
from provision.report.advice import remedy
from provision.report.page.contents import MARKS, STATES, UNPROMISED, UNREAD
from provision.report.page.drawing import damage
from provision.report.page.markup import Markup, element, joined
from provision.report.tally import misfits_by_model, troubles
from provision.report.wording import (
    MEANING,
    counted,
    damage_text,
    files_in,
    misfit_advice,
    owner,
    reading_text,
    verdict_parts,
    wrong_parts,
)
from provision.verification.findings import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from provision.lock import LockedModel
    from provision.report.advice import Advice, Commands
    from provision.report.page.contents import Entry, Shelf
    from provision.report.tally import Trouble
    from provision.verification.findings import Finding, ModelMisfit, Verification

_LISTED = 200
_TAG = re.compile("<[^>]*>")
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)?")
_HUBS = {"hf": "https://huggingface.co/", "modelscope": "https://modelscope.cn/models/"}


def head(verification: Verification, made_at: datetime) -> Markup:
    """The verdict, the volume and how it was looked at."""
    kind, mark = ("good", "✓") if verification.ok else ("bad", "✗")
    first, *rest = (part[0].upper() + part[1:] for part in verdict_parts(verification))
    sign = element("span", {"class": "mark", "aria-hidden": "true"}, mark)
    volume = element("code", None, verification.volume)
    return joined(
        [
            element("p", {"class": "made"}, f"provision verify · {made_at:%Y-%m-%d %H:%M} UTC"),
            element("h1", {"class": kind}, sign, element("span", None, first)),
            *(element("p", {"class": "besides"}, part) for part in rest),
            element("p", {"class": "volume"}, volume, f": {reading_text(verification)}"),
        ]
    )


def totals(shelves: Sequence[Shelf]) -> Markup:
    """The volume in numbers."""
    files = [entry for shelf in shelves for entry in shelf.entries]
    parameters = sum(entry.file.header.parameters for entry in files if entry.file and entry.file.header)
    facts = [
        ("projects", f"{len({shelf.project for shelf in shelves if shelf.model}):,}"),
        ("models", f"{sum(shelf.model is not None for shelf in shelves):,}"),
        ("files", f"{len(files):,}"),
        ("bytes", size_text(sum(entry.size for entry in files))),
    ]
    facts += [("parameters", count_text(parameters))] if parameters else []
    return element("dl", {"class": "totals"}, *_pairs(facts))


def legend(shelves: Sequence[Shelf]) -> Markup:
    """A switch for each state that occurs, which also explains its pattern."""
    counts = {state: sum(shelf.states.get(state, 0) for shelf in shelves) for state in STATES}
    return joined(_switch(state, count) for state, count in counts.items() if count)


def _switch(state: str, count: int) -> Markup:
    meaning = MEANING[State(state)] if state != UNREAD else "was not looked at"
    face = element("rect", {"class": "face", "x": 1, "y": 1, "width": 22, "height": 14, "rx": 2})
    sample = element("svg", {"class": f"swatch {state}", "viewBox": "0 0 24 16", "aria-hidden": "true"}, face)
    box = element("input", {"type": "checkbox", "value": state, "checked": True})
    return element("label", {"title": meaning}, box, sample, f"{state} ", element("b", None, f"{count:,}"))


def troubles_section(verification: Verification, commands: Commands) -> Markup:
    """What is not as promised, with what to run; nothing when all is well."""
    groups = [_trouble(trouble, commands) for trouble in troubles(verification)]
    groups += [_misfits(misfits) for misfits in misfits_by_model(verification)]
    if not groups:
        return Markup("")
    return element("section", {"id": "findings"}, element("h2", None, "What is wrong"), *groups)


def _trouble(trouble: Trouble, commands: Commands) -> Markup:
    about = f"{files_in(trouble.state, len(trouble.findings))}, {size_text(trouble.size)}"
    items = [_item(finding.target, _wrong(finding)) for finding in trouble.findings[:_LISTED]]
    run = _to_do(commands.advice(trouble.remedy, trouble.project))
    state, title = trouble.state.value, owner(trouble.project, trouble.model)
    return _group(state, title, about, run, [*items, *_rest(len(trouble.findings))])


def _misfits(misfits: Sequence[ModelMisfit]) -> Markup:
    first = misfits[0]
    about = "does not fit together" if first.misfit.grave else "may not fit together"
    items = [
        _item(found.misfit.path, [element("b", None, found.misfit.rule), found.misfit.detail]) for found in misfits
    ]
    kind = "misfit" if first.misfit.grave else "doubt"
    return _group(
        kind, owner(first.project, first.model), about, misfit_advice(first), [*items[:_LISTED], *_rest(len(items))]
    )


def _group(kind: str, title: str, summary: str, run: str, items: Iterable[Markup]) -> Markup:
    badge = _badge(kind)
    heading = element("h3", None, badge, element("span", None, title), element("small", None, summary))
    to_do = element("p", {"class": "run"}, "To do: ", run)
    about = {"class": "trouble", "data-state": kind, "data-title": title}
    return element("article", about, heading, to_do, element("ul", None, *items))


def _to_do(advice: Advice) -> Markup:
    """Only what can be run is set as code."""
    command = element("code", None, advice.command) if advice.command else ""
    return joined([advice.words, " " if advice.words and command else "", command])


def _rest(count: int) -> list[Markup]:
    if count <= _LISTED:
        return []
    return [element("li", None, f"… and {count - _LISTED:,} more; the tables of the models, below, have all")]


def _item(path: str, parts: Iterable[str]) -> Markup:
    lines = [element("div", None, part) for part in parts]
    return element("li", None, element("code", {"class": "path"}, path), *lines)


def _wrong(finding: Finding) -> list[str]:
    parts: list[str] = wrong_parts(finding, 20)
    return [*parts, damage(finding.damaged, finding.size)] if finding.damaged else parts


def notes(verification: Verification) -> Markup:
    """What there is to know besides."""
    if not verification.notes:
        return Markup("")
    items = [element("li", None, note.text) for note in verification.notes]
    return element("section", {"id": "notes"}, element("h2", None, "Notes"), element("ul", None, *items))


def models(shelves: Sequence[Shelf], commands: Commands) -> Markup:
    """Every model: where it comes from, what it is, and its files."""
    return joined(_model(shelf, commands) for shelf in shelves)


def _model(shelf: Shelf, commands: Commands) -> Markup:
    counts = shelf.states | ({"misfit": shelf.misfits} if shelf.misfits else {})
    badges = [element("span", None, _badge(kind), f" {count:,}") for kind, count in counts.items()]
    name = [element("span", {"class": "project"}, f"{shelf.project} / "), shelf.name or UNPROMISED]
    heading = element("h3", None, *(name if shelf.name else name[1:]), element("small", None, *badges))
    table = _files(shelf, commands)
    summary = element("summary", None, f"{counted(len(shelf.entries), 'file')}, {size_text(shelf.size)}")
    facts = [element("dl", None, *_pairs(_facts(shelf.model)))] if shelf.model else []
    title = owner(shelf.project, shelf.name)
    about = {"class": "model", "id": shelf.key, "data-title": title, "data-words": _words(shelf)}
    return element("article", about, heading, *facts, element("details", None, summary, table))


def _words(shelf: Shelf) -> str:
    """What a search finds a model by: what is shown of it, without its markup."""
    facts = [] if shelf.model is None else [value for _, value in _facts(shelf.model)]
    plain = (unescape(_TAG.sub("", value)) if isinstance(value, Markup) else value for value in facts)
    return " ".join([shelf.project, shelf.name, *plain]).lower()


def _facts(model: LockedModel) -> list[tuple[str, str]]:
    """What the lock knows of a model."""
    headers = [file.header for file in model.files if file.header]
    dtypes: dict[str, int] = {}
    for header in headers:
        for name, count in header.dtypes:
            dtypes[name] = dtypes.get(name, 0) + count
    facts = [
        ("source", _source(model)),
        ("revision", _revision(model)),
        ("licence", model.license or "not told by its hub"),
        ("layout", model.layout),
    ]
    if headers:
        facts += [
            ("parameters", count_text(sum(header.parameters for header in headers))),
            ("dtypes", _shares(dtypes)),
            ("tensors", f"{sum(header.tensors for header in headers):,}"),
        ]
    return facts


def _revision(model: LockedModel) -> str:
    if model.commit is None:
        return model.revision
    commit = element("code", {"title": model.commit}, model.commit[:12])
    return commit if model.revision == model.commit else joined([f"{model.revision} at ", commit])


def _source(model: LockedModel) -> str:
    """The source, as a link to its hub's page where its name is a plain one."""
    if model.hub not in _HUBS or not _REPOSITORY.fullmatch(model.repository):
        return model.source
    tree = f"/tree/{model.commit}" if model.hub == "hf" and model.commit else ""
    address = f"{_HUBS[model.hub]}{model.repository}{tree}"
    return element("a", {"href": address, "rel": "noopener noreferrer"}, model.source)


def _shares(dtypes: dict[str, int]) -> str:
    total = sum(dtypes.values()) or 1
    order = sorted(dtypes.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {100 * count / total:.3g} %" for name, count in order)


def _pairs(facts: Iterable[tuple[str, str]]) -> Iterable[Markup]:
    return (element("div", None, element("dt", None, name), element("dd", None, value)) for name, value in facts)


def _files(shelf: Shelf, commands: Commands) -> Markup:
    names = ("state", "file", "size", "parameters", "sha256")
    header = element("tr", None, *(element("th", {"scope": "col"}, name) for name in names))
    rows = [_row(entry, shelf, commands) for entry in shelf.entries]
    return element("table", None, element("thead", None, header), element("tbody", None, *rows))


def _row(entry: Entry, shelf: Shelf, commands: Commands) -> Markup:
    file = entry.file
    header = file.header if file else None
    told = f"{count_text(header.parameters)} {', '.join(name for name, _ in header.dtypes)}" if header else ""
    digest = element("td", {"class": "sha", "title": file.sha256}, file.sha256[:12]) if file else element("td")
    wrong = [element("div", {"class": "wrong"}, part) for part in _row_parts(entry, commands)]
    about = {"id": entry.row, "data-key": shelf.key, "data-state": entry.state}
    return element(
        "tr", about, element("td", None, _badge(entry.state)),
        element("td", None, element("code", {"class": "path"}, entry.target), *wrong),
        element("td", {"class": "number", "title": counted(entry.size, "byte")}, size_text(entry.size)),
        element("td", None, told), digest,
    )  # fmt: skip


def _row_parts(entry: Entry, commands: Commands) -> list[str]:
    if entry.finding is None or entry.finding.state is State.OK:
        return []
    parts = [damage_text(entry.finding), _to_do(commands.advice(remedy(entry.finding), entry.finding.project))]
    return [part for part in parts if part]


def _badge(kind: str) -> Markup:
    mark = element("span", {"aria-hidden": "true"}, MARKS.get(kind, "!"))
    return element("span", {"class": f"badge {kind}"}, mark, f" {kind}")
