"""A header's entries, and whether they fit the file."""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING

from provision.tensorfile.cursor import SPACE, Cursor
from provision.tensorfile.fault import FaultKind, HeaderFault, shown
from provision.tensorfile.nature import HEADER_LENGTH_BYTES, HEADER_LIMIT, misfit

if TYPE_CHECKING:
    from collections.abc import Mapping

BITS: Mapping[str, int] = MappingProxyType(
    {
        "F4": 4,
        **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
        **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
        **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
        **dict.fromkeys(("I32", "U32", "F32"), 32),
        **dict.fromkeys(("C64", "F64", "I64", "U64"), 64),
    }
)
"""The bits of one element, for each dtype of safetensors 0.8.0."""

_LARGEST = 2**64 - 1  # offsets, dimensions and their products are u64 in the library
_DIGITS = 20  # of _LARGEST; a longer number is never handed to int(), whose time is quadratic
_METADATA = "__metadata__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor. `begin` and `end` count bytes from the header's end; `elements` is the product of the shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    elements: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a safetensors file says about itself."""

    tensors: tuple[Tensor, ...]  # in the order of their bytes
    parameters: int  # the elements of all tensors
    dtypes: Mapping[str, int]  # dtype: its parameters, in the order of names; read-only
    metadata: Mapping[str, str]  # read-only; empty where the header has none
    size: int  # bytes of the header: the 8 of its length, and the JSON
    sha256: str  # hex, of those bytes: file[:size]


def header_length(prefix: bytes, file_size: int) -> int:
    """The length N of the JSON, from a file's first eight bytes (more are allowed): the header is file[:8 + N].

    Raises:
        HeaderFault: the file cannot be safetensors, whatever follows.
    """
    prefix = prefix[: max(file_size, 0)]
    if len(prefix) < min(file_size, HEADER_LENGTH_BYTES):
        raise HeaderFault(FaultKind.SHORT_READ, f"{len(prefix)} bytes were read where {HEADER_LENGTH_BYTES} are needed")
    length = int.from_bytes(prefix[:HEADER_LENGTH_BYTES], "little")
    kind, message = None, ""
    if file_size < HEADER_LENGTH_BYTES:
        kind, message = FaultKind.HEADER_TOO_SMALL, f"the file has {file_size} bytes, too few for any header"
    elif length < len("{}"):
        kind, message = FaultKind.HEADER_TOO_SMALL, f"the header claims {length} bytes, too few for any header"
    elif length > HEADER_LIMIT:
        kind, message = FaultKind.HEADER_TOO_LARGE, f"the header claims {length} bytes; the limit is {HEADER_LIMIT}"
    elif HEADER_LENGTH_BYTES + length > file_size:
        missing = HEADER_LENGTH_BYTES + length - file_size
        kind, message = FaultKind.TRUNCATED, f"the file ends {missing} bytes before its header does"
    if kind:
        raise misfit(prefix, kind, message)
    return length


def parse_header(head: bytes, file_size: int) -> Header:
    """The header of a file of `file_size` bytes that starts with `head`: 8 + N bytes, more are ignored.

    Raises:
        HeaderFault: the first reason found why this is not a whole, well-formed safetensors file.
    """
    size = HEADER_LENGTH_BYTES + header_length(head, file_size)
    if head[HEADER_LENGTH_BYTES : HEADER_LENGTH_BYTES + 1] not in (b"{", b""):
        raise misfit(head, FaultKind.BAD_START, "the header does not begin with {")
    if len(head) < size:
        raise HeaderFault(FaultKind.SHORT_READ, f"{len(head)} bytes were read where {size} are needed")
    tensors, metadata = _contents(Cursor(head, HEADER_LENGTH_BYTES, size))
    _check_coverage(tensors, file_size - size)
    dtypes = _parameters_by_dtype(tensors)
    return Header(
        tensors=tuple(tensors),
        parameters=sum(dtypes.values()),
        dtypes=MappingProxyType(dtypes),
        metadata=MappingProxyType(metadata),
        size=size,
        sha256=hashlib.sha256(memoryview(head)[:size]).hexdigest(),
    )


_PADDING = re.compile(rb" *+")
_OTHER_PADDING = re.compile(rb"[ \t\n\r\0]*+")
_NULL = re.compile(rb"null")


