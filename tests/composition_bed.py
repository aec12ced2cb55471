"""Models in memory, and small true files of each format to make them of."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import hub_folder

from provision.composition import Misfit, misfits


class Held:
    """Contents in memory. A file may be longer than its bytes: the rest reads as zeros. `asked` is what was read."""

    def __init__(self, files: Mapping[str, bytes], lengths: Mapping[str, int] | None = None) -> None:
        self.files = dict(files)
        self.sizes = {path: len(data) for path, data in files.items()} | dict(lengths or {})
        self.asked: list[tuple[str, int, int]] = []

    def read(self, path: str, start: int, end: int) -> bytes:
        self.asked.append((path, start, end))
        end = min(end, self.sizes[path])
        return self.files[path][start:end].ljust(end - start, b"\0")


def found(files: Mapping[str, bytes]) -> list[Misfit]:
    return list(misfits(Held(files)))


def rules(files: Mapping[str, bytes]) -> list[str]:
    """The names of what does not fit, grave ones with a mark."""
    return [f"{misfit.rule}{'!' if misfit.grave else ''}" for misfit in found(files)]


def without(files: Mapping[str, bytes], *paths: str) -> dict[str, bytes]:
    assert set(paths) <= set(files), "a test must leave out what is there"
    return {path: data for path, data in files.items() if path not in paths}


def tensors(**elements: int) -> bytes:
    """A real safetensors file of F16 tensors."""
    with tempfile.TemporaryDirectory() as folder:
        hub_folder.weights(Path(folder) / "t.safetensors", elements)
        return (Path(folder) / "t.safetensors").read_bytes()


SMALL = tensors(w=4)


def text(**values: object) -> bytes:
    return json.dumps(values).encode()


def index(total: int | None = None, **homes: str) -> bytes:
    """An index as transformers writes it: tensor=shard."""
    metadata = {} if total is None else {"total_size": total}
    return text(metadata=metadata, weight_map=homes)


def gguf(
    tensors: Iterable[tuple[str, tuple[int, ...], int, int]] = (("a", (64,), 0, 0),),
    pairs: Iterable[bytes] = (),
    version: int = 3,
    data: int | None = None,
    alignment: int = 32,
) -> bytes:
    """A GGUF file as docs/gguf.md has it. A tensor: name, shape, type, offset; `data`: bytes after the header."""
    tensors, pairs = list(tensors), list(pairs)
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs)) + b"".join(pairs)
    for name, shape, kind, offset in tensors:
        head += gguf_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
    head += bytes(-len(head) % alignment)
    return head + bytes(256 if data is None else data)


def gguf_text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def gguf_words(key: str, words: Iterable[str]) -> bytes:
    words = list(words)
    return gguf_text(key) + struct.pack("<IIQ", 9, 8, len(words)) + b"".join(map(gguf_text, words))


def gguf_number(key: str, value: int) -> bytes:
    return gguf_text(key) + struct.pack("<II", 4, value)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: bytes | int) -> bytes:
    """One field of a protobuf message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def outside(location: str, offset: int | str = 0, length: int | str = 8, name: str = "W") -> bytes:
    """A TensorProto whose bytes are in another file."""
    entries = {"location": location, "offset": str(offset), "length": str(length)}
    pairs = (field(1, key.encode()) + field(2, value.encode()) for key, value in entries.items())
    return field(1, 4) + field(2, 1) + field(8, name.encode()) + b"".join(field(13, p) for p in pairs) + field(14, 1)


def inside(data: bytes = bytes(8)) -> bytes:
    """A TensorProto that holds its bytes."""
    return field(1, 4) + field(2, 1) + field(8, b"I") + field(9, data)


def onnx(*initializers: bytes, nodes: Iterable[bytes] = ()) -> bytes:
    """A ModelProto with a graph of these."""
    graph = b"".join(field(1, node) for node in nodes) + b"".join(field(5, tensor) for tensor in initializers)
    return field(1, 10) + field(2, b"pytorch") + field(7, graph) + field(8, field(2, 17))
