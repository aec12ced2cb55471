"""Folders as `from_pretrained` of transformers 5 reads them: config.json, weights, and a tokenizer's vocabulary.

- A model is made as config.json says (`model_type`, configuration_utils.py), and then needs weights. A folder of
  configuration alone is what many ask for on purpose (a tokenizer for weights of elsewhere): told, never grave.
- A tokenizer of the class that tokenizer_config.json names needs its vocabulary (`_from_pretrained`,
  tokenization_utils_base.py: tokenizer.json or the class's own files, else "Can't load tokenizer"). Asked only of
  classes that are known to need one: others work on bytes, and those with code of their own (`auto_map`) may have it
  anywhere.
- Weights under transformers' names beside a tokenizer, without config.json: told.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from provision.composition.document import Unfit, document
from provision.composition.misfit import Misfit, Rule, listed
from provision.composition.vocabulary import USUAL, has_vocabulary, needs_vocabulary
from provision.composition.weights import by_folder, glob, holds_weights, joined, weights_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from provision.composition.misfit import Contents

_CONFIG, _TOKENIZER = "config.json", "tokenizer_config.json"
_LIMIT = 100  # folders whose configuration is read
_OTHERS = frozenset({"params.json", "config.yaml", "config.yml", "configuration.json", "adapter_config.json"})


def misfits(contents: Contents) -> Iterator[Misfit]:
    """What folders with a configuration, weights or a tokenizer lack."""
    folders = by_folder(contents.sizes)
    asked = any(map(holds_weights, contents.sizes))
    if not asked:
        yield from _without_weights(contents, sorted(folders, key=lambda folder: (folder.count("/"), folder))[:_LIMIT])
    tokenizers = [folder for folder, names in folders.items() if _TOKENIZER in names]
    for folder in tokenizers[:_LIMIT]:
        if not has_vocabulary(folders[folder]):
            for misfit in _without_vocabulary(contents, folder):
                yield misfit if asked else replace(misfit, grave=False)
    for folder, names in folders.items():
        yield from _without_config(folder, names)


def _without_weights(contents: Contents, folders: Sequence[str]) -> Iterator[Misfit]:
    """One for the whole model, at the outermost configuration of one."""
    for folder in folders:
        path = joined(folder, _CONFIG)
        if path not in contents.sizes:
            continue
        try:
            values = document(contents, path).values
        except Unfit as unfit:
            yield unfit.misfit(Rule.UNREADABLE_CONFIG, path)
            return
        if "model_type" in values or "architectures" in values:
            detail = "it describes a model, and there are no weights of any format"
            lacking = (glob(folder, "*.safetensors"), glob(folder, "*.bin"), "*.gguf", "*.onnx")
            yield Misfit(rule=Rule.WEIGHTS_MISSING, path=path, detail=detail, grave=False, lacking=lacking)
            return


def _without_vocabulary(contents: Contents, folder: str) -> Iterator[Misfit]:
    path = joined(folder, _TOKENIZER)
    try:
        values = document(contents, path).values
    except Unfit as unfit:
        yield unfit.misfit(Rule.UNREADABLE_CONFIG, path)
        return
    kind = values.get("tokenizer_class")
    if not isinstance(kind, str) or not needs_vocabulary(kind) or "auto_map" in values:
        return
    detail = f"there is neither tokenizer.json nor another vocabulary beside it, which {listed([kind])} needs"
    lacking = tuple(glob(folder, pattern) for pattern in USUAL)
    yield Misfit(rule=Rule.VOCABULARY_MISSING, path=path, detail=detail, lacking=lacking)


def _without_config(folder: str, names: Sequence[str]) -> Iterator[Misfit]:
    present = set(names)
    if _CONFIG in present or _TOKENIZER not in present or not present.isdisjoint(_OTHERS):
        return
    for name in names:
        weights = weights_of(name)
        if weights and weights.base != "diffusion_pytorch_model" and not weights.is_index:
            detail = "there is no config.json beside it, without which transformers cannot load it"
            config = joined(folder, _CONFIG)
            yield Misfit(
                rule=Rule.CONFIG_MISSING, path=joined(folder, name), detail=detail, grave=False, lacking=(config,)
            )
            return
