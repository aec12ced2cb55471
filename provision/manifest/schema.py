"""The shapes a manifest may have, and the JSON Schema made from them. The only module that knows pydantic.

`python -m provision.manifest.schema` writes the schema to standard output; it is kept as docs/manifest.schema.json.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from provision.layout import Layout
from provision.lock import MIRROR_LIMIT
from provision.manifest import wording
from provision.manifest.source import read_mirror, read_source
from provision.manifest.wording import Fault, did_you_mean, nearest, quoted

# Tags of the two ways to write an item of `files`; no document can hold a NUL, so they are never mistaken for keys.
_TEXT, _MAPPING = "\0text", "\0mapping"

_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_SOURCE_PATTERN = r"^(hf://[^/@\s]+(/[^/@\s]+)?|modelscope://[^/@\s]+/[^/@\s]+)(@\S+)?$"
_MIRROR_PATTERN = r"^((hf|modelscope)://[^/@\s]+(/[^/@\s]+)?(@\S+)?|https://\S+)$"


def _boolean(value: object) -> bool:
    known = _BOOLEANS.get(value.lower()) if isinstance(value, str) else None
    if known is None:
        raise Fault(f"{_kind(value)} is neither true nor false")
    return known


def _layout(value: object) -> Layout:
    words = [layout.value for layout in Layout]
    if isinstance(value, str) and value in words:
        return Layout(value)
    likely = nearest(value.lower(), words) if isinstance(value, str) else ""
    raise Fault(f"{_kind(value)} is not a layout: {', '.join(words)}", meant=did_you_mean(likely) if likely else "")


def _kind(value: object) -> str:
    match value:
        case str():
            return quoted(value)
        case None:
            return "nothing"
        case list():
            return "a list"
        case _:
            return "a mapping"


def _text_or_mapping(value: object) -> str:
    return _MAPPING if isinstance(value, dict) else _TEXT


def _normal_source(text: str) -> str:
    return str(read_source(text))


def _normal_mirror(text: str) -> str:
    return str(read_mirror(text))


def _glob_or_path(text: str) -> str:
    return wording.pattern(text)


_Name = Annotated[
    str,
    AfterValidator(wording.name),
    Field(json_schema_extra={"pattern": _NAME_PATTERN, "maxLength": wording.MAX_NAME}),
]
_Place = Annotated[str, AfterValidator(wording.place)]
_Pattern = Annotated[str, AfterValidator(_glob_or_path)]
_Mirror = Annotated[str, AfterValidator(_normal_mirror), Field(json_schema_extra={"pattern": _MIRROR_PATTERN})]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class FileShape(_Shape):
    """One file of the repository under its own name, or with its own promise."""

    path: _Pattern = Field(
        description="The file's path in the repository, or a glob.",
        examples=["split_files/vae/wan_2.1_vae.safetensors"],
    )
    target: Annotated[str, AfterValidator(wording.file_place)] | None = Field(
        default=None,
        description="This file's own final name, under `root`. Default: what the model's target and layout make of it.",
        examples=["diffusion_models/low_noise.safetensors"],
    )
    sha256: Annotated[str, AfterValidator(wording.sha256)] | None = Field(
        default=None,
        description="The author's own promise, 64 hex digits. A hub that disagrees is refused.",
        json_schema_extra={"pattern": "^(sha256:)?[0-9A-Fa-f]{64}$"},
    )

    @field_validator("target", "sha256")
    @classmethod
    def _of_one_file(cls, value: str | None, info: ValidationInfo) -> str | None:
        path = info.data.get("path", "")
        if any(char in path for char in "*?") or path.endswith("/"):
            meant = (
                "put the folder into the model's `target`"
                if info.field_name == "target"
                else "list the files one by one"
            )
            raise Fault(f"{quoted(path)} is a glob, and a glob cannot have one {info.field_name}", meant=meant)
        return value


_File = Annotated[
    Annotated[_Pattern, Tag(_TEXT)] | Annotated[FileShape, Tag(_MAPPING)], Discriminator(_text_or_mapping)
]


class ModelShape(_Shape):
    """What is wanted of one repository, and where it goes."""

    name: _Name | None = Field(
        default=None,
        description="What handlers ask for. Default: the repository's last name. No two models of a project share one.",
        examples=["vad"],
    )
    source: Annotated[str, AfterValidator(_normal_source)] = Field(
        description="hf://ORG/NAME[@REV] or modelscope://OWNER/NAME[@REV]. Default revision: the hub's default branch.",
        examples=[
            "hf://Comfy-Org/Wan_2.2_ComfyUI_Repackaged@main",
            "modelscope://iic/speech_campplus_sv_zh-cn_16k-common",
        ],
        json_schema_extra={"pattern": _SOURCE_PATTERN},
    )
    target: _Place = Field(
        default="",
        description="The folder under `root` that receives the files. Default: the root.",
        examples=["loras"],
    )
    layout: Annotated[Layout, BeforeValidator(_layout)] = Field(
        default=Layout.TREE,
        description="tree: keep repository paths. flat: base names only. hf-cache, modelscope-cache: "
        "what `from_pretrained` and ModelScope's `snapshot_download` find offline.",
    )
    files: list[_File] | None = Field(
        default=None,
        min_length=1,
        description="Exact repository paths or globs, each as text or as a mapping. Default: the whole repository.",
        examples=[["model_index.json", "unet/*.safetensors"]],
    )
    allow_patterns: list[_Pattern] | None = Field(
        default=None, min_length=1, description="Another name of `files`, as huggingface_hub calls it."
    )
    exclude: list[_Pattern] | None = Field(
        default=None,
        min_length=1,
        description="Paths or globs of files that are not wanted, though `files` selects them.",
        examples=[["*.md", "example/*"]],
    )
    ignore_patterns: list[_Pattern] | None = Field(
        default=None, min_length=1, description="Another name of `exclude`, as huggingface_hub calls it."
    )
    allow_pickle: Annotated[bool, BeforeValidator(_boolean)] = Field(
        default=False,
        description="Whether .bin, .pt, .pth, .ckpt and .pkl files are allowed. Loading one can run any code in it.",
    )
    variant: Annotated[str, AfterValidator(wording.variant)] | None = Field(
        default=None,
        description="diffusers: take *.VARIANT.* weights where they exist, the plain ones where they do not.",
        examples=["fp16"],
    )
    mirrors: list[_Mirror] | None = Field(
        default=None,
        min_length=1,
        max_length=MIRROR_LIMIT,
        description="Where else the same bytes are, in order of preference. Identity is the sha256.",
        examples=[["modelscope://someone/photonicfusion-sdxl"]],
    )
    allow_incomplete: Annotated[bool, BeforeValidator(_boolean)] = Field(
        default=False,
        description="Whether files are allowed that do not fit together: a missing shard, a component without weights.",
    )

    @field_validator("source")
    @classmethod
    def _names_the_model(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("name", "") is None:
            try:
                wording.name(read_source(value).name)
            except Fault as fault:
                raise Fault(fault.message, meant="give the model a `name:`") from None
        return value

    @field_validator("allow_patterns", "ignore_patterns")
    @classmethod
    def _one_name_only(cls, value: list[str] | None, info: ValidationInfo) -> list[str] | None:
        own = {"allow_patterns": "files", "ignore_patterns": "exclude"}[info.field_name or ""]
        if value is not None and info.data.get(own) is not None:
            raise Fault(f"another name of `{own}`, which is here too", meant="merge the two lists into one")
        return value


class ManifestShape(_Shape):
    """What one project wants on a volume."""

    project: _Name = Field(
        description="The project's name. Its lock is manifests/PROJECT.lock.json.", examples=["wan22-i2v"]
    )
    root: _Place = Field(
        default="",
        description="The folder of the volume that all targets are under. Default: the volume itself.",
        examples=["runpod-slim/ComfyUI/models"],
    )
    models: list[ModelShape] = Field(min_length=1, description="One entry for each repository.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeFault:
    """A fault at `place`, as keys and list positions; `on_key`: it is the key that is wrong, not what it holds."""

    place: tuple[int | str, ...]
    message: str
    meant: str = ""
    on_key: bool = False


_AnyShape = TypeVar("_AnyShape", bound=_Shape)


def checked(shape: type[_AnyShape], data: Any) -> _AnyShape | list[ShapeFault]:
    """`data` in its shape, or all that is wrong with it, but for values that are None: the caller refuses those."""
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        faults = (_shape_fault(dict(found)) for found in error.errors(include_url=False))
        return [fault for fault in faults if fault is not None]


def _shape_fault(found: dict[str, Any]) -> ShapeFault | None:
    place = tuple(part for part in found["loc"] if part not in {_TEXT, _MAPPING})
    kind, value = found["type"], found["input"]
    cause = found.get("ctx", {}).get("error")
    if kind == "extra_forbidden":
        key = str(place[-1])
        return ShapeFault(place=place, message=f"unknown key {quoted(key)}", meant=_likely_key(key, place), on_key=True)
    if value is None:
        return None
    if isinstance(cause, Fault):
        return ShapeFault(place=place, message=cause.message, meant=cause.meant)
    if kind == "missing":
        return ShapeFault(place=place[:-1], message=f"{quoted(str(place[-1]))} is missing")
    if kind in {"too_short", "too_long"}:
        return _wrong_length(place, found)
    return _wrong_type(place, kind, value)


def _wrong_length(place: tuple[int | str, ...], found: dict[str, Any]) -> ShapeFault:
    if found["type"] == "too_short":
        return ShapeFault(place=place, message="the list is empty", meant=_instead_of_empty(place))
    return ShapeFault(place=place, message=f"the list has more than {found['ctx']['max_length']} items")


def _wrong_type(place: tuple[int | str, ...], kind: str, value: object) -> ShapeFault:
    wanted = {"string_type": "text", "list_type": "a list"}.get(kind, "a mapping")
    is_item = len(place) > 1 and place[-2] == "files" and kind == "string_type"
    wanted = "text or a mapping" if is_item else wanted
    meant = f"write it as a list: [{json.dumps(value)}]" if kind == "list_type" and isinstance(value, str) else ""
    found = "text" if isinstance(value, str) else _kind(value)
    return ShapeFault(place=place, message=f"this must be {wanted}, not {found}", meant=meant)


def _instead_of_empty(place: tuple[int | str, ...]) -> str:
    if place[-1] in {"files", "allow_patterns"}:
        return "drop the line to take the whole repository"
    return "list at least one model" if place[-1] == "models" else "drop the line"


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


def _likely_key(key: str, place: tuple[int | str, ...]) -> str:
    if key in {"revision", "commit"} and len(place) == 3:
        return "a revision belongs to the source: hf://ORG/NAME@REV"
    shapes: dict[int, type[_Shape]] = {1: ManifestShape, 3: ModelShape}
    shape = shapes.get(len(place), FileShape)
    likely = _FOREIGN_KEYS.get(key, "") or nearest(key.lower(), shape.model_fields)
    if likely in shape.model_fields:
        return did_you_mean(likely)
    return f"the keys here are {', '.join(shape.model_fields)}"


def json_schema() -> str:
    """The JSON Schema of a manifest, as the text of its file."""
    schema = _tidied(ManifestShape.model_json_schema())
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "provision manifest", **schema}
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _tidied(schema: Any) -> Any:
    """Without titles that repeat the key, and without `or null`: a key may be left out, but a null is a fault."""
    if isinstance(schema, list):
        return [_tidied(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    noise = {key for key, value in schema.items() if (key == "title" and isinstance(value, str)) or value is None}
    plain = {key: _tidied(value) for key, value in schema.items() if key not in noise}
    choices = [choice for choice in plain.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1 and "anyOf" in plain:
        del plain["anyOf"]
        return {**choices[0], **plain}
    return plain


if __name__ == "__main__":
    sys.stdout.write(json_schema())
