"""Which files are weights, and what the names say that transformers and diffusers give them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_BASE = r"(?P<base>diffusion_pytorch_model|pytorch_model|model)"  # WEIGHTS_NAME and its safe form
_SHARD = r"-\d{5}-of-\d{5}"
_TAG = r"(?P<tag>[A-Za-z0-9_-]+?)"
_FORMAT = r"(?P<format>safetensors|bin)"
_WEIGHTS = (
    re.compile(rf"{_BASE}(?:\.{_TAG})?(?P<shard>{_SHARD})?\.{_FORMAT}"),
    re.compile(rf"{_BASE}(?P<shard>{_SHARD})\.{_TAG}\.{_FORMAT}"),
)
_INDEXES = (
    re.compile(rf"{_BASE}\.{_FORMAT}\.index(?:\.{_TAG})?\.json(?P<shard>)"),
    re.compile(rf"{_BASE}\.{_FORMAT}\.{_TAG}\.index\.json(?P<shard>)"),
)
_ENDINGS = r"safetensors|bin|pt|pth|ckpt|pkl|msgpack|h5|ot|onnx|onnx_data|pb|flashpack|gguf|tflite"
_ANY_WEIGHT = re.compile(
    rf"openvino_.*|.*\.({_ENDINGS})|.*\.(safetensors|bin)\.(.*\.)?index(\..*)?\.json", re.IGNORECASE
)
_HOLDS_WEIGHTS = re.compile(
    rf".*\.({_ENDINGS}|ggml|npz|nemo|mlmodel|llamafile|engine|xml|safetensors\.\w+|data-\d+-of-\d+)|weights?\.\w+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What a weight file's name, or its index's, says. `spelling`: 0 as now, 1 as older releases wrote variants."""

    base: str
    tag: str | None
    format: str
    spelling: int
    is_shard: bool = False
    is_index: bool = False


def weights_of(name: str) -> Weights | None:
    """What `name`, a file's last segment, says; None where transformers and diffusers do not look for it."""
    for is_index, spellings in ((False, _WEIGHTS), (True, _INDEXES)):
        for spelling, pattern in enumerate(spellings):
            if match := pattern.fullmatch(name):
                return Weights(
                    base=match["base"],
                    tag=match["tag"],
                    format=match["format"],
                    spelling=spelling,
                    is_shard=bool(match["shard"]),
                    is_index=is_index,
                )
    return None


def belongs_to_weights(name: str) -> bool:
    """Whether `name` is a weight file of any format, or goes with one, as an index does."""
    return _ANY_WEIGHT.fullmatch(name) is not None


def holds_weights(path: str) -> bool:
    """Whether the file at `path` holds weights of a known format, under whatever name."""
    return _HOLDS_WEIGHTS.fullmatch(path.rpartition("/")[2]) is not None


def by_folder(paths: Iterable[str]) -> dict[str, list[str]]:
    """Folder -> names in it, both sorted; the root is ""."""
    found: dict[str, list[str]] = {}
    for path in sorted(paths):
        folder, _, name = path.rpartition("/")
        found.setdefault(folder, []).append(name)
    return found


def joined(folder: str, name: str) -> str:
    """The path of `name` in `folder`."""
    return f"{folder}/{name}" if folder else name


def glob(folder: str, pattern: str) -> str:
    """A manifest's glob for `pattern` in `folder` alone."""
    return f"{folder}/{pattern}"
