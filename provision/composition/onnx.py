"""ONNX models whose tensors lie in files of their own.

Such a tensor names its file, and where in it its bytes are (onnx/onnx.proto, TensorProto.external_data; the rules are
docs/ExternalData.md and external_data_helper.py of onnx 1.23: a relative path that does not leave the model's folder,
`offset` and `length` as decimal text within the file). The protobuf is walked by hand, and only where tensors can be:
weights inside the model are passed over. A model with many of them is not walked to its end, since each would be
another request to a hub; models with tensors elsewhere have few inside.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from provision.composition.misfit import Misfit, Rule, listed
from provision.composition.weights import joined
from provision.composition.window import Ended, TooFar, Window
from provision.names import path_fault, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from provision.composition.misfit import Contents

BLOCK: Final = 1024 * 1024
LIMIT: Final = 8
"""Blocks of a model that are read."""

_DEPTH = 100  # messages in each other: where protobuf's own readers end
_TEXT = 4096  # bytes of a key or value that are kept
_FILES = 1000  # files that one model may name
_ENTRY, _TENSOR = "entry", "tensor"
_LOCATION, _EXTERNAL = 14, 1  # TensorProto.data_location, and its value for tensors in other files

_INNER: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: _TENSOR, 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: _TENSOR, 2: _TENSOR},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    _TENSOR: {13: _ENTRY},
    _ENTRY: {},
}
"""Of each message the fields in which tensors can be, by their numbers in onnx.proto."""


class _Bad(Exception):
    """What is wrong with the model."""

    def __init__(self, detail: str, *, grave: bool = True) -> None:
        super().__init__(detail)
        self.detail, self.rule, self.grave = detail, Rule.BAD_ONNX if grave else Rule.UNCHECKED, grave


@dataclass(slots=True, kw_only=True)
class _Side:
    """A file that the model names, and how long it must be at least."""

    length: int = 0


def misfits(contents: Contents) -> Iterator[Misfit]:
    """What is wrong with each model, and with the files it names."""
    for path in sorted(contents.sizes):
        if path.endswith(".onnx"):
            try:
                yield from _of_sides(contents, path, _sides(contents, path))
            except _Bad as bad:
                yield Misfit(rule=bad.rule, path=path, detail=bad.detail, grave=bad.grave)
            except Ended:
                yield Misfit(rule=Rule.BAD_ONNX, path=path, detail="it is no ONNX model, or ends too early")


def _sides(contents: Contents, path: str) -> dict[str, _Side]:
    """The files that the model names, as far as it is walked. Raises _Bad, Ended."""
    sides, size = dict[str, _Side](), contents.sizes[path]
    if not size:
        raise Ended
    with suppress(TooFar):
        _message(Window(contents, path, block=BLOCK, blocks=LIMIT), size, "model", sides, 0)
    return sides


def _of_sides(contents: Contents, path: str, sides: Mapping[str, _Side]) -> Iterator[Misfit]:
    folder = path.rpartition("/")[0]
    paths = {joined(folder, name): side for name, side in sides.items()}
    missing = [name for name in paths if name not in contents.sizes]
    short = [name for name, side in paths.items() if side.length > contents.sizes.get(name, side.length)]
    if missing:
        detail = f"its weights are in {listed(missing)}, which {'is' if len(missing) == 1 else 'are'} missing"
        yield Misfit(rule=Rule.ONNX_DATA_MISSING, path=path, detail=detail, lacking=tuple(missing[:100]))
    if short:
        detail = f"{listed(short)} {'is' if len(short) == 1 else 'are'} shorter than it needs"
        yield Misfit(rule=Rule.ONNX_DATA_SHORT, path=path, detail=detail)


def _message(window: Window, end: int, kind: str, sides: dict[str, _Side], depth: int) -> dict[str, str]:
    """Go through the message of `kind` up to `end`. Returns the entries of a tensor, or of one entry its two fields."""
    if depth > _DEPTH:
        raise _Bad("its messages are in each other too deeply")
    inner, entries, is_outside = _INNER[kind], dict[str, str](), False
    while window.at < end:
        field, wire = divmod(_varint(window), 8)
        if wire != 2:
            value = _number(window, wire)
            is_outside = is_outside or (field == _LOCATION and value == _EXTERNAL)
            continue
        length = _varint(window)
        if not field or length > end - window.at:
            raise Ended
        after = window.at + length
        if field in inner:
            found = _message(window, after, inner[field], sides, depth + 1)
            if inner[field] == _ENTRY:
                entries[found.get("1", "")] = found.get("2", "")
        elif kind == _ENTRY and field in {1, 2} and length <= _TEXT:
            entries[str(field)] = window.take(length).decode("utf-8", "replace")
        window.skip(after - window.at)
    if window.at > end:
        raise Ended
    if kind == _TENSOR and is_outside:
        _add(sides, entries)
    return entries


def _varint(window: Window) -> int:
    value = shift = 0
    while shift < 70:
        byte = window.take(1)[0]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
        shift += 7
    raise Ended


def _number(window: Window, wire: int) -> int:
    """A number that stands here; only one of variable length is of interest."""
    if wire == 0:
        return _varint(window)
    if wire not in {1, 5}:
        raise Ended  # groups, which onnx.proto has none of, and what is no wire type
    window.skip(8 if wire == 1 else 4)
    return 0


def _add(sides: dict[str, _Side], entries: Mapping[str, str]) -> None:
    name = entries.get("location", "").removeprefix("./")
    fault = path_fault(name)
    if fault:
        leaves = not name or name.startswith("/") or ".." in name.split("/")
        raise _Bad(f"it names a file `{shown(name)}`, which {fault}", grave=leaves)
    offset, length = (_decimal(entries.get(key) or "0") for key in ("offset", "length"))
    if name not in sides and len(sides) == _FILES:
        raise _Bad(f"it names more than {_FILES:,} files: too many to be checked", grave=False)
    side = sides.setdefault(name, _Side())
    side.length = max(side.length, offset + length)


def _decimal(text: str) -> int:
    if len(text) > 20 or not (text.isascii() and text.isdigit()):
        raise _Bad(f"`{shown(text)}` is no offset or length")
    return int(text)
