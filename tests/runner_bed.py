"""A project with a filled volume, and what runs the examples of the docs as their own systems would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import yaml
from volume_material import promised, receipt_for

from provision.freshness import model_meaning
from provision.lock import Lock, LockedModel, dumps
from provision.manifest import load
from provision.volume.locks import write_lock
from provision.volume.mount import Volume
from provision.volume.receipts.writing import ReceiptWriter

ROOT = Path(__file__).parent.parent
PROJECT = "wan22-i2v"
TARGET = "models/vae.safetensors"
DATA = b"weights" * 1000
PROVISION = Path(sys.executable).parent / "provision"


@dataclass(frozen=True)
class Scene:
    """A repository with one project, and a volume that holds what it wants."""

    repository: Path
    volume: Path

    @property
    def lock(self) -> Path:
        return self.repository / f"manifests/{PROJECT}.lock.json"

    @property
    def manifest(self) -> Path:
        return self.repository / f"manifests/{PROJECT}.yaml"

    def damage(self) -> None:
        (self.volume / TARGET).unlink()

    def make_stale(self) -> None:
        self.manifest.write_text(self.manifest.read_text().replace("o/n", "o/other"))


def scene_in(folder: Path) -> Scene:
    scene = Scene(repository=folder / "repository", volume=folder / "volume")
    scene.manifest.parent.mkdir(parents=True)
    (scene.volume / TARGET).parent.mkdir(parents=True)
    (scene.volume / TARGET).write_bytes(DATA)
    scene.manifest.write_text(f"project: {PROJECT}\nmodels:\n  - source: hf://o/n\n    name: vae\n")
    lock = _lock(scene.manifest)
    scene.lock.write_text(dumps(lock))
    with Volume.open(str(scene.volume)) as volume, ReceiptWriter(volume, lambda: 1.0) as receipts:
        write_lock(volume, lock)
        receipts.add(receipt_for(scene.volume, DATA, TARGET))
    return scene


def _lock(manifest: Path) -> Lock:
    wanted = load(manifest)
    model = LockedModel(
        name="vae", source="hf://o/n", revision="main", commit="a" * 40, layout="tree", license=None,
        meaning_sha256=model_meaning(wanted, wanted.models[0]), files=(promised(DATA, TARGET),),
    )  # fmt: skip
    return Lock(project=PROJECT, root="", manifest_sha256=wanted.meaning_sha256, models=(model,))


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page that are in `language`."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def checked(kind: str, path: Path) -> None:
    """Raise unless the file is valid by the schema that editors use (schemastore.org, as check-jsonschema has it)."""
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{kind}", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def environment(**more: str) -> dict[str, str]:
    """What a fresh machine has: `provision` and `python` on the path, and nothing else of ours."""
    path = f"{PROVISION.parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": "/nonexistent", "LANG": "C.UTF-8", **more}


def shell(words: list[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder`, with `more` in its environment."""
    return subprocess.run(
        words, cwd=folder, env=environment(**more), text=True, capture_output=True, check=False, timeout=100
    )


@dataclass(frozen=True)
class Ran:
    """What a step, or a whole action, left behind."""

    code: int
    out: str
    err: str
    outputs: dict[str, str]
    summary: str


class Action:
    """The composite action, as a runner runs it: each step a file for bash, its inputs in its environment."""

    def __init__(self, folder: Path, scene: Scene) -> None:
        self.scene, self.temp = scene, folder / "runner"
        self.temp.mkdir()
        self.document = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
        self.steps = self.document["runs"]["steps"]

    def as_installed(self) -> Action:
        """What the first step leaves, without its minute: the command at its place."""
        (self.temp / "provision-venv/bin").mkdir(parents=True)
        (self.temp / "provision-venv/bin/provision").symlink_to(PROVISION)
        return self

    def run(self, step: int, inputs: dict[str, str], **more: str) -> Ran:
        """One step, with the defaults for what `inputs` does not name."""
        known = {name: entry["default"] for name, entry in self.document["inputs"].items()}
        assert set(inputs) <= set(known)
        wanted = {key: _evaluated(text, known | inputs) for key, text in self.steps[step]["env"].items()}
        script, outputs, summary = (self.temp / name for name in (f"step{step}.sh", "outputs", "summary.md"))
        script.write_text(self.steps[step]["run"])
        for path in (outputs, summary):
            path.write_text("")
        # docs.github.com, "Workflow syntax": what `shell: bash` stands for.
        done = shell(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            self.scene.repository,
            RUNNER_TEMP=str(self.temp),
            GITHUB_ACTION_PATH=str(ROOT),
            GITHUB_OUTPUT=str(outputs),
            GITHUB_STEP_SUMMARY=str(summary),
            GITHUB_ACTIONS="true",
            CI="true",
            **wanted,
            **more,
        )
        return Ran(done.returncode, done.stdout, done.stderr, _outputs(outputs.read_text()), summary.read_text())


def _evaluated(text: str, inputs: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: inputs[match[1]], text)


def _outputs(text: str) -> dict[str, str]:
    """As a runner reads GITHUB_OUTPUT: `name=value`, or `name<<END` and lines up to END."""
    found, lines = {}, iter(text.splitlines())
    for line in lines:
        name, mark, end = line.partition("<<")
        if mark and "=" not in name:
            found[name] = "\n".join(takewhile(end.__ne__, lines))
        else:
            name, _, value = line.partition("=")
            found[name] = value
    return found
