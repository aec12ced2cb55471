"""GGUF: header, tensor infos and the length of the file, as ggml's docs/gguf.md and its reader (gguf.cpp) have them.

The file is: magic, version, counts, metadata, tensor infos, padding up to the alignment, the tensors' bytes. Versions 2
and 3 differ in nothing that is read here; 1 had shorter numbers, and is not looked into. A type of tensor that is not
known here may be a newer one: its bytes are not counted. What llama.cpp allows of names and dimensions is no bound:
stable-diffusion.cpp and ComfyUI-GGUF write longer names and more dimensions, each for itself. The parts of a split
model are named by numbers, and llama.cpp opens them all by these names (`llama_split_path`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from provision.composition.misfit import Misfit, Rule, listed
from provision.composition.weights import joined
from provision.composition.window import Ended, TooFar, Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from provision.composition.misfit import Contents

_MAGIC: Final = b"GGUF"
_ALIGNMENT: Final = 32  # where `general.alignment` gives no other
_STRING, _ARRAY, _UINT32 = 8, 9, 4
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of each scalar type of metadata
_KEY = 65_535  # bytes, by docs/gguf.md
_NAME, _DIMENSIONS = 4096, 16  # of a tensor: bytes of its name, dimensions. More than any program writes
_LARGEST: Final = 2**63 - 1
_TENSORS = 100_000  # that are looked at; the largest models have some thousands

_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip
"""Of each ggml_type: the elements of a block and its bytes (GGML_QUANT_SIZES of gguf-py 0.19)."""

BLOCK: Final = 4 * 1024 * 1024
LIMIT: Final = 16
"""Blocks of a file that are read. Vocabularies of 256,000 words take three."""

_LACKING = 100  # names of missing parts that a misfit carries
_PART = re.compile(r"(?P<base>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


class _Bad(Exception):
    """What is wrong with a file."""

    def __init__(self, detail: str, rule: Rule = Rule.BAD_GGUF, *, grave: bool = True) -> None:
        super().__init__(detail)
        self.detail, self.rule, self.grave = detail, rule, grave


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tensor:
    """`end` counts from where the tensors' bytes begin; 0 where the type is not known."""

    name: bytes
    offset: int
    end: int


def misfits(contents: Contents) -> Iterator[Misfit]:
    """What is wrong with each GGUF file, and with the numbers of split ones."""
    paths = [path for path in sorted(contents.sizes) if path.endswith(".gguf")]
    for path in paths:
        try:
            _check(Window(contents, path, block=BLOCK, blocks=LIMIT))
        except _Bad as bad:
            yield Misfit(rule=bad.rule, path=path, detail=bad.detail, grave=bad.grave)
        except Ended:
            yield Misfit(rule=Rule.GGUF_TOO_SHORT, path=path, detail="the file ends before its header does")
        except TooFar:
            detail = "its header is too large to be checked"
            yield Misfit(rule=Rule.UNCHECKED, path=path, detail=detail, grave=False)
    yield from _parts(paths)


