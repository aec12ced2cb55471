"""Which weights of a diffusers tree belong to a variant, as `variant_compatible_siblings` of diffusers 0.42 has it.

Each folder is a component. Of the weights in it, one set is taken, the first that is there:

1. safetensors of the variant: `model.fp16.safetensors`, or shards `model.fp16-00001-of-00002.safetensors`,
   or shards as older releases named them, `model-00001-of-00002.fp16.safetensors`;
2. plain safetensors;
3. `.bin` of the variant; 4. plain `.bin`. (diffusers itself would put 3 before 2; here pickles come last.)

The index of the same set goes with it. All other weights in the folder are left: other variants (`ema`, `non_ema`),
other formats (ONNX, OpenVINO, Flax, TensorFlow), names that diffusers does not load. Weights at the root of a tree
with components are left too: they are single-file checkpoints of the same model. What is no weight always stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.composition.weights import Weights, belongs_to_weights, weights_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """The paths that stay, and the components in which only plain weights were found."""

    paths: tuple[str, ...]
    variant_in: tuple[str, ...]
    plain_in: tuple[str, ...]


def usable(paths: Iterable[str], variant: str) -> Usable:
    """What `variant` leaves of `paths`, in their order. Where no weight has a known name, all stay."""
    paths = tuple(paths)
    components = _components(paths)
    chosen = {folder: _choice(names, variant) for folder, names in components.items()}
    stay = (path for path in paths if not components or _stays(path, chosen))
    taken = [(folder, choice.tag) for folder, choice in sorted(chosen.items()) if choice is not None]
    return Usable(
        paths=tuple(stay),
        variant_in=tuple(folder for folder, tag in taken if tag == variant),
        plain_in=tuple(folder for folder, tag in taken if tag is None),
    )


def _components(paths: Sequence[str]) -> dict[str, list[str]]:
    """Folder -> names, for folders with weights; the root only where no other folder has any."""
    found: dict[str, list[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        if weights_of(name) is not None:
            found.setdefault(folder, []).append(name)
    if len(found) > 1:
        found.pop("", None)
    return found


def _choice(names: Iterable[str], variant: str) -> Weights | None:
    """The set of weights to take, or None where all are of other variants."""
    found = [weights for weights in map(weights_of, names) if weights and not weights.is_index]
    fit = [weights for weights in found if weights.tag in {variant, None}]
    return min(fit, key=lambda weights: (weights.format == "bin", weights.tag is None, weights.spelling), default=None)


def _stays(path: str, chosen: dict[str, Weights | None]) -> bool:
    folder, _, name = path.rpartition("/")
    if not belongs_to_weights(name):
        return True
    weights, choice = weights_of(name), chosen.get(folder)
    if weights is None or choice is None or (weights.format, weights.tag) != (choice.format, choice.tag):
        return False
    return weights.is_index or weights.spelling == choice.spelling