def _contents(cursor: Cursor) -> tuple[list[Tensor], dict[str, str]]:
    """The tensors in the header's order, and the metadata."""
    tensors: list[Tensor] = []
    metadata: dict[str, str] = {}
    for key in cursor.keys(FaultKind.DUPLICATE_TENSOR, "header"):
        if key == _METADATA:
            metadata = _metadata(cursor)
        else:
            tensors.append(_plain_tensor(cursor, key) or _tensor(cursor, key))
    if not cursor.ends_with(_PADDING):
        if cursor.ends_with(_OTHER_PADDING):
            raise HeaderFault(FaultKind.BAD_PADDING, "the header is padded with something other than spaces")
        raise HeaderFault(
            FaultKind.INVALID_JSON, f"the header goes on after its last }} at byte {cursor.at} of the file"
        )
    return tensors, metadata


def _metadata(cursor: Cursor) -> dict[str, str]:
    if cursor.take(_NULL):
        return {}
    if not cursor.sees(b"{"):
        raise HeaderFault(FaultKind.BAD_METADATA, f"{_METADATA} is not an object")
    metadata = {}
    for key in cursor.keys(FaultKind.DUPLICATE_KEY, _METADATA):
        if not cursor.sees(b'"'):
            raise HeaderFault(FaultKind.BAD_METADATA, f"{shown(key)} in {_METADATA} is not a string")
        metadata[key] = cursor.string()
    return metadata


# An entry as every writer writes it, in one match: three fields in any order, no escapes, at most 64 dimensions, and
# numbers surely below 2**64. Before a field stands nothing right after the {, and a comma elsewhere; three fields that
# fill all groups are one of each. What does not match goes the long way, which knows more and says what is wrong.

_SMALL = SPACE + rb"(?:0|[1-9][0-9]{0,18}+)" + SPACE
_PLAIN_DTYPE = rb'"dtype"%b:%b"([A-Z0-9_]++)"' % (SPACE, SPACE)
_PLAIN_SHAPE = rb'"shape"%b:%b\[((?:%b(?:,%b){0,63})?)%b\]' % (SPACE, SPACE, _SMALL, _SMALL, SPACE)
_PLAIN_OFFSETS = rb'"data_offsets"%b:%b\[(%b),(%b)\]' % (SPACE, SPACE, _SMALL, _SMALL)
_PLAIN_FIELD = rb"(?:%b|%b|%b)" % (_PLAIN_DTYPE, _PLAIN_SHAPE, _PLAIN_OFFSETS)
_PLAIN = re.compile(rb"\{(?:(?:(?<=\{)|(?<!\{),)%b%b%b){3}\}" % (SPACE, _PLAIN_FIELD, SPACE))


def _plain_tensor(cursor: Cursor, name: str) -> Tensor | None:
    start = cursor.at
    found = cursor.take(_PLAIN)
    if found is None or None in found.groups():
        cursor.at = start
        return None
    dtype, shape, begin, end = found.groups()
    dimensions = tuple(map(int, shape.split(b","))) if shape else ()
    return _checked(name, dtype.decode(), dimensions, (int(begin), int(end)))


def _tensor(cursor: Cursor, name: str) -> Tensor:
    if not cursor.sees(b"{"):
        raise HeaderFault(FaultKind.BAD_ENTRY, f"tensor {shown(name)} is not described by an object")
    dtype = shape = offsets = None
    for key in cursor.keys(FaultKind.DUPLICATE_KEY, name):
        if key == "dtype":
            dtype = _dtype(cursor, name)
        elif key == "shape":
            shape = _wholes(cursor, name, FaultKind.BAD_SHAPE)
        elif key == "data_offsets":
            offsets = _wholes(cursor, name, FaultKind.BAD_OFFSETS)
        else:
            raise HeaderFault(
                FaultKind.BAD_ENTRY, f"tensor {shown(name)} has a field {shown(key)} the format does not know"
            )
    if dtype is None or shape is None or offsets is None:
        raise HeaderFault(FaultKind.BAD_ENTRY, f"tensor {shown(name)} lacks one of dtype, shape and data_offsets")
    return _checked(name, dtype, shape, offsets)


def _dtype(cursor: Cursor, name: str) -> str:
    if not cursor.sees(b'"'):
        raise HeaderFault(FaultKind.BAD_ENTRY, f"the dtype of tensor {shown(name)} is not a string")
    return cursor.string()


