"""Pipelines of diffusers: `model_index.json` and the folders of its components, as diffusers 0.42 loads them.

A component is a pair [library, class]; a pair of nulls, and what is no pair, is none (`_get_pipeline_components`,
pipeline_utils.py). It is loaded from the folder of its name, or from the pipeline's own folder where there is no such
one (`load_sub_model`, pipeline_loading_utils.py). A scheduler needs scheduler_config.json
(schedulers/scheduling_utils.py), a model config.json and weights. A variant is taken where a component has it, else its
plain weights (`_identify_model_variants`). What a class needs is known by its name; of a class
with another name nothing is asked but to be there. Flax and ONNX pipelines have weights of their own, and are not asked
for these.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from provision.composition.document import Unfit, document
from provision.composition.misfit import Misfit, Rule, listed
from provision.composition.vocabulary import USUAL, has_vocabulary, needs_vocabulary
from provision.composition.weights import by_folder, glob, holds_weights, joined, weights_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from provision.composition.misfit import Contents

_NAME = "model_index.json"
_LIMIT = 100  # components; no pipeline has twenty
_MODEL = re.compile(
    r"(?!Flax|Onnx)\w*(Model|Transformer\w*|Autoencoder\w*|VQ\w*|UNet\w*|ControlNet\w*|WithProjection|SafetyChecker"
    r"|ForConditionalGeneration|ForCausalLM|Prior)"
)
_IMAGES = re.compile(r"\w+(FeatureExtractor|ImageProcessor|ImageProcessorFast)")
_WEIGHTS = ("*.safetensors", "*.bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Component:
    """One component. `index`: the path of the model_index.json that asks for it; `folder`: where it is loaded from."""

    index: str
    name: str
    library: str
    kind: str
    folder: str
    files: Sequence[str]

    @property
    def is_model(self) -> bool:
        return self.library != "onnxruntime" and _MODEL.fullmatch(self.kind) is not None

    @property
    def weights(self) -> list[str]:
        return [name for name in self.files if holds_weights(name)]

    def misfit(self, rule: Rule, detail: str, *lacking: str) -> Misfit:
        wanted = tuple(glob(self.folder, name) for name in lacking)
        return Misfit(rule=rule, path=self.index, detail=f"`{self.name}` ({self.kind}) {detail}", lacking=wanted)


def misfits(contents: Contents) -> Iterator[Misfit]:
    """What the components of each pipeline lack. Where no weights are there at all, nobody asked for any."""
    folders = by_folder(contents.sizes)
    parents = _with_parents(folders)
    asked = any(map(holds_weights, contents.sizes))
    for folder, names in folders.items():
        if _NAME in names:
            for misfit in _of_pipeline(contents, folder, folders, parents):
                yield misfit if asked else replace(misfit, grave=False)


def _with_parents(folders: Mapping[str, object]) -> set[str]:
    found = set[str]()
    for folder in folders:
        path = folder
        while path and path not in found:
            found.add(path)
            path = path.rpartition("/")[0]
    return found


def _of_pipeline(
    contents: Contents, folder: str, folders: Mapping[str, Sequence[str]], parents: set[str]
) -> Iterator[Misfit]:
    path = joined(folder, _NAME)
    try:
        values = document(contents, path).values
    except Unfit as unfit:
        yield unfit.misfit(Rule.UNREADABLE_CONFIG, path)
        return
    components = []
    for name, value in list(values.items())[:_LIMIT]:
        if _is_component(name, value):
            place = joined(folder, name) if joined(folder, name) in parents else folder
            component = _Component(
                index=path, name=name, library=value[0], kind=value[1], folder=place, files=folders.get(place, ())
            )
            components.append(component)
            yield from _of_component(component, is_own=place != folder)
    yield from _of_variants(path, [component for component in components if component.is_model])


def _is_component(name: str, value: object) -> bool:
    """Names that make no folder are left to diffusers, which takes each from the pipeline's signature."""
    pair = isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)
    return pair and not name.startswith("_") and re.fullmatch(r"\w{1,100}", name) is not None


def _of_component(component: _Component, *, is_own: bool) -> Iterator[Misfit]:
    """`is_own`: it has its folder; else it must be loaded from the pipeline's."""
    lacking = _lacking(component)
    if lacking and not is_own:
        own = replace(component, folder=joined(component.folder, component.name))
        yield own.misfit(Rule.COMPONENT_MISSING, f"has no folder `{own.folder}`", "*", "**/*")
        return
    if lacking:
        yield component.misfit(Rule.COMPONENT_CONFIG, f"has no {lacking[0]} in `{component.folder}`", *lacking)
    if component.is_model and is_own and not component.weights:
        yield component.misfit(Rule.COMPONENT_WEIGHTS, f"has no weights in `{component.folder}`", *_WEIGHTS)


def _lacking(component: _Component) -> tuple[str, ...]:
    """The configuration that its class needs and that is not there: any of these."""
    kind, files = component.kind, component.files
    wanted: tuple[str, ...] = ()
    if kind.endswith(("Tokenizer", "TokenizerFast")):
        there = "tokenizer_config.json" in files or has_vocabulary(files) or not needs_vocabulary(kind)
        return () if there else ("tokenizer_config.json", *USUAL)
    if kind.endswith("Scheduler"):
        wanted = ("scheduler_config.json",)
    elif component.library == "transformers" and _IMAGES.fullmatch(kind):
        wanted = ("preprocessor_config.json", "processor_config.json")
    elif component.is_model:
        wanted = ("config.json",)
    return () if any(name in files for name in wanted) else wanted


def _of_variants(path: str, models: Sequence[_Component]) -> Iterator[Misfit]:
    """One variant, or none, is asked for: each model must have it, or plain weights."""
    tags = {model.name: _tags(model) for model in models}
    bound = {name: found for name, found in tags.items() if found and None not in found}
    if not bound:
        return
    common = set.intersection(*bound.values())
    if not common:
        detail = f"no one variant is there for all of {listed(bound)}: each has weights of others only"
        yield Misfit(rule=Rule.VARIANT_MIXED, path=path, detail=detail)
        return
    others = [name for name, found in tags.items() if found and not found & common]
    if others:
        variant = min(str(tag) for tag in common)
        detail = f"{listed(bound)} has only the variant `{variant}`, {listed(others)} only other weights"
        yield Misfit(rule=Rule.VARIANT_MIXED, path=path, detail=detail, grave=False)


def _tags(component: _Component) -> set[str | None]:
    found = (weights_of(name) for name in component.files)
    return {weights.tag for weights in found if weights and not weights.is_index}
