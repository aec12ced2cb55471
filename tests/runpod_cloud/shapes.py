"""Shapes of v2's request bodies, from its published schema (OpenAPI 2.0.0), and what is wrong with a body."""

from __future__ import annotations

import re
from typing import Any

Shape = dict[str, Any]

TEXT: Shape = {"type": "string"}
NAME: Shape = {"type": "string", "minLength": 1}
FLAG: Shape = {"type": "boolean"}
TEXTS: Shape = {"type": "array", "items": TEXT}
CUDA: Shape = {"type": "string", "pattern": r"^\d+\.\d+$"}
VOLUME_SIZE: Shape = {"type": "integer", "minimum": 10, "maximum": 4096}


def closed(properties: dict[str, Shape], *required: str, **more: Any) -> Shape:
    """An object that has no other properties."""
    return {"type": "object", "properties": properties, "required": required, "closed": True, **more}


MOUNTS = closed(
    {
        "persistent": closed({"size": {"type": "integer", "minimum": 10}, "path": TEXT}, "size", "path"),
        "network": {
            "type": "array", "maxItems": 1, "items": closed({"volumeId": TEXT, "path": TEXT}, "volumeId", "path"),
        },
    }
)  # fmt: skip

CREATE_POD = closed(
    {
        "name": NAME, "image": TEXT, "args": TEXT, "disk": {"type": "integer", "minimum": 1}, "ports": TEXTS,
        "env": {"type": "object", "properties": {}, "values": TEXT}, "registry": {"type": ("string", "null")},
        "cloud": {"type": "string", "enum": ("SECURE", "COMMUNITY")}, "dataCenterIds": TEXTS,
        "globalNetworking": FLAG, "startJupyter": FLAG, "startSsh": FLAG, "templateId": NAME, "mounts": MOUNTS,
        "cpu": closed({"id": NAME, "vcpuCount": {"type": "integer", "minimum": 2}}, "id", "vcpuCount"),
        "gpu": closed(
            {
                "id": TEXT, "count": {"type": "integer", "minimum": 1}, "minCudaVersion": CUDA,
                "allowedCudaVersions": {"type": "array", "items": CUDA},
            },
            "id",
        ),
    },
    "name",
)  # fmt: skip

POD_ACTION = closed({"action": {"type": "string", "enum": ("start", "stop", "restart", "terminate")}}, "action")

CREATE_VOLUME = closed(
    {
        "name": NAME, "size": VOLUME_SIZE, "dataCenter": NAME,
        "type": {"type": "string", "enum": ("STANDARD", "HIGH_PERFORMANCE")},
    },
    "name", "size", "dataCenter",
)  # fmt: skip

UPDATE_VOLUME = closed({"name": NAME, "size": VOLUME_SIZE}, minProperties=1)


def faults(value: Any, shape: Shape, at: str = "$") -> list[str]:
    """What is wrong with `value`, in the words of the true service."""
    wanted = shape["type"] if isinstance(shape["type"], tuple) else (shape["type"],)
    found = _type(value)
    if found not in wanted:
        return [f"{at}: got {found}, want {' or '.join(wanted)}"]
    if found == "object":
        return _object_faults(value, shape, at)
    if found == "array":
        most = shape.get("maxItems", len(value))
        many = [f"{at}: maxItems: got {len(value)}, want {most}"] if len(value) > most else []
        return many + [fault for i, item in enumerate(value) for fault in faults(item, shape["items"], f"{at}[{i}]")]
    return [f"{at}: {fault}" for fault in _plain_faults(value, shape)]


def _object_faults(value: dict[str, Any], shape: Shape, at: str) -> list[str]:
    known = shape["properties"]
    missing = [f"'{name}'" for name in shape.get("required", ()) if name not in value]
    found = [f"{at}: missing properties {', '.join(missing)}"] if missing else []
    others = [name for name in value if name not in known]
    if others and shape.get("closed"):
        found.append(f"{at}: additional properties {', '.join(repr(name) for name in others)} not allowed")
    if len(value) < shape.get("minProperties", 0):
        found.append(f"{at}: minProperties: got {len(value)}, want {shape['minProperties']}")
    for name, item in value.items():
        inner = known.get(name, shape.get("values"))
        found += faults(item, inner, f"{at}.{name}") if inner else []
    return found


def _plain_faults(value: Any, shape: Shape) -> list[str]:
    wrong = []
    if "minimum" in shape and value < shape["minimum"]:
        wrong.append(f"minimum: got {value}, want {shape['minimum']}")
    if "maximum" in shape and value > shape["maximum"]:
        wrong.append(f"maximum: got {value}, want {shape['maximum']}")
    if "minLength" in shape and len(value) < shape["minLength"]:
        wrong.append(f"minLength: got {len(value)}, want {shape['minLength']}")
    if "enum" in shape and value not in shape["enum"]:
        wrong.append(f"value must be one of {', '.join(repr(one) for one in shape['enum'])}")
    if "pattern" in shape and not re.search(shape["pattern"], value):
        wrong.append(f"'{value}' does not match pattern '{shape['pattern']}'")
    return wrong


def _type(value: Any) -> str:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")
