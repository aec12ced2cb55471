"""A small but true repository on disk, and the unmodified clients to fetch it with."""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import safetensors

NAME = "acme/tiny-diffusion"
ODD = "assets/日本 語 #1%20+&.txt"
LARGE = "unet/diffusion_pytorch_model.safetensors"
SMALL = "model_index.json"


def build(root: Path, hub: str, name: str = NAME) -> Path:
    """A diffusers-like repository at `root/hub/name`: shards with their index, a half-precision variant, odd names."""
    place = root / hub / name
    for folder in ("unet", "text_encoder", "assets", "empty/deep"):
        (place / folder).mkdir(parents=True)
    (place / "README.md").write_text("---\nlicense: apache-2.0\ntags:\n- tiny\n---\n# Tiny\n")
    (place / SMALL).write_text(json.dumps({"_class_name": "TinyPipeline"}))
    (place / ODD).write_text("a name that must be quoted everywhere\n")
    (place / "empty/deep/nothing.txt").write_bytes(b"")
    weights(place / LARGE, {"up": 3_000_000, "down": 3_000_000})
    weights(place / "unet/diffusion_pytorch_model.fp16.safetensors", {"up": 1000, "down": 1000})
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    for tensor, file in shards.items():
        weights(place / "text_encoder" / file, {tensor: 5000})
    index = {"metadata": {"total_size": 20_000}, "weight_map": shards}
    (place / "text_encoder/model.safetensors.index.json").write_text(json.dumps(index))
    return place


def weights(path: Path, tensors: dict[str, int]) -> None:
    """A real safetensors file: for each name so many F16 numbers, always the same."""
    chance = random.Random(path.name)
    data = {name: ctypes.create_string_buffer(chance.randbytes(2 * n), 2 * n) for name, n in tensors.items()}
    specs = {
        name: safetensors.TensorSpec(
            dtype="float16", shape=[tensors[name]], data_ptr=ctypes.addressof(held), data_len=len(held)
        )
        for name, held in data.items()
    }
    safetensors.serialize_file(specs, path, {"format": "pt"})


def tree(place: Path) -> dict[str, bytes]:
    """Every file below `place` but the clients' own notes, by its path."""
    files = (path for path in sorted(place.rglob("*")) if path.is_file())
    named = {path.relative_to(place).as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in named.items() if not name.startswith((".cache/", "._"))}


def run(program: str, *arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """One of the clients installed beside this Python, in a home of its own, with nothing of the caller's settings."""
    found = Path(sys.executable).with_name(program)
    mine = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "MODELSCOPE_CACHE": str(home / "modelscope"),
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
    }
    command = [str(found) if found.exists() else program, *arguments]
    return subprocess.run(command, env=mine | environment, capture_output=True, text=True, check=False, timeout=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


def ask(address: str, method: str = "GET", body: str | None = None, **headers: str) -> Answer:
    """One request exactly as written: no redirect is followed, no path is tidied."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    try:
        connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return Answer(status=answer.status, headers=answer.headers, body=answer.read())
    finally:
        connection.close()
