"""YAML text -> nodes that know their line and column. The only module that knows PyYAML.

A scalar keeps its own text, so that `project: 007`, `name: on` and `revision: 1.10` stay what a person wrote.
Bounded: size, depth, number of nodes (each use of an alias counts all it stands for).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NoReturn

import yaml

from provision.errors import ManifestError
from provision.manifest.entries import Position
from provision.manifest.wording import forbidden_character, quoted

if TYPE_CHECKING:
    from provision.errors import Issue

MAX_BYTES: Final = 1024 * 1024
MAX_NODES: Final = 100_000
MAX_DEPTH: Final = 32

_NULLS = {"", "~", "null", "Null", "NULL"}
_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq")} | {"!", None}
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # YAML 1.1, 5.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A text, or None for an empty value."""

    text: str | None
    line: int
    column: int
    weight: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """Items with their place in the text's list, which they keep when others are taken out."""

    items: tuple[tuple[int, Node], ...]
    line: int
    column: int
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What stands under one key of a mapping. `line` and `column` are the key's."""

    node: Node
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """Entries by key, in the order of the text."""

    entries: dict[str, Entry]
    line: int
    column: int
    weight: int


Node = Scalar | Sequence | Mapping


def compose(text: str, file: str) -> tuple[Node, tuple[Issue, ...]]:
    """The one document in `text`, and the faults that do not hide the rest; for the others ManifestError is raised."""
    text = text.removeprefix("\ufeff")
    if found := _UNPRINTABLE.search(text):
        line, column = text.count("\n", 0, found.start()) + 1, found.start() - text.rfind("\n", 0, found.start())
        position = Position(file=file, line=line, column=column)
        raise ManifestError([position.issue(f"the character U+{ord(found[0]):04X} is not allowed in YAML")])
    composer = _Composer(text, file)
    try:
        node = composer.document()
    except yaml.MarkedYAMLError as error:
        raise ManifestError([_syntax_issue(error, text, file)]) from None
    except (ValueError, OverflowError):  # PyYAML on "\UFFFFFFFF" and on %YAML 99999…
        composer.refuse("not valid YAML: a number in an escape or directive is out of range", composer.mark())
    return node, tuple(composer.issues)


def plain(node: Node) -> Any:
    """Text, None, lists and dictionaries, without positions."""
    match node:
        case Scalar(text=text):
            return text
        case Sequence(items=items):
            return [plain(item) for _, item in items]
        case Mapping(entries=entries):
            return {key: plain(entry.node) for key, entry in entries.items()}


def without(node: Node, places: set[tuple[int | str, ...]]) -> Node:
    """`node` without what stands at `places`: keys, and positions in lists. A list that this empties goes too."""
    if not places or isinstance(node, Scalar):
        return node
    inner: dict[int | str, set[tuple[int | str, ...]]] = {}
    for head, *tail in places:
        inner.setdefault(head, set()).add(tuple(tail))
    if isinstance(node, Sequence):
        kept = [(i, label, item) for i, (label, item) in enumerate(node.items) if () not in inner.get(i, ())]
        return replace(node, items=tuple((label, without(item, inner.get(i, set()))) for i, label, item in kept))
    left = {key: entry for key, entry in node.entries.items() if () not in inner.get(key, ())}
    left = {key: replace(entry, node=without(entry.node, inner.get(key, set()))) for key, entry in left.items()}
    return replace(node, entries={key: entry for key, entry in left.items() if not _emptied(entry)})


def _emptied(entry: Entry) -> bool:
    return isinstance(entry.node, Sequence) and not entry.node.items


