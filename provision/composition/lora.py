"""LoRA and adapters, as far as they can be checked without the model they are for.

- `adapter_model.safetensors` is peft's, and `PeftModel.from_pretrained` begins with adapter_config.json beside it
  (peft/config.py). Other programs take the tensors alone: told, not grave.
- A LoRA's matrices come in pairs, `down` and `up` or `A` and `B`. diffusers and ComfyUI take the one for the other's
  sake and fail, or leave it out, where that is missing (diffusers/loaders/lora_conversion_utils.py). Looked for only
  in files that call themselves LoRA.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from provision.composition.misfit import Misfit, Rule, listed
from provision.composition.tensors import tensors
from provision.composition.weights import joined

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.composition.misfit import Contents

_ADAPTERS = {"adapter_model.safetensors", "adapter_model.bin"}
_LORA = re.compile(r"(.*/)?(?:[^/]*lora[^/]*|adapter_model)\.safetensors", re.IGNORECASE)
_HALF = re.compile(r"(?P<of>.+)[._]lora[._]?(?P<half>down|up|A|B)(?P<rest>(?:\..+)?)")
_OTHER = {"down": "up", "up": "down", "A": "B", "B": "A"}


def misfits(contents: Contents) -> Iterator[Misfit]:
    """What an adapter or a LoRA lacks."""
    for path in sorted(contents.sizes):
        folder, _, name = path.rpartition("/")
        config = joined(folder, "adapter_config.json")
        if name in _ADAPTERS and config not in contents.sizes:
            detail = "there is no adapter_config.json beside it, without which peft cannot load it"
            yield Misfit(rule=Rule.ADAPTER_CONFIG, path=path, detail=detail, grave=False, lacking=(config,))
        if _LORA.fullmatch(path):
            yield from _of_pairs(contents, path)


def _of_pairs(contents: Contents, path: str) -> Iterator[Misfit]:
    found = tensors(contents, path)
    if isinstance(found, Misfit):
        yield found
        return
    halves = dict[tuple[str, str], str]()
    for name, _ in found:
        if match := _HALF.fullmatch(name):
            halves[match["of"] + match["rest"], match["half"]] = name
    alone = [name for (of, half), name in halves.items() if (of, _OTHER[half]) not in halves]
    if alone:
        detail = f"{listed(alone)} {'is' if len(alone) == 1 else 'are'} without the other half of the pair"
        yield Misfit(rule=Rule.LORA_PAIR, path=path, detail=detail, grave=False)
