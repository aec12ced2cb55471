"""The shapes a manifest may have: a table of keys for each, from which the check and the JSON Schema are both made.

`python -m provision.manifest.schema` writes the schema to standard output; it is kept as docs/manifest.schema.json.
"""

# ruff: noqa: RUF009 - each `_key` is a dataclass's field

from __future__ import annotations

import json
import sys
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from provision.layout import Layout
from provision.lock import MIRROR_LIMIT
from provision.manifest import wording
from provision.manifest.kinds import Kind, ShapeFault, Unfit, list_of, named, telling, text, text_or_mapping
from provision.manifest.source import Source, read_mirror, read_source
from provision.manifest.wording import Fault, did_you_mean, nearest, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from dataclasses import Field

_AnyShape = TypeVar("_AnyShape", bound="FileShape | ModelShape | ManifestShape")

_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NO_BOOLEAN = "{} is neither true nor false"
_NO_LAYOUT = f"{{}} is not a layout: {', '.join(Layout)}"


def _boolean(word: str) -> bool:
    known = _BOOLEANS.get(word.lower())
    if known is None:
        raise Fault(_NO_BOOLEAN.format(quoted(word)))
    return known


def _layout(word: str) -> Layout:
    try:
        return Layout(word)
    except ValueError:
        likely = nearest(word.lower(), list(Layout))
        raise Fault(_NO_LAYOUT.format(quoted(word)), meant=did_you_mean(likely) if likely else "") from None


def _mapping(shape: type[_AnyShape]) -> Kind:
    return Kind(check=lambda value: _shaped(shape, value), schema={"$ref": f"#/$defs/{shape.__name__}"})