class _Composer:
    """Events -> nodes, for one text. It stops at the first fault after which the rest would be guesswork."""

    def __init__(self, text: str, file: str) -> None:
        self.issues: list[Issue] = []
        self._file = file
        self._loader: Any = yaml.SafeLoader(text)  # its methods have no types
        self._anchors: dict[str, Node | None] = {}  # None while the anchored node is still being read
        self._room = MAX_NODES

    def document(self) -> Node:
        self._loader.get_event()  # the stream's start
        if self._loader.check_event(yaml.StreamEndEvent):
            self.refuse("the file is empty", None, meant="it starts with `project: NAME`")
        self._loader.get_event()  # the document's start
        node = self._node(0)
        self._loader.get_event()  # the document's end
        if not self._loader.check_event(yaml.StreamEndEvent):
            self.refuse("a second document starts here", self.mark(), meant="one file holds one manifest")
        return node

    def mark(self) -> Any:
        event = self._loader.current_event
        return self._loader.get_mark() if event is None else event.start_mark

    def refuse(self, message: str, mark: Any, *, meant: str = "") -> NoReturn:
        raise ManifestError([*self.issues, self._position(mark).issue(message, meant=meant)])

    def _note(self, message: str, mark: Any, *, meant: str = "") -> None:
        self.issues.append(self._position(mark).issue(message, meant=meant))

    def _position(self, mark: Any) -> Position:
        line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
        return Position(file=self._file, line=line, column=column)

    def _node(self, depth: int) -> Node:
        event = self._loader.get_event()
        mark = event.start_mark
        if depth > MAX_DEPTH:
            self.refuse(f"nested deeper than {MAX_DEPTH} levels", mark)
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event)
        self._spend(1, mark)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if event.tag not in _PLAIN_TAGS:
            self._note(f"the tag {quoted(_shown(event.tag))} is not allowed", mark, meant="write the value without it")
        node = self._content(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _content(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event.start_mark, depth)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(event.start_mark, depth)
        return self._scalar(event)

    def _spend(self, nodes: int, mark: Any) -> None:
        self._room -= nodes
        if self._room < 0:
            self.refuse(f"more than {MAX_NODES:,} values, aliases counted for all they stand for", mark)

    def _aliased(self, event: Any) -> Node:
        if event.anchor not in self._anchors:
            meant = f'quote it if it is a pattern: "*{event.anchor}"'
            self.refuse(f"`*{event.anchor}` is an alias, and nothing has that name", event.start_mark, meant=meant)
        node = self._anchors[event.anchor]
        if node is None:
            self.refuse(f"`*{event.anchor}` stands inside the very value that it names", event.start_mark)
        self._spend(node.weight, event.start_mark)
        return node

    def _scalar(self, event: Any) -> Scalar:
        is_null = event.implicit[0] and event.value in _NULLS
        if char := forbidden_character(event.value):
            meant = "each value is one line" if char == "U+000A" else ""
            self._note(f"the text holds the control character {char}", event.start_mark, meant=meant)
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        return Scalar(text=None if is_null else event.value, line=line, column=column)

    def _sequence(self, mark: Any, depth: int) -> Sequence:
        items: list[tuple[int, Node]] = []
        while not self._loader.check_event(yaml.SequenceEndEvent):
            items.append((len(items), self._node(depth + 1)))
        self._loader.get_event()
        weight = 1 + sum(item.weight for _, item in items)
        return Sequence(items=tuple(items), line=mark.line + 1, column=mark.column + 1, weight=weight)

    def _mapping(self, mark: Any, depth: int) -> Mapping:
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        while not self._loader.check_event(yaml.MappingEndEvent):
            is_merge = self._at_merge_key()
            key_mark = self._loader.peek_event().start_mark
            key, node = self._node(depth + 1), self._node(depth + 1)
            if is_merge:
                merged = self._merged(node, key_mark) | merged  # an earlier merge wins over a later one
            elif isinstance(key, Scalar):
                self._add(own, key, node)
            else:
                self._note("a key must be plain text", key_mark)
        self._loader.get_event()
        entries = own | {key: entry for key, entry in merged.items() if key not in own}
        weight = 1 + sum(1 + entry.node.weight for entry in entries.values())
        return Mapping(entries=entries, line=mark.line + 1, column=mark.column + 1, weight=weight)

    def _at_merge_key(self) -> bool:
        event = self._loader.peek_event()
        return isinstance(event, yaml.ScalarEvent) and event.style is None and event.value == "<<"

    def _add(self, own: dict[str, Entry], key: Scalar, node: Node) -> None:
        name = key.text or ""
        if name in own:
            position = Position(file=self._file, line=key.line, column=key.column)
            self.issues.append(position.issue(f"{quoted(name)} is here twice: first on line {own[name].line}"))
            return
        own[name] = Entry(node=node, line=key.line, column=key.column)

    def _merged(self, node: Node, mark: Any) -> dict[str, Entry]:
        sources = [item for _, item in node.items] if isinstance(node, Sequence) else [node]
        found: dict[str, Entry] = {}
        for source in sources:
            if isinstance(source, Mapping):
                found = source.entries | found
            else:
                self._note("`<<` takes a mapping, or a list of mappings", mark)
        return found


def _shown(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _syntax_issue(error: yaml.MarkedYAMLError, text: str, file: str) -> Issue:
    mark = error.problem_mark or error.context_mark
    line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
    source = next(iter(text.splitlines()[line - 1 : line]), "")
    indentation = source[: len(source) - len(source.lstrip(" \t"))]
    if "\t" in indentation:
        position = Position(file=file, line=line, column=indentation.index("\t") + 1)
        return position.issue("YAML does not allow tabs for indentation", meant="use spaces")
    position = Position(file=file, line=line, column=column)
    return position.issue(f"not valid YAML: {_told(error)}", meant=_likely_cause(error, source[column - 1 :]))


def _told(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(part for part in (error.context, error.problem) if part)


def _likely_cause(error: yaml.MarkedYAMLError, rest: str) -> str:
    problem, context = error.problem or "", error.context or ""
    if "alias" in context:
        return 'quote a pattern that starts with `*`, as in "*.md"'
    if "mapping values are not allowed" in problem:
        return "quote a text that holds `: `, and check the indentation"
    if "cannot start any token" in problem and rest:
        return f"quote a text that starts with {quoted(rest[0])}"
    return ""
