"""Text -> Manifest: nodes are checked against the shapes, become values, and the values are checked against each other.

What is wrong in one place never hides what is wrong in another: faulty parts are taken out and the rest is checked on.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from provision.errors import InputError, Issue, ManifestError
from provision.manifest import clashes
from provision.manifest.document import MAX_BYTES, Mapping, Scalar, Sequence, compose, plain, without
from provision.manifest.entries import Manifest, Model, Position, WantedFile, WantedMirror
from provision.manifest.kinds import ShapeFault
from provision.manifest.schema import FileShape, ManifestShape, ModelShape, checked
from provision.manifest.wording import nearest, place

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from provision.manifest.document import Node

Place = tuple[int | str, ...]


def read_file(path: str | os.PathLike[str]) -> Manifest:
    """The manifest at `path`. Raises InputError where no such file can be read, else as `read`."""
    manifest = Path(path)
    try:
        status = manifest.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise InputError(f"{manifest} is {kind}", hint="give the path of one manifest, as in manifests/NAME.yaml")
        _check_size(status.st_size, str(manifest))
        with manifest.open("rb") as stream:
            return read(stream.read(MAX_BYTES + 1), file=str(manifest))
    except FileNotFoundError:
        raise InputError(f"there is no manifest {manifest}", hint=_near(manifest)) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{str(manifest)!r} cannot be read: {error}", hint="check its name and permissions") from None


def _near(path: Path) -> str:
    try:
        names = [other.name for other in path.parent.iterdir() if other.suffix in {".yaml", ".yml"}]
    except OSError:
        return f"the folder {path.parent} does not exist, or cannot be read"
    likely = nearest(path.name, sorted(names))
    return f"did you mean {path.parent / likely}?" if likely else "write one: docs/manifest.md shows how"


def read(text: bytes | str, *, file: str) -> Manifest:
    """The manifest in `text`. Raises ManifestError with all faults, in the order of the text."""
    _check_size(len(text), file)
    node, found = compose(_decoded(text, file), file)
    if not isinstance(node, Mapping):
        message = "the file is empty" if isinstance(node, Scalar) and node.text is None else "a manifest is a mapping"
        start = Position(file=file, line=node.line, column=node.column)
        _refuse([*found, start.issue(message, meant="it starts with `project: NAME`")])
    checked_shape = checked(ManifestShape, plain(node))
    faults = _all_faults(node, checked_shape)
    root, models = _sound_part(node, faults, file)
    issues = [*_joined(found, [_issue(node, fault, file) for fault in faults]), *clashes.of(root, models)]
    if issues or isinstance(checked_shape, list):
        _refuse(issues)
    return Manifest(project=checked_shape.project, root=root, models=tuple(models), path=file)


def _joined(of_text: Iterable[Issue], of_shape: Iterable[Issue]) -> list[Issue]:
    """A value that is no fit text is not told again for being no fit name."""
    first = list(of_text)
    told = {(issue.line, issue.column) for issue in first}
    return [*first, *(issue for issue in of_shape if (issue.line, issue.column) not in told)]


def _refuse(issues: Iterable[Issue]) -> NoReturn:
    ordered = sorted(set(issues), key=lambda issue: (issue.line, issue.column, issue.where, issue.message))
    raise ManifestError(ordered)


def _check_size(size: int, file: str) -> None:
    if size > MAX_BYTES:
        start = Position(file=file, line=1, column=1)
        _refuse([start.issue(f"a manifest has at most {MAX_BYTES:,} bytes, this file {size:,}")])


def _decoded(text: bytes | str, file: str) -> str:
    if isinstance(text, str):
        return text
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        before = text[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        is_utf16 = text[:2] in {b"\xff\xfe", b"\xfe\xff"}
        meant = "the file is UTF-16: save it as UTF-8" if is_utf16 else "save the file as UTF-8"
        start = Position(file=file, line=line, column=column)
        _refuse([start.issue(f"the byte 0x{text[error.start]:02x} is not UTF-8", meant=meant)])


def _all_faults(node: Mapping, shape: ManifestShape | list[ShapeFault]) -> list[ShapeFault]:
    faults = shape if isinstance(shape, list) else []
    told = {fault.place for fault in faults}
    empty = [
        ShapeFault(place=place, message="there is no value here", meant="write one, or drop the line")
        for place in _nulls(node, ())
        if place not in told
    ]
    return faults + empty


def _nulls(node: Node, place: Place) -> Iterator[Place]:
    match node:
        case Scalar(text=None):
            yield place
        case Sequence(items=items):
            for index, (_, item) in enumerate(items):
                yield from _nulls(item, (*place, index))
        case Mapping(entries=entries):
            for key, entry in entries.items():
                yield from _nulls(entry.node, (*place, key))


def _sound_part(node: Mapping, faults: list[ShapeFault], file: str) -> tuple[str, list[Model]]:
    """The root and the models that can be read when everything faulty is taken out."""
    sound = without(node, {_dropped(fault.place) for fault in faults if fault.place}) if faults else node
    if not isinstance(sound, Mapping):
        return "", []
    root, models = sound.entries.get("root"), sound.entries.get("models")
    items = models.node.items if models and isinstance(models.node, Sequence) else ()
    found = [_model(label, item, file) for label, item in items]
    return place(str(plain(root.node))) if root else "", [model for model in found if model]


def _dropped(place: Place) -> Place:
    """What to take out because of a fault at `place`: one file, or one key of a model."""
    if len(place) >= 4 and place[2] in {"files", "allow_patterns"}:
        return place[:4]
    return place[:3]


def _issue(node: Mapping, fault: ShapeFault, file: str) -> Issue:
    here: Node = node
    where, parent, key_at = "", "", (node.line, node.column)
    for part in fault.place:
        parent = where
        if isinstance(here, Sequence) and isinstance(part, int):
            where, here = f"{where}[{part}]", here.items[part][1]
        elif isinstance(here, Mapping) and (entry := here.entries.get(str(part))):
            where, here, key_at = f"{where}.{part}".lstrip("."), entry.node, (entry.line, entry.column)
    line, column = key_at if fault.on_key else (here.line, here.column)
    position = Position(file=file, line=line, column=column, where=parent if fault.on_key else where)
    return position.issue(fault.message, meant=fault.meant)


def _model(label: int, node: Node, file: str) -> Model | None:
    shape = checked(ModelShape, plain(node))
    if isinstance(shape, list):
        return None
    where = f"models[{label}]"
    return Model(
        name=shape.name or shape.source.name,
        source=shape.source,
        target=shape.target,
        layout=shape.layout,
        files=_files(shape, node, file, where),
        exclude=shape.exclude or shape.ignore_patterns or (),
        allow_pickle=shape.allow_pickle,
        variant=shape.variant,
        mirrors=_mirrors(shape, node, file, where),
        allow_incomplete=shape.allow_incomplete,
        position=Position(file=file, line=node.line, column=node.column, where=where),
    )


def _files(shape: ModelShape, node: Node, file: str, where: str) -> tuple[WantedFile, ...] | None:
    key = "files" if shape.files is not None else "allow_patterns"
    items: Iterable[str | FileShape] = shape.files or shape.allow_patterns or ()
    positions = _positions(node, key, file, where)
    return tuple(_wanted(item, at) for item, at in zip(items, positions, strict=True)) or None


def _mirrors(shape: ModelShape, node: Node, file: str, where: str) -> tuple[WantedMirror, ...]:
    positions = _positions(node, "mirrors", file, where)
    return tuple(
        WantedMirror(source=mirror, position=position)
        for mirror, position in zip(shape.mirrors or (), positions, strict=True)
    )


def _positions(node: Node, key: str, file: str, where: str) -> list[Position]:
    """Where each item of the list under `key` was written."""
    entry = node.entries.get(key) if isinstance(node, Mapping) else None
    if entry is None or not isinstance(entry.node, Sequence):
        return []
    return [
        Position(file=file, line=at.line, column=at.column, where=f"{where}.{key}[{label}]")
        for label, at in entry.node.items
    ]


def _wanted(shape: str | FileShape, position: Position) -> WantedFile:
    if isinstance(shape, str):
        return WantedFile(pattern=shape, position=position)
    return WantedFile(pattern=shape.path, target=shape.target, sha256=shape.sha256, position=position)
