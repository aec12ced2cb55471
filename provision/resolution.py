"""Resolution: a manifest and what hubs say of it become a lock.

A pin stays as long as nobody asks to move it: a model whose entry has not changed is taken from the known lock without
a question to its hub, and one whose entry has changed is listed again at the commit it was pinned to. Every file ends
up with a sha256, and every safetensors file with the facts of its header, read by range. What is promised anew must fit
together, unless a person allows that it does not.

A mirror is asked as its source is: what its pin lists is held against the promised files, once, when they are
promised. An https mirror lists nothing, so it is not asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from provision.composition import described
from provision.crew import Crew
from provision.errors import DigestMismatch, HubRefused, ManifestError
from provision.facts import Facts, Listed
from provision.fitting import Excerpts, Repository, is_known, judged
from provision.freshness import model_meaning
from provision.layout import Layout, Placement, layout_fault, target_of
from provision.lock import Lock, LockedFile, LockedModel
from provision.manifest import select
from provision.mirrors import ListedMirror, match
from provision.names import shown, target_fault, targets_fault
from provision.pins import Pins, answering

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from provision.composition import Misfit
    from provision.crew import Stop
    from provision.errors import Issue
    from provision.hubs import Pin, RemoteFile
    from provision.hubs.supply import Supply
    from provision.manifest import Manifest, Model, Position, WantedMirror
    from provision.manifest.selection import SelectedFile

_CACHES = {Layout.HF_CACHE: "hf", Layout.MODELSCOPE_CACHE: "modelscope"}

READERS = 8
"""Files whose facts are read at once: small requests, so latency counts, not bandwidth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to resolve. `known`: the lock that stands; `upgrade`: whether the model of that name may move."""

    manifest: Manifest
    known: Lock | None
    upgrade: Callable[[str], bool] = lambda _: False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """One file to promise, before its facts are known."""

    model: Model
    pin: Pin
    remote: RemoteFile
    selected: SelectedFile
    target: str
    known: LockedFile | None

    @property
    def listed(self) -> Listed:
        """The same, whoever chose it."""
        return Listed(hub=self.model.source.hub, pin=self.pin, remote=self.remote)


def resolve(
    request: Request,
    supply: Supply,
    stop: Stop,
    tell: Callable[[str], None] = lambda _: None,
    found: Callable[[str, Misfit], None] = lambda _, __: None,
) -> Lock:
    """The lock that answers `request`. `found` is given each misfit that is no error, with the name of its model.

    A mirror that is unavailable is as bad as a source that is: passed over it would make another lock of the same
    inputs.

    Raises:
        ManifestError: entries that select nothing, or files that cannot all stand where they are wanted: all at once;
            and then mirrors that have none of the files, or other bytes for one, and models that do not fit together.
        HeaderMismatch: a safetensors file is something else already on its hub.
        DigestMismatch: a hub disagrees with a sha256 that the manifest's author promised.
        HubRefused, HubUnavailable: as their hubs raise them.
    """
    resolution = _Resolution(request, supply, stop, tell)
    lock = resolution.lock()
    for name, misfit in resolution.misfits:
        found(name, misfit)
    return lock


class _Resolution:
    def __init__(self, request: Request, supply: Supply, stop: Stop, tell: Callable[[str], None]) -> None:
        self._request, self._supply, self._stop, self._tell = request, supply, stop, tell
        self._manifest = request.manifest
        self._issues: list[Issue] = []
        self._refusals: list[HubRefused] = []
        self._pins = Pins(supply)
        self._excerpts = Excerpts()
        self._facts = Facts(supply, self._excerpts, stop)
        self.misfits: list[tuple[str, Misfit]] = []

    def lock(self) -> Lock:
        """Choose for all models, so that all faults are told at once; then read the facts that are missing."""
        kept = {model.name: self._unchanged(model) for model in self._manifest.models}
        fresh = [model for model in self._manifest.models if kept[model.name] is None]
        chosen = {model.name: self._chosen(model) for model in fresh}
        mirrors = {model.name: self._mirrors(model) for model in fresh}
        if self._refusals:
            raise _all_of(self._refusals)
        self._refuse_faults(kept.values(), chosen.values())
        work = [file for files in chosen.values() for file in files]
        promised = dict(zip(map(id, work), Crew(READERS, self._promise, self._stop).run(work), strict=True))
        locked = {
            model.name: self._mirrored(mirrors[model.name], self._locked(model, chosen[model.name], promised))
            for model in fresh
        }
        for model in fresh:
            self._check_fit(model, chosen[model.name])
        if self._issues:
            raise ManifestError(self._issues)
        models = [kept[model.name] or locked[model.name] for model in self._manifest.models]
        fault = layout_fault(models)
        if fault:
            raise ManifestError(
                [self._manifest.models[0].position.issue(fault, meant="give one of them another target")]
            )
        return Lock(
            project=self._manifest.project,
            root=self._manifest.root,
            manifest_sha256=self._manifest.meaning_sha256,
            models=tuple(models),
        )

    def _unchanged(self, model: Model) -> LockedModel | None:
        known = self._request.known
        if known is None or self._request.upgrade(model.name):
            return None
        meaning = model_meaning(self._manifest, model)
        same = (m for m in known.models if m.name == model.name and m.meaning_sha256 == meaning)
        # Releases before mirrors left them out of the lock.
        return next((m for m in same if len(m.mirrors) == len(model.mirrors)), None)

    def _previous(self, model: Model) -> LockedModel | None:
        """The locked model whose pin this one keeps: the same repository, asked for at the same revision."""
        known = self._request.known
        if known is None or self._request.upgrade(model.name):
            return None
        fit = answering(model.source, known.models)
        return next((m for m in fit if m.name == model.name), fit[0] if fit else None)

    def _chosen(self, model: Model) -> list[_Chosen]:
        """As `_choose`; a hub that refuses one entry does not keep the others from being told their faults."""
        try:
            return self._choose(model)
        except HubRefused as error:
            self._refused(error, model.position)
            return []

    def _refused(self, error: HubRefused, at: Position) -> None:
        error.message = f"{at.file}:{at.line}:{at.column}: {error.message}"
        self._refusals.append(error)

    def _choose(self, model: Model) -> list[_Chosen]:
        source = model.source
        self._tell(f"asking {source}")
        previous = self._previous(model)
        pin = self._pins.of(source, previous)
        listing = {file.path: file for file in self._pins.files(source, pin)}
        selection = select(model, listing)
        self._issues += [*_layout_issues(model), *selection.issues]
        for note in selection.notes:
            self._tell(f"{model.name}: {note}")
        known = {file.path: file for file in previous.files} if previous else {}
        return [
            _Chosen(
                model=model,
                pin=pin,
                remote=listing[selected.path],
                selected=selected,
                target=_target(self._manifest, model, pin, selected),
                known=known.get(selected.path),
            )
            for selected in selection.files
        ]

    def _mirrors(self, model: Model) -> list[ListedMirror]:
        """The mirrors of `model`, as far as no hub refuses them; each stays at its pin while the model does."""
        mirrors = []
        for wanted in model.mirrors:
            try:
                mirrors.append(self._mirror(wanted, self._previous(model)))
            except HubRefused as error:
                self._refused(error, wanted.position)
        return mirrors

    def _mirror(self, wanted: WantedMirror, previous: LockedModel | None) -> ListedMirror:
        source = wanted.source
        known = answering(source, previous.mirrors) if previous else []
        pin = self._pins.of(source, known[0] if known else None)
        if source.hub == "https":
            return ListedMirror(wanted=wanted, pin=pin, listing=None)
        self._tell(f"asking {source}")
        return ListedMirror(wanted=wanted, pin=pin, listing=self._pins.files(source, pin))

    def _mirrored(self, mirrors: Iterable[ListedMirror], model: LockedModel) -> LockedModel:
        matches = [match(mirror, model.files) for mirror in mirrors]
        for found in matches:
            self._issues += found.issues
            if found.note:
                self._tell(f"{model.name}: {found.note}")
        return replace(model, mirrors=tuple(found.mirror for found in matches))

    def _check_fit(self, model: Model, chosen: Sequence[_Chosen]) -> None:
        by_path = {file.remote.path: file for file in chosen}
        if is_known({path: file.known for path, file in by_path.items()}, self._previous(model), model):
            return
        heavy = sum(path.endswith((".gguf", ".onnx")) for path in by_path)
        if heavy > 1:  # each is a few requests, one after the other
            self._tell(f"{model.name}: checking {heavy} files")
        repository = Repository(
            {path: file.remote.size for path, file in by_path.items()},
            lambda path: self._excerpts.of(by_path[path].listed),
            lambda path, start, end: self._facts.range(by_path[path].listed, start, end),
        )
        listing = (file.path for file in self._pins.files(model.source, chosen[0].pin))
        judgement = judged(model, repository, listing)
        self._issues += judgement.issues
        for misfit in judgement.told:
            self._tell(f"{model.name}: {described(misfit)}")
            self.misfits.append((model.name, misfit))

    def _refuse_faults(self, kept: Iterable[LockedModel | None], chosen: Iterable[Sequence[_Chosen]]) -> None:
        files = [file for group in chosen for file in group]
        for file in files:
            fault = target_fault(file.target)
            if fault:
                self._issues.append(file.selected.position.issue(f"the target `{shown(file.target)}` {fault}"))
        if not self._issues:
            standing = [file.target for model in kept if model for file in model.files]
            fault = targets_fault([*standing, *(file.target for file in files)])
            if fault:
                position = files[0].selected.position if files else self._manifest.models[0].position
                meant = "give one of them its own `target`"
                self._issues.append(position.issue(fault, meant=meant))
        if self._issues:
            raise ManifestError(self._issues)

    def _locked(self, model: Model, chosen: Sequence[_Chosen], promised: dict[int, LockedFile]) -> LockedModel:
        pin = chosen[0].pin
        return LockedModel(
            name=model.name,
            source=f"{model.source.hub}://{model.source.repository}",
            revision=pin.revision,
            commit=pin.commit,
            layout=model.layout.value,
            license=shown(pin.license) if pin.license else None,
            meaning_sha256=model_meaning(self._manifest, model),
            files=tuple(sorted((promised[id(file)] for file in chosen), key=lambda file: file.target)),
            allow_incomplete=model.allow_incomplete,
        )

    def _promise(self, chosen: _Chosen) -> LockedFile:
        """The facts of one file: from the known lock where its pin has not moved, else from the hub."""
        known = chosen.known
        if known is None:
            known = LockedFile(
                path=chosen.remote.path,
                target=chosen.target,
                size=chosen.remote.size,
                sha256=self._facts.sha256(chosen.listed),
                header=self._facts.header(chosen.listed),
            )
        wanted = chosen.selected.sha256
        if wanted and wanted != known.sha256:
            raise DigestMismatch(
                f"{shown(known.path)}: the manifest promises sha256 {wanted}, the hub has {known.sha256}",
                hint=f"{chosen.selected.position.file}:{chosen.selected.position.line}: "
                "the file has changed on its hub, or the promise was for another one",
            )
        return LockedFile(
            path=known.path, target=chosen.target, size=known.size, sha256=known.sha256, header=known.header
        )


def _all_of(refusals: Sequence[HubRefused]) -> HubRefused:
    """One error that says what all of them say."""
    first = refusals[0]
    hints = dict.fromkeys(error.hint for error in refusals if error.hint)
    first.message = "\n".join(error.message for error in refusals)
    first.hint = "; ".join(hints)
    return first


def _layout_issues(model: Model) -> list[Issue]:
    home = _CACHES.get(Layout(model.layout))
    if home is None or home == model.source.hub:
        return []
    meant = "its client looks for its own hub's repositories only; use `tree`"
    return [model.position.issue(f"the layout `{model.layout}` is for {home}:// sources", meant=meant)]


def _target(manifest: Manifest, model: Model, pin: Pin, selected: SelectedFile) -> str:
    if selected.target is not None:
        return "/".join(part for part in (manifest.root, selected.target) if part)
    placement = Placement(
        layout=Layout(model.layout),
        folder="/".join(part for part in (manifest.root, model.target) if part),
        repository=pin.repository,
        revision=pin.revision,
        commit=pin.commit,
    )
    return target_of(selected.path, placement)
