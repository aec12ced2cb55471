"""The kinds of values that a manifest is made of: each as a check, and as the JSON Schema that says the same."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from provision.manifest.wording import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Place = tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeFault:
    """A fault at `place`, as keys and list positions; `on_key`: it is the key that is wrong, not what it holds."""

    place: Place
    message: str
    meant: str = ""
    on_key: bool = False


class Unfit(Exception):
    """A list or a mapping with faults inside; their places begin there."""

    def __init__(self, faults: Sequence[ShapeFault]) -> None:
        super().__init__()
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What may stand in one place. `check` gives its normal form, or raises Fault, or Unfit for what is inside."""

    check: Callable[[Any], Any]
    schema: dict[str, Any]


@contextmanager
def telling(told: list[ShapeFault], place: Place, value: object) -> Iterator[None]:
    """What is wrong with the `value` at `place` is added to `told`, and the next value has its turn.

    Of a value that is None nothing is told: the caller refuses it.
    """
    try:
        yield
    except Fault as fault:
        if value is not None:
            told.append(ShapeFault(place=place, message=fault.message, meant=fault.meant))
    except Unfit as unfit:
        told.extend(replace(fault, place=(*place, *fault.place)) for fault in unfit.faults)


def named(value: object) -> str:
    """What `value` is, to be told where it should be something else."""
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "a mapping"


def text(normal: Callable[[str], object], *, unlike: str = "this must be text, not {}", **schema: object) -> Kind:
    """A text, which `normal` gives its normal form. `unlike`: what is said of a list or a mapping."""

    def check(value: object) -> object:
        if not isinstance(value, str):
            raise Fault(unlike.format(named(value)))
        return normal(value)

    return Kind(check=check, schema={"type": "string", **schema})


def list_of(item: Kind, *, empty: str = "drop the line", most: int | None = None) -> Kind:
    """A list with one item at least, and `most` at most. `empty`: what to do instead of leaving it empty."""

    def check(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            meant = f"write it as a list: [{json.dumps(value)}]" if isinstance(value, str) else ""
            raise Fault(f"this must be a list, not {named(value)}", meant=meant)
        if not value:
            raise Fault("the list is empty", meant=empty)
        if most is not None and len(value) > most:
            raise Fault(f"the list has more than {most} items")
        return _each(item, value)

    bounds = {"minItems": 1} if most is None else {"minItems": 1, "maxItems": most}
    return Kind(check=check, schema={"type": "array", "items": item.schema, **bounds})


def _each(item: Kind, values: Sequence[object]) -> tuple[Any, ...]:
    told: list[ShapeFault] = []
    sound = []
    for index, value in enumerate(values):
        with telling(told, (index,), value):
            sound.append(item.check(value))
    if len(sound) < len(values):
        raise Unfit(told)
    return tuple(sound)


def text_or_mapping(as_text: Kind, as_mapping: Kind) -> Kind:
    """Two ways to write one thing."""

    def check(value: object) -> object:
        return (as_mapping if isinstance(value, dict) else as_text).check(value)

    return Kind(check=check, schema={"oneOf": [as_text.schema, as_mapping.schema]})