_NAME = text(wording.name, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", maxLength=wording.MAX_NAME)
_SOURCE = text(read_source, pattern=r"^(hf://[^/@\s]+(/[^/@\s]+)?|modelscope://[^/@\s]+/[^/@\s]+)(@\S+)?$")
_MIRROR = text(read_mirror, pattern=r"^((hf|modelscope)://[^/@\s]+(/[^/@\s]+)?(@\S+)?|https://\S+)$")
_PLACE = text(wording.place)
_PATTERN = text(wording.pattern)
_BOOLEAN = text(_boolean, unlike=_NO_BOOLEAN, type="boolean")
_LAYOUT = Kind(check=text(_layout, unlike=_NO_LAYOUT).check, schema={"$ref": "#/$defs/Layout"})
_ALL = "drop the line to take the whole repository"


def _for_one_file(key: str, _: object, others: Mapping[str, Any]) -> None:
    path = others.get("path", "")
    if any(char in path for char in "*?") or path.endswith("/"):
        meant = "put the folder into the model's `target`" if key == "target" else "list the files one by one"
        raise Fault(f"{quoted(path)} is a glob, and a glob cannot have one {key}", meant=meant)


def _names_the_model(_: str, source: Source, others: Mapping[str, Any]) -> None:
    if others.get("name", "") is None:
        try:
            wording.name(source.name)
        except Fault as fault:
            raise Fault(fault.message, meant="give the model a `name:`") from None


def _one_name_only(key: str, value: object, others: Mapping[str, Any]) -> None:
    own = {"allow_patterns": "files", "ignore_patterns": "exclude"}[key]
    if value is not None and others.get(own) is not None:
        raise Fault(f"another name of `{own}`, which is here too", meant="merge the two lists into one")


def _key(
    kind: Kind,
    description: str,
    *,
    default: Any = MISSING,
    beside: Callable[[str, Any, Mapping[str, Any]], None] = lambda *_: None,
    **schema: Any,
) -> Any:
    """A key of a shape. `beside` raises Fault for a value that cannot stand beside those of the keys before it."""
    told = {**kind.schema, "description": description, **schema}
    return field(default=default, metadata={"check": kind.check, "beside": beside, "schema": told})


@dataclass(frozen=True, slots=True, kw_only=True)
class FileShape:
    """One file of the repository under its own name, or with its own promise."""

    path: str = _key(
        _PATTERN, "The file's path in the repository, or a glob.", examples=["split_files/vae/wan_2.1_vae.safetensors"]
    )
    target: str | None = _key(
        text(wording.file_place),
        "This file's own final name, under `root`. Default: what the model's target and layout make of it.",
        default=None,
        beside=_for_one_file,
        examples=["diffusion_models/low_noise.safetensors"],
    )
    sha256: str | None = _key(
        text(wording.sha256, pattern="^(sha256:)?[0-9A-Fa-f]{64}$"),
        "The author's own promise, 64 hex digits. A hub that disagrees is refused.",
        default=None,
        beside=_for_one_file,
    )


_FILE = text_or_mapping(text(wording.pattern, unlike="this must be text or a mapping, not {}"), _mapping(FileShape))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """What is wanted of one repository, and where it goes."""

    name: str | None = _key(
        _NAME,
        "What handlers ask for. Default: the repository's last name. No two models of a project share one.",
        default=None,
        examples=["vad"],
    )
    source: Source = _key(
        _SOURCE,
        "hf://ORG/NAME[@REV] or modelscope://OWNER/NAME[@REV]. Default revision: the hub's default branch.",
        beside=_names_the_model,
        examples=[
            "hf://Comfy-Org/Wan_2.2_ComfyUI_Repackaged@main",
            "modelscope://iic/speech_campplus_sv_zh-cn_16k-common",
        ],
    )
    target: str = _key(
        _PLACE, "The folder under `root` that receives the files. Default: the root.", default="", examples=["loras"]
    )
    layout: Layout = _key(
        _LAYOUT,
        "tree: keep repository paths. flat: base names only. hf-cache, modelscope-cache: "
        "what `from_pretrained` and ModelScope's `snapshot_download` find offline.",
        default=Layout.TREE,
    )
    files: tuple[str | FileShape, ...] | None = _key(
        list_of(_FILE, empty=_ALL),
        "Exact repository paths or globs, each as text or as a mapping. Default: the whole repository.",
        default=None,
        examples=[["model_index.json", "unet/*.safetensors"]],
    )
    allow_patterns: tuple[str, ...] | None = _key(
        list_of(_PATTERN, empty=_ALL),
        "Another name of `files`, as huggingface_hub calls it.",
        default=None,
        beside=_one_name_only,
    )
    exclude: tuple[str, ...] | None = _key(
        list_of(_PATTERN),
        "Paths or globs of files that are not wanted, though `files` selects them.",
        default=None,
        examples=[["*.md", "example/*"]],
    )
    ignore_patterns: tuple[str, ...] | None = _key(
        list_of(_PATTERN),
        "Another name of `exclude`, as huggingface_hub calls it.",
        default=None,
        beside=_one_name_only,
    )
    allow_pickle: bool = _key(
        _BOOLEAN,
        "Whether .bin, .pt, .pth, .ckpt and .pkl files are allowed. Loading one can run any code in it.",
        default=False,
    )
    variant: str | None = _key(
        text(wording.variant),
        "diffusers: take *.VARIANT.* weights where they exist, the plain ones where they do not.",
        default=None,
        examples=["fp16"],
    )
    mirrors: tuple[Source, ...] | None = _key(
        list_of(_MIRROR, most=MIRROR_LIMIT),
        "Where else the same bytes are, in order of preference. Identity is the sha256.",
        default=None,
        examples=[["modelscope://someone/photonicfusion-sdxl"]],
    )
    allow_incomplete: bool = _key(
        _BOOLEAN,
        "Whether files are allowed that do not fit together: a missing shard, a component without weights.",
        default=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestShape:
    """What one project wants on a volume."""

    project: str = _key(_NAME, "The project's name. Its lock is manifests/PROJECT.lock.json.", examples=["wan22-i2v"])
    root: str = _key(
        _PLACE,
        "The folder of the volume that all targets are under. Default: the volume itself.",
        default="",
        examples=["runpod-slim/ComfyUI/models"],
    )
    models: tuple[ModelShape, ...] = _key(
        list_of(_mapping(ModelShape), empty="list at least one model"), "One entry for each repository."
    )


def checked(shape: type[_AnyShape], data: Any) -> _AnyShape | list[ShapeFault]:
    """`data` in its shape, or all that is wrong with it, but for values that are None: the caller refuses those."""
    told: list[ShapeFault] = []
    sound: list[_AnyShape] = []
    with telling(told, (), data):
        sound.append(_shaped(shape, data))
    return sound[0] if sound else told


def _shaped(shape: type[_AnyShape], data: Any) -> _AnyShape:
    if not isinstance(data, dict):
        raise Fault(f"this must be a mapping, not {named(data)}")
    told: list[ShapeFault] = []
    sound: dict[str, Any] = {}
    keys = {key.name: key for key in fields(shape)}
    for name, key in keys.items():
        if name in data:
            with telling(told, (name,), data[name]):
                sound[name] = _value(key, data[name], sound)
        elif key.default is MISSING:
            told.append(ShapeFault(place=(), message=f"{quoted(name)} is missing"))
        else:
            sound[name] = key.default
    told += [_unknown(name, shape) for name in data if name not in keys]
    if told or len(sound) < len(keys):
        raise Unfit(told)
    return shape(**sound)


def _value(key: Field[Any], value: object, before: Mapping[str, Any]) -> Any:
    normal = None if value is None and key.default is None else key.metadata["check"](value)
    key.metadata["beside"](key.name, normal, before)
    return normal


# What other tools call our keys: huggingface_hub, Truss, Cog, comfy-lock.
_FOREIGN_KEYS = {
    "include": "files",
    "ignore": "exclude",
    "repo": "source",
    "repo_id": "source",
    "uri": "source",
    "url": "source",
    "dest": "target",
    "local_dir": "target",
    "mount_location": "target",
    "as": "target",
    "hash": "sha256",
}


def _unknown(key: str, shape: type[_AnyShape]) -> ShapeFault:
    meant = _likely_key(key, shape)
    return ShapeFault(place=(key,), message=f"unknown key {quoted(key)}", meant=meant, on_key=True)


def _likely_key(key: str, shape: type[_AnyShape]) -> str:
    if key in {"revision", "commit"} and shape is ModelShape:
        return "a revision belongs to the source: hf://ORG/NAME@REV"
    known = [one.name for one in fields(shape)]
    likely = _FOREIGN_KEYS.get(key, "") or nearest(key.lower(), known)
    return did_you_mean(likely) if likely in known else f"the keys here are {', '.join(known)}"


def json_schema() -> str:
    """The JSON Schema of a manifest, as the text of its file."""
    layout = {"type": "string", "description": Layout.__doc__, "enum": list(Layout)}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "provision manifest",
        **_object(ManifestShape),
        "$defs": {"Layout": layout, **{shape.__name__: _object(shape) for shape in (ModelShape, FileShape)}},
    }
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _object(shape: type[_AnyShape]) -> dict[str, Any]:
    keys = fields(shape)
    defaults = {key.name: {"default": key.default} for key in keys if key.default not in {MISSING, None}}
    return {
        "type": "object",
        "description": shape.__doc__,
        "additionalProperties": False,
        "required": [key.name for key in keys if key.default is MISSING],
        "properties": {key.name: key.metadata["schema"] | defaults.get(key.name, {}) for key in keys},
    }


if __name__ == "__main__":
    sys.stdout.write(json_schema())
