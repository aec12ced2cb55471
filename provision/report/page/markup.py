"""HTML that cannot be broken by what it shows: elements are values, and every plain text in them is escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_VOID = frozenset({"br", "rect", "path", "input"})
_LONGEST = 4000


class Markup(str):
    """Text that is HTML already: it came from `element`, or from the templates."""

    __slots__ = ()


def element(name: str, attributes: Mapping[str, object] | None = None, *children: str) -> Markup:
    """One element. Attributes that are None or False are left out; True has no value. Children that are no `Markup`
    are text: escaped, and without control, invisible and bidirectional characters.
    """
    told = "".join(_attribute(key, value) for key, value in (attributes or {}).items())
    if name in _VOID:
        return Markup(f"<{name}{told}/>")
    return Markup(f"<{name}{told}>{joined(children)}</{name}>")


def joined(children: Iterable[str]) -> Markup:
    """Several pieces as one."""
    return Markup("".join(child if isinstance(child, Markup) else _text(child) for child in children))


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    return f" {key}" if value is True else f' {key}="{_text(str(value))}"'


def _text(text: str) -> str:
    return escape(text if text.isprintable() and len(text) <= _LONGEST else shown(text, _LONGEST))
