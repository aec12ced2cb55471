"""The values of a composition: what is looked at, and what does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from provision.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Rule(StrEnum):
    """The name of what does not fit."""

    SHARD_MISSING = "shard-missing"
    INDEX_MISSING = "index-missing"
    UNREADABLE_INDEX = "unreadable-index"
    TENSOR_MISSING = "tensor-missing"  # in no shard
    TENSOR_MISPLACED = "tensor-misplaced"  # in another shard than the index says
    TENSOR_TWICE = "tensor-twice"
    TOTAL_SIZE = "total-size"
    BAD_HEADER = "bad-header"

    COMPONENT_MISSING = "component-missing"
    COMPONENT_CONFIG = "component-config"
    COMPONENT_WEIGHTS = "component-weights"
    VARIANT_MIXED = "variant-mixed"

    WEIGHTS_MISSING = "weights-missing"
    CONFIG_MISSING = "config-missing"
    UNREADABLE_CONFIG = "unreadable-config"
    VOCABULARY_MISSING = "vocabulary-missing"

    BAD_GGUF = "bad-gguf"
    GGUF_TOO_SHORT = "gguf-too-short"
    GGUF_PART_MISSING = "gguf-part-missing"

    BAD_ONNX = "bad-onnx"
    ONNX_DATA_MISSING = "onnx-data-missing"
    ONNX_DATA_SHORT = "onnx-data-short"

    LORA_PAIR = "lora-pair"
    ADAPTER_CONFIG = "adapter-config"

    PICKLE_DANGEROUS = "pickle-dangerous"  # loading it runs more than its weights need (picklescan)

    UNREADABLE = "unreadable"  # its place cannot be read
    UNCHECKED = "unchecked"  # more than is read for a check


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """`path` is the file, in the repository, that shows it; `grave` where a reader will fail, else it may.

    `lacking` are exact paths, or globs as manifests have them, of files any of which might mend it.
    """

    rule: Rule
    path: str
    detail: str
    grave: bool = True
    lacking: tuple[str, ...] = ()


class Contents(Protocol):
    """The files of one model, by their path in the repository."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Every file, with its length in bytes."""

    def read(self, path: str, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`, fewer only where the file ends. Raises what its place raises."""


def described(misfit: Misfit) -> str:
    """A misfit on one line."""
    return f"{shown(misfit.path)}: {misfit.detail} ({misfit.rule.value})"


def listed(names: Iterable[str], count: int | None = None) -> str:
    """The first few of many foreign names, fit to print; `count` is how many there are, where `names` are not all."""
    every = list(names)
    total = len(every) if count is None else count
    told = ", ".join(f"`{shown(name, 80)}`" for name in every[:_TOLD])
    return told if total <= _TOLD else f"{told} and {total - _TOLD:,} more"


_TOLD = 3
