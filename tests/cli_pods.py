"""The command line at its clouds: a hub, a lock, a volume, and every command as a user gives it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fill_bed import BIG, PLAIN, SMALL, TOKEN, build
from runpod_cloud import RunPodCloud

from provision.cli import run
from provision.serve import Folder, Settings
from provision.serve.server import Server

ROOT = str(Path(__file__).parent.parent)
FILES = (SMALL, PLAIN)
DATACENTER = "EU-RO-1"
LOCKED: dict[tuple[str, str], bytes] = {}
"""By a hub and a manifest, the lock that `provision lock` made of them."""


@dataclass
class Desk:
    """Where a user sits: a folder with manifests, an environment, and one cloud."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    cloud: RunPodCloud | None = None

    def run(self, *words: str) -> tuple[int, str, str]:
        """The exit code, stdout and stderr."""
        self.capsys.readouterr()
        code = run([*words, "--manifests", str(self.manifests)] if takes_manifests(words) else list(words))
        said = self.capsys.readouterr()
        return int(code), said.out, said.err

    def json(self, *words: str) -> tuple[int, dict[str, Any]]:
        code, out, _ = self.run(*words, "--format", "json")
        return code, json.loads(out)

    def lock(self, manifest: str) -> None:
        """In a process of its own: huggingface_hub asks for its endpoint only when it is imported. Once at each hub."""
        self.manifests.mkdir(exist_ok=True)
        (self.manifests / "mine.yaml").write_text(manifest)
        lock, known = self.manifests / "mine.lock.json", (os.environ["HF_ENDPOINT"], manifest)
        if known not in LOCKED:
            words = [sys.executable, "-m", "provision", "lock", "mine", "-q"]
            environment = {**os.environ, "PYTHONPATH": ROOT}
            subprocess.run(words, cwd=self.folder, check=True, capture_output=True, env=environment)
            LOCKED[known] = lock.read_bytes()
        lock.write_bytes(LOCKED[known])

    def volume(self, name: str = "models") -> str:
        """A new volume's id."""
        code, document = self.json("volume", "create", name, "--size", "10G", *self._where())
        assert code == 0, document
        return document["volume"]["id"]

    def _where(self) -> tuple[str, ...]:
        return ("--datacenter", DATACENTER) if self.cloud is not None else ()

    def held(self, volume: str) -> Path:
        """The volume's folder."""
        if self.cloud is not None:
            return self.cloud.account.volumes[volume].folder
        return self.folder / "state/provision/cloud/volumes" / volume

    @property
    def manifests(self) -> Path:
        return self.folder / "manifests"

    def proof(self, volume: str) -> dict[str, Any]:
        return json.loads((self.manifests / f"mine.{volume}.proof.json").read_text())


def takes_manifests(words: tuple[str, ...]) -> bool:
    return words[:2] in {("pod", "fill"), ("pod", "verify"), ("pod", "attach")} or words[0] in {"lock", "verify"}


def seat(folder: Path, hub: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which nothing of the real user's is found."""
    for name in list(os.environ):
        if name.startswith(("RUNPOD", "PROVISION", "AWS", "HF_", "MODELSCOPE")) and not name.startswith(
            "PROVISION_TEST"
        ):
            monkeypatch.delenv(name)
    for name, value in {
        "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"), "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN,
        "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)


def served(root: Path, paths: tuple[str, ...] = (*FILES, BIG)) -> Server:
    return Server(Folder(build(root, paths)), Settings(token=TOKEN))


MANIFEST = f"project: mine\nroot: models\nmodels:\n  - source: hf://acme/weights\n    files: [{SMALL}, {PLAIN}]\n"


def at_runpod(desk: Desk) -> None:
    """Its pods find this Python, with the package in it, as if their image had it."""
    desk.cloud.image["PROVISION_PYTHON"] = sys.executable
    for name, value in desk.cloud.environment.items():
        desk.monkeypatch.setenv(name, value)
