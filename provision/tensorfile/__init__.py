"""The safetensors header: bytes in, a `Header` or one named `HeaderFault` out. No I/O.

A file is eight bytes (N, little-endian u64), N bytes of JSON and the tensors' bytes, as "Format" in the README of
huggingface/safetensors says. What is refused is all that the `safetensors` 0.8.0 library refuses, and what that text
forbids although the library lets it through: white space before the `{`, padding other than 0x20, a key given twice.
Where the text is silent, an entry is the object it shows, with the three fields it names and no other: the library
also takes an entry as a JSON array, a dtype as an object, and ignores other fields. No known writer produces these, and
they let one file mean different things to different readers. `"__metadata__": null` is accepted: mlx writes it.

Cost: these headers are a regular language, so they are matched in place, in one pass and without recursion. Time is
linear in the header. Memory beside the given bytes is at most 20 bytes for each byte of the header: the worst are
metadata of millions of tiny pairs and shapes of millions of dimensions; tensor entries take under five.

    fault.py   the names of what can be wrong
    nature.py  what a file is instead, from its first bytes
    cursor.py  the JSON, as far as these headers need it
    header.py  the entries, and whether they fit the file
"""

from __future__ import annotations

from provision.tensorfile.fault import FaultKind, HeaderFault
from provision.tensorfile.header import (
    BITS,
    Header,
    Tensor,
    header_length,
    parse_header,
)
from provision.tensorfile.nature import HEADER_LENGTH_BYTES, HEADER_LIMIT, nature

__all__ = [
    "BITS",
    "HEADER_LENGTH_BYTES",
    "HEADER_LIMIT",
    "FaultKind",
    "Header",
    "HeaderFault",
    "Tensor",
    "header_length",
    "nature",
    "parse_header",
]