_LIST = re.compile(rb"\[[0-9, \t\n\r]*+\]")
_NUMBER = re.compile(rb"[0-9]++")
_AMISS = (
    re.compile(  # no number between commas, none after the last, two without a comma, a leading zero; too many digits
        rb"[\[,]%b,|,%b\]|[0-9][ \t\n\r]++[0-9]|(?<![0-9])0[0-9]|[0-9]{%d}" % (SPACE, SPACE, _DIGITS + 1)
    )
)


def _wholes(cursor: Cursor, name: str, kind: FaultKind) -> tuple[int, ...]:
    found = cursor.take(_LIST)
    if found is None:
        raise _no_wholes(name, kind, cursor.at)
    amiss = _AMISS.search(cursor.head, *found.span())
    if amiss:
        too_long = len(amiss[0]) > _DIGITS and amiss[0].isdigit()
        raise _overflow(name) if too_long else _no_wholes(name, kind, found.start())
    digits = _NUMBER.finditer(cursor.head, *found.span())
    numbers = tuple(map(int, map(itemgetter(0), digits)))  # one at a time: there may be millions
    if max(numbers, default=0) > _LARGEST:
        raise _overflow(name)
    return numbers


def _no_wholes(name: str, kind: FaultKind, place: int) -> HeaderFault:
    return HeaderFault(kind, f"tensor {shown(name)} has no list of whole numbers at byte {place} of the file")


def _overflow(name: str) -> HeaderFault:
    return HeaderFault(FaultKind.OVERFLOW, f"tensor {shown(name)} has a number or a size that does not fit in 64 bits")


def _checked(name: str, dtype: str, shape: tuple[int, ...], offsets: tuple[int, ...]) -> Tensor:
    """The tensor, if its dtype is known, its offsets are a range, and the range is as long as dtype and shape say."""
    if dtype not in BITS:
        raise HeaderFault(
            FaultKind.UNKNOWN_DTYPE, f"tensor {shown(name)} has the dtype {shown(dtype)}, which is not known"
        )
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise HeaderFault(FaultKind.BAD_OFFSETS, f"the data_offsets of tensor {shown(name)} are not a begin and an end")
    begin, end = offsets
    elements = _elements(name, shape)
    bits = elements * BITS[dtype]
    if bits > _LARGEST:
        raise _overflow(name)
    if bits % 8:
        raise HeaderFault(FaultKind.SUB_BYTE, f"tensor {shown(name)} has {bits} bits, which do not fill its last byte")
    if bits // 8 != end - begin:
        message = f"tensor {shown(name)} needs {bits // 8} bytes, and its data_offsets give it {end - begin}"
        raise HeaderFault(FaultKind.WRONG_LENGTH, message)
    return Tensor(name=name, dtype=sys.intern(dtype), shape=shape, elements=elements, begin=begin, end=end)


def _elements(name: str, shape: tuple[int, ...]) -> int:
    """The product, in the order of the shape. As in the library no step may pass 64 bits, even if a 0 comes later."""
    elements = 1
    for dimension in shape:
        elements *= dimension
        if elements > _LARGEST:
            raise _overflow(name)
    return elements


def _check_coverage(tensors: list[Tensor], length: int) -> None:
    """Every byte after the header belongs to exactly one tensor. Sorts `tensors` by where their bytes are."""
    tensors.sort(key=attrgetter("end"))
    tensors.sort(key=attrgetter("begin"))  # stable: by begin, then end, without a tuple for each
    covered = 0
    for tensor in tensors:
        if tensor.begin != covered:
            kind = FaultKind.HOLE if tensor.begin > covered else FaultKind.OVERLAP
            message = f"tensor {shown(tensor.name)} begins at byte {tensor.begin}, the one before ends at {covered}"
            raise HeaderFault(kind, message)
        covered = tensor.end
    if covered > length:
        raise HeaderFault(FaultKind.TRUNCATED, f"the file ends {covered - length} bytes before its last tensor does")
    if covered < length:
        raise HeaderFault(
            FaultKind.TRAILING_BYTES, f"the file goes on for {length - covered} bytes after its last tensor"
        )


def _parameters_by_dtype(tensors: list[Tensor]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for tensor in tensors:
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.elements
    return dict(sorted(counts.items()))
