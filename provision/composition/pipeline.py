"""Pipelines of diffusers: `model_index.json` and the folders of its components, as diffusers 0.42 loads them.

A component is a pair [library, class]; a pair of nulls, and what is no pair, is none (`_get_pipeline_components`,
pipeline_utils.py). It is loaded from the folder of its name, or from the pipeline's own folder where there is no such
one (`load_sub_model`, pipeline_loading_utils.py). A scheduler needs scheduler_config.json
(schedulers/scheduling_utils.py), a model config.json and weights. A variant is taken where a component has it, else its
plain weights (`_identify_model_variants`). What a class needs is known by its name; of a class
with another name nothing is asked but to be there. Flax and ONNX pipelines have weights of their own, and are not asked
for these.

Grave is a fault only in a pipeline of which weights are there: its configurations alone are what `from_single_file`
takes beside one file. Components that many pipelines declare optional (`_optional_components`) are told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from provision.composition.document import Unfit, document
from provision.composition.misfit import Misfit, Rule, listed
from provision.composition.vocabulary import USUAL, has_vocabulary, needs_vocabulary
from provision.composition.weights import by_folder, glob, holds_weights, joined, weights_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from provision.composition.misfit import Contents

_NAME = "model_index.json"
_LIMIT = 100  # components; no pipeline has twenty
_MODEL = re.compile(
    r"(?!Flax|Onnx)\w*(Model|Transformer\w*|Autoencoder\w*|VQ\w*|UNet\w*|ControlNet\w*|WithProjection|SafetyChecker"
    r"|ForConditionalGeneration|ForCausalLM|Prior)"
)
_IMAGES = re.compile(r"\w+(FeatureExtractor|ImageProcessor|ImageProcessorFast)")
_WEIGHTS = ("*.safetensors", "*.bin")
_OPTIONAL = frozenset({"safety_checker", "feature_extractor", "image_encoder"})
_PLAIN = (".json", ".txt", ".md")  # certainly no weights


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tree:
    """Names by folder, and the folders that hold, at any depth, a file; weights; what may be weights."""

    names: Mapping[str, Sequence[str]]
    filled: set[str]
    weighty: set[str]
    opaque: set[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Component:
    """One component. `index`: the path of the model_index.json that asks for it; `folder`: where it is loaded from, and
    `is_own` where that is not the pipeline's.
    """

    index: str
    name: str
    library: str
    kind: str
    folder: str
    is_own: bool
    files: Sequence[str]

    @property
    def is_model(self) -> bool:
        return self.library != "onnxruntime" and _MODEL.fullmatch(self.kind) is not None

    @property
    def is_optional(self) -> bool:
        return self.name in _OPTIONAL

    def misfit(self, rule: Rule, detail: str, lacking: Sequence[str], *, grave: bool = True) -> Misfit:
        return Misfit(
            rule=rule,
            path=self.index,
            detail=f"`{self.name}` ({self.kind}) {detail}",
            grave=grave and not self.is_optional,
            lacking=tuple(glob(self.folder, name) for name in lacking),
        )


def misfits(contents: Contents) -> Iterator[Misfit]:
    """What the components of each pipeline lack."""
    tree = _tree(contents.sizes)
    for folder, names in tree.names.items():
        if _NAME in names:
            yield from _of_pipeline(contents, folder, tree)


def _tree(paths: Iterable[str]) -> _Tree:
    names = by_folder(paths)
    return _Tree(
        names=names,
        filled=_with_parents(names),
        weighty=_with_parents(folder for folder, inside in names.items() if any(map(holds_weights, inside))),
        opaque=_with_parents(
            folder for folder, inside in names.items() if not all(name.lower().endswith(_PLAIN) for name in inside)
        ),
    )


def _with_parents(folders: Iterable[str]) -> set[str]:
    found = set[str]()
    for folder in folders:
        path = folder
        while path and path not in found:
            found.add(path)
            path = path.rpartition("/")[0]
    return found


def _of_pipeline(contents: Contents, folder: str, tree: _Tree) -> Iterator[Misfit]:
    path = joined(folder, _NAME)
    try:
        values = document(contents, path).values
    except Unfit as unfit:
        asked = folder in tree.weighty if folder else bool(tree.weighty)
        yield replace(unfit.misfit(Rule.UNREADABLE_CONFIG, path), grave=unfit.grave and asked)
        return
    components = list(_components(path, values, tree))
    asked = any(one.is_own and one.folder in tree.weighty and not one.is_optional for one in components)
    found = [misfit for component in components for misfit in _of_component(component, tree)]
    for misfit in [*found, *_of_variants(path, components)]:
        yield misfit if asked else replace(misfit, grave=False)


def _components(path: str, values: Mapping[str, Any], tree: _Tree) -> Iterator[_Component]:
    folder = path.rpartition("/")[0]
    for name, value in list(values.items())[:_LIMIT]:
        if _is_component(name, value):
            own = joined(folder, name)
            place = own if own in tree.filled else folder
            yield _Component(
                index=path,
                name=name,
                library=value[0],
                kind=value[1],
                folder=place,
                is_own=place == own,
                files=tree.names.get(place, ()),
            )


def _is_component(name: str, value: object) -> bool:
    """Names that make no folder are left to diffusers, which takes each from the pipeline's signature."""
    pair = isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)
    return pair and not name.startswith("_") and re.fullmatch(r"\w{1,100}", name) is not None


def _of_component(component: _Component, tree: _Tree) -> Iterator[Misfit]:
    lacking, place = _lacking(component), component.folder
    if lacking and not component.is_own:
        own = replace(component, folder=joined(place, component.name))
        yield own.misfit(Rule.COMPONENT_MISSING, f"has no folder `{own.folder}`", ("*", "**/*"))
        return
    if lacking:
        yield component.misfit(Rule.COMPONENT_CONFIG, f"has no {lacking[0]} in `{place}`", lacking)
    if component.is_model and component.is_own and place not in tree.weighty:
        grave = place not in tree.opaque  # else what is there may be weights of a format that is not known here
        yield component.misfit(Rule.COMPONENT_WEIGHTS, f"has no weights in `{place}`", _WEIGHTS, grave=grave)


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


def _of_variants(path: str, components: Sequence[_Component]) -> Iterator[Misfit]:
    """One variant, or none, is asked for: each model must have it, or plain weights."""
    models = [component for component in components if component.is_model and not component.is_optional]
    bound = [(model, found) for model in models if (found := _tags(model)) and None not in found]
    if bound and not set.intersection(*(found for _, found in bound)):
        names = listed(model.name for model, _ in bound)
        detail = f"no one variant is there for all of {names}: each has weights of others only"
        lacking = tuple(glob(model.folder, name) for model, _ in bound for name in _WEIGHTS)
        yield Misfit(rule=Rule.VARIANT_MIXED, path=path, detail=detail, lacking=lacking)


def _tags(component: _Component) -> set[str | None]:
    found = (weights_of(name) for name in component.files)
    return {weights.tag for weights in found if weights and not weights.is_index}
