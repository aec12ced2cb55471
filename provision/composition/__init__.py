"""Composition: whether the files of a model fit together, from headers and small JSON alone.

The bytes may all be as promised and the model be of no use: a shard that nobody asked for, a component without weights.
What is checked is what the formats' own readers need; each rule names its source. Grave is what makes such a reader
fail, or use other weights than were meant; what only may is told. A model of which nobody asked for any weights (its
configuration, its tokenizer) is no fault.

misfit       the values
weights      which files are weights, and what their names say
document     small JSON of strangers, with bounds
window       a file read forward, with bounds
sharding     indexes and numbered shards (transformers, diffusers, huggingface_hub)
pipeline     model_index.json (diffusers)
pretrained   config.json, weights and vocabularies (transformers)
gguf         GGUF (ggml)
onnx         ONNX with data in files of its own
lora         LoRA and adapters (peft)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from provision.composition.misfit import Contents, Misfit, Rule, described

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Contents", "Misfit", "Rule", "concerns", "described", "misfits"]

BUDGET: Final = 512 * 1024 * 1024
"""Bytes that one check reads at most. The largest models known have some 20 MiB of headers and index."""

_RULES: Final = {
    "sharding": ("index", "-of-"),
    "pipeline": ("model_index.json",),
    "pretrained": ("config.json",),
    "gguf": (".gguf",),
    "onnx": (".onnx",),
    "lora": ("lora", "adapter_model"),
}
"""The modules of rules, each with what a path has in it when one of them may apply: the others need no import."""

_PAPERS = (".md", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".pdf", ".mp4", ".gitattributes", ".gitignore")


def misfits(contents: Contents) -> tuple[Misfit, ...]:
    """Everything that does not fit in one model, by path. Nothing in a file's bytes raises: it is a misfit then.

    Time and memory are bounded whatever the files hold. Raises only what `contents.read` raises.
    """
    bounded, found, names = _Bounded(contents), list[Misfit](), "\n".join(contents.sizes).lower()
    try:
        for name, words in _RULES.items():
            if any(word in names for word in words):
                found.extend(import_module(f"{__name__}.{name}").misfits(bounded))
    except _Spent as spent:
        detail = f"more than {BUDGET:,} bytes of headers and indexes: the rest was not checked"
        found.append(Misfit(rule=Rule.UNCHECKED, path=spent.path, detail=detail, grave=False))
    return tuple(sorted(found, key=lambda misfit: (misfit.path, misfit.rule)))


def concerns(path: str) -> bool:
    """Whether any rule looks at a file of this path, or for one."""
    return not path.lower().endswith(_PAPERS)


class _Spent(Exception):
    """The budget is."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class _Bounded:
    """Contents that may be read up to the budget."""

    def __init__(self, contents: Contents) -> None:
        self._contents, self._left = contents, BUDGET
        self.sizes: Mapping[str, int] = contents.sizes

    def read(self, path: str, start: int, end: int) -> bytes:
        self._left -= end - start
        if self._left < 0:
            raise _Spent(path)
        return self._contents.read(path, start, end)
