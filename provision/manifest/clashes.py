"""What is wrong between the entries of one manifest, as far as it can be known before a hub is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.layout import Layout
from provision.manifest.globs import is_glob
from provision.manifest.wording import quoted
from provision.names import target_fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from provision.errors import Issue
    from provision.manifest.entries import Model, Position, WantedFile

_CACHES = {Layout.HF_CACHE, Layout.MODELSCOPE_CACHE}


def of(root: str, models: Sequence[Model]) -> Iterator[Issue]:
    """Every clash between `models` below `root`."""
    yield from _same_names(models)
    yield from _names_in_a_cache(models)
    targets = [found for model in models for found in _known_targets(model)]
    yield from _same_targets(targets)
    folders = [(model.target, model.position) for model in models]
    yield from _unfit(root, [*folders, *targets])


def _same_names(models: Sequence[Model]) -> Iterator[Issue]:
    seen: dict[str, Model] = {}
    for model in models:
        first = seen.setdefault(model.name.casefold(), model)
        if first is model:
            continue
        but_for_case = "" if first.name == model.name else f", but for case, as `{first.name}`"
        message = f"the name `{model.name}` is taken by the model on line {first.position.line}{but_for_case}"
        yield model.position.issue(message, meant="give one of them its own `name:`")


def _names_in_a_cache(models: Sequence[Model]) -> Iterator[Issue]:
    for model in models:
        for file in model.files or ():
            if file.target is not None and model.layout in _CACHES:
                message = f"`target` cannot stand here: the layout {model.layout} decides every name itself"
                yield file.position.issue(message)


def _known_targets(model: Model) -> Iterator[tuple[str, Position]]:
    """Final names below the root, of the files that are named exactly."""
    for file in model.files or ():
        if model.layout not in _CACHES and not is_glob(file.pattern):
            yield _target(model, file), file.position


def _target(model: Model, file: WantedFile) -> str:
    if file.target is not None:
        return file.target
    name = file.pattern.rpartition("/")[2] if model.layout is Layout.FLAT else file.pattern
    return _joined(model.target, name)


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder and name else folder or name


def _same_targets(targets: Sequence[tuple[str, Position]]) -> Iterator[Issue]:
    first: dict[str, Position] = {}
    for target, position in targets:
        if first.setdefault(target, position) is not position:
            yield position.issue(f"`{target}` is the target of two files; the other is on line {first[target].line}")
    for target, position in targets:
        parts = target.split("/")
        for length in range(1, len(parts)):
            if other := first.get("/".join(parts[:length])):
                message = f"`{target}` lies below `{'/'.join(parts[:length])}`, a file's target on line {other.line}"
                yield position.issue(message)


def _unfit(root: str, targets: Sequence[tuple[str, Position]]) -> Iterator[Issue]:
    """Targets that are too long, or our own, once the root stands before them."""
    for target, position in targets:
        whole = _joined(root, target)
        if whole and (fault := target_fault(whole)):
            yield position.issue(f"the target {quoted(whole)} {fault}")