def _check(window: Window) -> None:
    if window.take(len(_MAGIC)) != _MAGIC:
        raise _Bad("it does not begin with GGUF")
    _check_version(window.number(4))
    tensors, pairs = window.number(8), window.number(8)
    if tensors * 24 + pairs * 13 > window.size:  # the least that each takes
        raise _Bad(f"it announces {tensors:,} tensors and {pairs:,} pairs of metadata, which do not fit in the file")
    if tensors > _TENSORS:
        raise TooFar
    alignment = _ALIGNMENT
    for _ in range(pairs):
        alignment = _pair(window) or alignment
    found = [_tensor(window, alignment) for _ in range(tensors)]
    start = -(-window.at // alignment) * alignment
    last = max(found, key=lambda tensor: tensor.end, default=None)
    if last and start + last.end > window.size:
        short = start + last.end - window.size
        raise _Bad(f"the file ends {short:,} bytes before {listed([_text(last.name)])} does", Rule.GGUF_TOO_SHORT)
    twice = {tensor.name for tensor in found}
    if len(twice) < len(found):
        raise _Bad("two tensors have one name")


def _check_version(version: int) -> None:
    if version == 1:
        raise _Bad("it is GGUF version 1, which llama.cpp reads no more", grave=False)
    if version & 0xFFFF == 0:
        raise _Bad("it is written for machines of the other byte order", grave=False)
    if version not in {2, 3}:
        raise _Bad(f"it is GGUF version {version}, which is not known here", grave=False)


def _pair(window: Window) -> int | None:
    """Pass over one pair of metadata; the alignment, where it says that."""
    length = window.number(8)
    if length > _KEY:
        raise _Bad(f"a key of its metadata has {length:,} bytes")
    key, kind = window.take(length), window.number(4)
    if key == b"general.alignment":
        alignment = window.number(4) if kind == _UINT32 else 0
        if not alignment or alignment & (alignment - 1):
            raise _Bad("its alignment is no power of two")
        return alignment
    _pass_value(window, kind)
    return None


def _pass_value(window: Window, kind: int) -> None:
    if kind == _STRING:
        window.skip(window.number(8))
    elif kind == _ARRAY:
        inner, count = window.number(4), window.number(8)
        if inner == _STRING:
            if count * 8 > window.size:
                raise Ended
            window.skip_texts(count)
        elif inner in _WIDTHS:
            window.skip(count * _WIDTHS[inner])
        else:
            raise _Bad(f"a list of its metadata has items of type {inner}")  # llama.cpp takes no lists of lists either
    elif kind in _WIDTHS:
        window.skip(_WIDTHS[kind])
    else:
        raise _Bad(f"a value of its metadata has the type {kind}")


def _tensor(window: Window, alignment: int) -> _Tensor:
    length = window.number(8)
    if length > _NAME:
        raise TooFar
    name, dimensions = window.take(length), window.number(4)
    if dimensions > _DIMENSIONS:
        raise TooFar
    shape = [window.number(8) for _ in range(dimensions)]
    kind, offset = window.number(4), window.number(8)
    if offset % alignment:
        raise _Bad(f"the tensor {listed([_text(name)])} does not begin at a multiple of {alignment}")
    return _Tensor(name=name, offset=offset, end=offset + _length(name, shape, kind) if kind in _BLOCKS else 0)


def _length(name: bytes, shape: list[int], kind: int) -> int:
    """Bytes. Rows are whole blocks."""
    elements, size = _BLOCKS[kind]
    if shape and shape[0] % elements:
        raise _Bad(f"the rows of the tensor {listed([_text(name)])} are no multiple of {elements}")
    count = 1
    for dimension in shape:
        count *= dimension
        if count > _LARGEST:
            raise _Bad(f"the tensor {listed([_text(name)])} has more elements than fit in 64 bits")
    return count // elements * size


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _parts(paths: list[str]) -> Iterator[Misfit]:
    groups = dict[tuple[str, ...], dict[int, str]]()
    for path in paths:
        folder, _, name = path.rpartition("/")
        if match := _PART.fullmatch(name):
            groups.setdefault((folder, match["base"], match["count"]), {})[int(match["number"])] = path
    for (folder, base, count), found in groups.items():
        numbers = range(1, int(count) + 1)
        missing = len(numbers) - sum(number in numbers for number in found)
        some = islice((number for number in numbers if number not in found), _LACKING)
        if missing:
            names = tuple(joined(folder, f"{base}-{number:05}-of-{count}.gguf") for number in some)
            yield _part_missing(found, missing, names)


def _part_missing(found: Mapping[int, str], missing: int, names: tuple[str, ...]) -> Misfit:
    return Misfit(
        rule=Rule.GGUF_PART_MISSING,
        path=next(iter(found.values())),
        detail=f"{missing:,} of its parts are missing: {listed(names, missing)}",
        lacking=names,
    )
