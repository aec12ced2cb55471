"""Whether the models that stand on a volume fit together: asked of those whose files are all as promised."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from provision.composition import Misfit, Rule, misfits
from provision.errors import VolumeError
from provision.verification.findings import ModelMisfit, Note
from provision.volume.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from provision.lock import Lock, LockedModel
    from provision.volume.view import View


def misfits_of(view: View, locks: Iterable[Lock], only: Container[str] | None = None) -> list[ModelMisfit]:
    """What does not fit, by model, in the order of the locks. `only`: the targets that were found to be as promised.

    A model with another file is left out: that file is what is to be told. Where the lock allows a model to be
    incomplete nothing is grave. A file that cannot be read is a misfit, too. Headers and small JSON are read.
    """
    return [
        ModelMisfit(project=lock.project, model=model.name, misfit=misfit)
        for lock in locks
        for model in lock.models
        if only is None or all(file.target in only for file in model.files)
        for misfit in _of_model(view, model)
    ]


def unasked_notes(locks: Iterable[Lock], ours: Container[str]) -> list[Note]:
    """That models of which some files, but not all, are among `ours` were not asked whether they fit together."""
    shares = [{file.target in ours for file in model.files} for lock in locks for model in lock.models]
    split = sum(len(share) > 1 for share in shares)
    if not split:
        return []
    told = "1 model is" if split == 1 else f"{split:,} models are"
    text = f"{told} in several shards, and not asked whether the files fit together: a run without --shard asks"
    return [Note(kind="fit", text=text)]


def _of_model(view: View, model: LockedModel) -> list[Misfit]:
    try:
        with Standing(view, model) as standing:
            found = list(misfits(standing))
    except VolumeError as error:
        path = model.files[0].path if model.files else model.name
        return [Misfit(rule=Rule.UNREADABLE, path=path, detail=f"its files cannot be checked: {error.message}")]
    return [replace(misfit, grave=False) for misfit in found] if model.allow_incomplete else found
