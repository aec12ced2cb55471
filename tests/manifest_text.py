"""Short ways to write manifests in tests."""

from __future__ import annotations

import textwrap

import pytest

from provision.errors import ManifestError
from provision.manifest import Manifest, Model, parse


def written(body: str) -> Manifest:
    return parse(textwrap.dedent(body).lstrip("\n"), file="m.yaml")


def model(body: str) -> Model:
    """The one model of a manifest; `body` is what stands below its `source`."""
    lines = textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")
    return parse(f"project: p\nmodels:\n  - source: hf://Org/Name\n{lines}\n", file="m.yaml").models[0]


def faults(text: str | bytes) -> list[str]:
    """What is printed for a faulty manifest, line by line."""
    with pytest.raises(ManifestError) as caught:
        parse(text, file="m.yaml")
    return str(caught.value).splitlines()
