"""The lock: what was promised. Canonical JSON on one side, frozen values on the other; no I/O.

The text is sorted, indented by two, ends in a newline and holds no time and no host, so that the same promises give the
same bytes. Read from a volume it is as hostile as anything else: every field is checked before it is believed.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from provision.digest import is_git_id, is_sha256
from provision.errors import LockUnreadable
from provision.names import path_fault, shown, target_fault, targets_fault, web_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

LOCK_VERSION = 1
LOCK_SUFFIX = ".lock.json"
SIZE_LIMIT = 2**50
"""No file is promised to be larger than this many bytes (1 PiB)."""
MIRROR_LIMIT = 16
"""Most mirrors that a model may have."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")  # printed, and part of commands to paste
_SOURCE = re.compile(r"(?!https?:)[a-z][a-z0-9]{0,31}://[A-Za-z0-9._-]{1,128}(/[A-Za-z0-9._-]{1,128})?")
_MIRROR = re.compile(r"(hf://([A-Za-z0-9._-]{1,128}/)?|modelscope://[A-Za-z0-9._-]{1,128}/)[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderFacts:
    """What a safetensors header says. `sha256` is of the header's bytes, length prefix included."""

    sha256: str
    tensors: int
    parameters: int
    dtypes: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedFile:
    """One promised file: `path` in its repository, `target` under the volume, `size` in bytes."""

    path: str
    target: str
    size: int
    sha256: str
    header: HeaderFacts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """Where else a model's bytes are: `hf://ORG/NAME`, `modelscope://OWNER/NAME` or `https://HOST[:PORT][/PATH]`.

    `revision` and `commit` are as a model's; an https mirror has none, and the revision is "". `paths` holds the files
    that the mirror has under another path: (path, path there), sorted.
    """

    source: str
    revision: str
    commit: str | None
    paths: tuple[tuple[str, str], ...] = ()

    @property
    def hub(self) -> str:
        """The hub's scheme: `hf`, `modelscope` or `https`."""
        return self.source.partition("://")[0]

    @property
    def repository(self) -> str:
        """The repository's name on its hub; of an https mirror, host and path."""
        return self.source.partition("://")[2]

    def path_of(self, path: str) -> str:
        """The path on the mirror of the file that is `path` in the model's repository."""
        index = bisect_left(self.paths, (path,))
        return dict(self.paths[index : index + 1]).get(path, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedModel:
    """One promised model. `source` is `hf://ORG/NAME` or `modelscope://OWNER/NAME`; `revision` what was asked for.

    `commit` is what the revision was pinned to, None where the hub does not tell. `meaning_sha256` identifies the
    entry of the manifest that this model answers. `mirrors` are in the order of preference. `allow_incomplete`: whether
    a person said that these files need not fit together.
    """

    name: str
    source: str
    revision: str
    commit: str | None
    layout: str
    license: str | None
    meaning_sha256: str
    files: tuple[LockedFile, ...]
    mirrors: tuple[Mirror, ...] = ()
    allow_incomplete: bool = False

    @property
    def hub(self) -> str:
        """The hub's scheme: `hf` or `modelscope`."""
        return self.source.partition("://")[0]

    @property
    def repository(self) -> str:
        """The repository's name on its hub."""
        return self.source.partition("://")[2]

    @property
    def size(self) -> int:
        """Bytes promised in all."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Everything one project was promised. `manifest_sha256` is of the manifest's meaning."""

    project: str
    root: str
    manifest_sha256: str
    models: tuple[LockedModel, ...]

    @property
    def size(self) -> int:
        """Bytes promised in all."""
        return sum(model.size for model in self.models)

    def files(self) -> Iterable[tuple[LockedModel, LockedFile]]:
        """Every promised file, with its model, in the lock's order."""
        return ((model, file) for model in self.models for file in model.files)

    def only(self, targets: Container[str]) -> Lock:
        """What was promised of `targets` alone: no lock to fill from, since its models are in parts."""
        models = [
            replace(model, files=tuple(file for file in model.files if file.target in targets)) for model in self.models
        ]
        return replace(self, models=tuple(model for model in models if model.files))


def dumps(lock: Lock) -> str:
    """The lock's one canonical text; `loads(dumps(lock)) == lock`."""
    document = {
        "lock_version": LOCK_VERSION,
        "project": lock.project,
        "root": lock.root,
        "manifest_sha256": lock.manifest_sha256,
        "models": [_model_document(model) for model in lock.models],
    }
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _model_document(model: LockedModel) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": model.name,
        "source": model.source,
        "revision": model.revision,
        "commit": model.commit,
        "layout": model.layout,
        "meaning_sha256": model.meaning_sha256,
        "files": [_file_document(file) for file in model.files],
    }
    if model.license is not None:
        document["license"] = model.license
    if model.mirrors:
        document["mirrors"] = [_mirror_document(mirror) for mirror in model.mirrors]
    if model.allow_incomplete:
        document["allow_incomplete"] = True
    return document


def _mirror_document(mirror: Mirror) -> dict[str, Any]:
    document: dict[str, Any] = {"source": mirror.source, "revision": mirror.revision, "commit": mirror.commit}
    return document | {"paths": dict(mirror.paths)} if mirror.paths else document


def _file_document(file: LockedFile) -> dict[str, Any]:
    document: dict[str, Any] = {
        "path": file.path,
        "target": file.target,
        "size": file.size,
        "sha256": file.sha256,
    }
    if file.header is not None:
        document["header_sha256"] = file.header.sha256
        document["tensors"] = file.header.tensors
        document["parameters"] = file.header.parameters
        document["dtypes"] = dict(file.header.dtypes)
    return document


def loads(text: str | bytes, *, file: str) -> Lock:
    """The lock that `text` holds; `file` names it in errors.

    Keys that this release does not know are passed over: later releases of the same `lock_version` may add some.

    Raises:
        LockUnreadable: not a lock, damaged, hostile, or of a newer `lock_version`.
    """
    reader = _Reader(file)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise reader.fault("$", "is not JSON") from error
    if not isinstance(document, dict):
        raise reader.fault("$", "is not an object")
    reader.check_version(document)
    lock = Lock(
        project=reader.name(document, "project", "$"),
        root=reader.path(document, "root", "$", path_fault) if document.get("root") else "",
        manifest_sha256=reader.sha256(document, "manifest_sha256", "$"),
        models=tuple(reader.models(document)),
    )
    reader.check_targets(lock)
    return lock


class _Reader:
    """Takes checked fields out of a parsed document; every refusal names the file and the place in it."""

    def __init__(self, file: str) -> None:
        self._file = file

    def fault(self, where: str, what: str) -> LockUnreadable:
        place = "the lock" if where == "$" else where
        return LockUnreadable(
            f"{self._file}: {place} {what}",
            hint="restore the lock from git, or make it anew: provision lock PROJECT --upgrade",
        )

    def check_version(self, document: Mapping[str, Any]) -> None:
        version = document.get("lock_version")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise self.fault("lock_version", "is missing; this is not a provision lock")
        if version > LOCK_VERSION:
            raise LockUnreadable(
                f"{self._file}: written by a newer release (lock_version {version}; this one reads {LOCK_VERSION})",
                hint="upgrade provision: pip install --upgrade volume-provision",
            )

    def text(self, document: Mapping[str, Any], key: str, where: str, *, allow_empty: bool = False) -> str:
        value = document.get(key)
        if not isinstance(value, str) or not (value or allow_empty) or not value.isprintable():
            raise self.fault(f"{where}.{key}", "is not a text that can be printed")
        return value

    def name(self, document: Mapping[str, Any], key: str, where: str) -> str:
        value = self.text(document, key, where)
        if not _NAME.fullmatch(value):
            raise self.fault(f"{where}.{key}", f"`{shown(value)}` is no name: letters, digits, `.`, `_` and `-`")
        return value

    def source(self, model: Mapping[str, Any], where: str) -> str:
        value = self.text(model, "source", where)
        if not _SOURCE.fullmatch(value):
            raise self.fault(
                f"{where}.source", f"`{shown(value)}` is no source: hf://ORG/NAME, modelscope://OWNER/NAME"
            )
        return value

    def optional_text(self, document: Mapping[str, Any], key: str, where: str) -> str | None:
        return None if document.get(key) is None else self.text(document, key, where)

    def sha256(self, document: Mapping[str, Any], key: str, where: str) -> str:
        value = document.get(key)
        if not is_sha256(value):
            raise self.fault(f"{where}.{key}", "is not a sha256 (64 lower-case hexadecimal digits)")
        return str(value)

    def count(self, document: Mapping[str, Any], key: str, where: str, limit: int = SIZE_LIMIT) -> int:
        value = document.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
            raise self.fault(f"{where}.{key}", f"is not a whole number between 0 and {limit}")
        return value

    def flag(self, document: Mapping[str, Any], key: str, where: str) -> bool:
        value = document.get(key, False)
        if not isinstance(value, bool):
            raise self.fault(f"{where}.{key}", "is neither true nor false")
        return value

    def path(self, document: Mapping[str, Any], key: str, where: str, fault_of: Callable[[str], str]) -> str:
        value = self.text(document, key, where)
        fault = fault_of(value)
        if fault:
            raise self.fault(f"{where}.{key}", f"`{shown(value)}` {fault}")
        return value

    def objects(self, document: Mapping[str, Any], key: str, where: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
        items = document.get(key)
        if not isinstance(items, list):
            raise self.fault(f"{where}.{key}", "is not a list")
        for index, item in enumerate(items):
            if not isinstance(item, dict):
                raise self.fault(f"{where}.{key}[{index}]", "is not an object")
            yield f"{where}.{key}[{index}]", item

    def models(self, document: Mapping[str, Any]) -> Iterable[LockedModel]:
        for where, item in self.objects(document, "models", "$"):
            files = tuple(self.files(item, where))
            yield LockedModel(
                name=self.name(item, "name", where),
                source=self.source(item, where),
                revision=self.path(item, "revision", where, path_fault),  # a cache layout makes a path of it
                commit=self.commit(item, where),
                layout=self.text(item, "layout", where),
                license=self.optional_text(item, "license", where),
                meaning_sha256=self.sha256(item, "meaning_sha256", where),
                files=files,
                mirrors=tuple(self.mirrors(item, where, {file.path for file in files})) if "mirrors" in item else (),
                allow_incomplete=self.flag(item, "allow_incomplete", where),
            )

    def commit(self, document: Mapping[str, Any], where: str) -> str | None:
        commit = self.optional_text(document, "commit", where)
        if commit is not None and not is_git_id(commit):
            raise self.fault(f"{where}.commit", "is not a commit (40 lower-case hexadecimal digits)")
        return commit

    def mirrors(self, model: Mapping[str, Any], where: str, promised: Container[str]) -> Iterable[Mirror]:
        for index, (place, item) in enumerate(self.objects(model, "mirrors", where)):
            if index == MIRROR_LIMIT:
                raise self.fault(f"{where}.mirrors", f"has more than {MIRROR_LIMIT} items")
            source = self.text(item, "source", place)
            if source.startswith("https://"):
                yield self.web_mirror(item, source, place)
                continue
            if not _MIRROR.fullmatch(source) or path_fault(source.partition("://")[2]):
                raise self.fault(f"{place}.source", f"`{shown(source)}` is no mirror: hf://, modelscope:// or https://")
            yield Mirror(
                source=source,
                revision=self.path(item, "revision", place, path_fault),
                commit=self.commit(item, place),
                paths=tuple(self.paths(item, place, promised)),
            )

    def web_mirror(self, item: Mapping[str, Any], source: str, where: str) -> Mirror:
        fault = web_fault(source.removeprefix("https://"))
        if fault:
            raise self.fault(f"{where}.source", f"`{shown(source)}`: {fault}")
        if (item.get("revision"), item.get("commit"), item.get("paths")) != ("", None, None):
            raise self.fault(where, "is an https mirror, which has no revision, commit or paths")
        return Mirror(source=source, revision="", commit=None)

    def paths(self, mirror: Mapping[str, Any], where: str, promised: Container[str]) -> Iterable[tuple[str, str]]:
        paths = mirror.get("paths", {})
        if not isinstance(paths, dict):
            raise self.fault(f"{where}.paths", "is not an object of paths")
        for path in sorted(paths):
            if path not in promised:
                raise self.fault(f"{where}.paths", f"names `{shown(path)}`, which the model does not have")
            yield path, self.path(paths, path, f"{where}.paths", path_fault)

    def files(self, model: Mapping[str, Any], where: str) -> Iterable[LockedFile]:
        for place, item in self.objects(model, "files", where):
            yield LockedFile(
                path=self.path(item, "path", place, path_fault),
                target=self.path(item, "target", place, target_fault),
                size=self.count(item, "size", place),
                sha256=self.sha256(item, "sha256", place),
                header=self.header(item, place) if "header_sha256" in item else None,
            )

    def header(self, item: Mapping[str, Any], where: str) -> HeaderFacts:
        dtypes = item.get("dtypes")
        if not isinstance(dtypes, dict) or not all(name.isprintable() for name in dtypes):
            raise self.fault(f"{where}.dtypes", "is not an object of dtypes")
        return HeaderFacts(
            sha256=self.sha256(item, "header_sha256", where),
            tensors=self.count(item, "tensors", where),
            parameters=self.count(item, "parameters", where, limit=2**64),
            dtypes=tuple(sorted((name, self.count(dtypes, name, f"{where}.dtypes", limit=2**64)) for name in dtypes)),
        )

    def check_targets(self, lock: Lock) -> None:
        fault = targets_fault(file.target for _, file in lock.files())
        if fault:
            raise self.fault("$.models", fault)
