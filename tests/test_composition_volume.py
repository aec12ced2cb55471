"""Models on a volume that do not fit together: found after a verification, and at the end of a fill."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import hub_folder
import pytest
from composition_bed import index, tensors

from provision.errors import ExitCode
from provision.lock import Lock, LockedFile, LockedModel, dumps, loads
from provision.serve import Folder, Settings
from provision.serve.server import Server
from provision.verification.fit import misfits_of
from provision.volume.mount import Volume

ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
FILES = {"model.safetensors.index.json": index(6, a=ONE, b=TWO), ONE: tensors(a=1), TWO: tensors(b=2)}


def stood(root: Path, *left_out: str, folder: str = "m") -> Lock:
    """Files on a volume, under other names than in their repository, and their lock."""
    files = []
    for number, (path, data) in enumerate(FILES.items()):
        target = f"{folder}/{number}"
        if path not in left_out:
            (root / folder).mkdir(exist_ok=True, parents=True)
            (root / target).write_bytes(data)
            files.append(LockedFile(path=path, target=target, size=len(data), sha256="0" * 64))
    model = LockedModel(
        name=folder, source="hf://o/n", revision="main", commit=None, layout="tree", license=None,
        meaning_sha256="0" * 64, files=tuple(files),
    )  # fmt: skip
    return Lock(project="p", root="", manifest_sha256="0" * 64, models=(model,))


def allowed(lock: Lock, *, incomplete: bool) -> Lock:
    return replace(lock, models=tuple(replace(model, allow_incomplete=incomplete) for model in lock.models))


def misfits(root: Path, *locks: Lock, **only) -> list[tuple[str, str, str, bool]]:
    with Volume.open(str(root)) as volume:
        found = misfits_of(volume, locks, **only)
    return [(one.project, one.model, one.misfit.rule.value, one.misfit.grave) for one in found]


def test_a_model_that_fits_under_whatever_targets_has_no_misfit(tmp_path):
    assert misfits(tmp_path, stood(tmp_path)) == []


def test_a_misfit_names_its_project_and_model(tmp_path):
    locks = stood(tmp_path), stood(tmp_path, TWO, folder="n")

    assert misfits(tmp_path, *locks) == [("p", "n", "shard-missing", True)]


def test_what_the_lock_allows_is_not_grave(tmp_path):
    lock = allowed(stood(tmp_path, TWO), incomplete=True)

    assert misfits(tmp_path, lock) == [("p", "m", "shard-missing", False)]


def test_a_model_with_a_file_that_is_not_as_promised_is_left_out(tmp_path):
    lock = stood(tmp_path, TWO)

    assert misfits(tmp_path, lock, only={"m/0"}) == []
    assert misfits(tmp_path, lock, only={"m/0", "m/1"}) != []


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: (path.unlink(), path.mkdir())], ids=["gone", "folder"])
def test_a_file_that_cannot_be_read_is_a_grave_misfit_and_no_error(tmp_path, harm: Callable[[Path], object]):
    lock = stood(tmp_path)
    harm(tmp_path / "m/2")

    assert misfits(tmp_path, lock) == [("p", "m", "unreadable", True)]


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_one_file_is_open_at_a_time_and_none_in_the_end(tmp_path, monkeypatch):
    lock, most = stood(tmp_path), []
    before = open_files()
    opened = Volume.open_file

    def counting(volume: Volume, target: str):
        most.append(open_files())
        return opened(volume, target)

    monkeypatch.setattr(Volume, "open_file", counting)
    assert misfits(tmp_path, lock) == []

    assert len(most) == 3
    assert max(most) <= before + 2
    assert open_files() == before


class Bench:
    """A hub that lacks a shard, a lock that allows it, and the command line."""

    def __init__(self, root: Path, endpoint: str) -> None:
        self.root, self._endpoint = root, endpoint
        (root / "volume").mkdir()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        where = {"HF_ENDPOINT": self._endpoint}
        return hub_folder.run("provision", *words, "--manifests", str(self.root), home=self.root / "home", **where)

    def fill(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("fill", "p", "--frozen", "--volume", str(self.root / "volume"), *words)

    def write_lock(self, *, incomplete: bool) -> None:
        path = self.root / "p.lock.json"
        path.write_text(dumps(allowed(loads(path.read_bytes(), file="p"), incomplete=incomplete)))


@pytest.fixture
def bench(tmp_path: Path):
    place = hub_folder.build(tmp_path / "hub", "hf")
    (place / "text_encoder/model-00002-of-00002.safetensors").unlink()
    manifest = f"project: p\nmodels:\n  - source: hf://{hub_folder.NAME}\n    target: t\n    allow_incomplete: true\n"
    (tmp_path / "p.yaml").write_text(manifest)
    with Server(Folder(tmp_path / "hub"), Settings()) as server:
        yield Bench(tmp_path, server.endpoint)


MISFIT = {
    "project": "p",
    "model": "tiny-diffusion",
    "rule": "shard-missing",
    "path": "text_encoder/model.safetensors.index.json",
    "detail": "`text_encoder/model-00002-of-00002.safetensors` is missing, of 2 shards",
    "grave": False,
}


def test_lock_tells_misfits_that_are_allowed_and_has_them_in_its_document(bench):
    done = bench.run("lock", "p", "--format", "json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["projects"][0]["misfits"] == [MISFIT]
    assert "(shard-missing)" in done.stderr
    assert json.loads(bench.run("lock", "p", "--format", "json").stdout)["projects"][0]["misfits"] == []


def test_lock_without_the_allowance_exits_2_and_writes_nothing(bench):
    manifest = bench.root / "p.yaml"
    manifest.write_text(manifest.read_text().replace("    allow_incomplete: true\n", ""))

    done = bench.run("lock", "p")

    assert done.returncode == ExitCode.INPUT
    assert "p.yaml:3:5: text_encoder/model.safetensors.index.json" in done.stderr
    assert not (bench.root / "p.lock.json").exists()


def test_a_fill_tells_what_is_allowed_and_is_done(bench):
    assert bench.run("lock", "p").returncode == 0

    done = bench.fill("--format", "json")

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["ok"], document["misfits"]) == (True, [MISFIT])
    assert "p/tiny-diffusion: text_encoder/" in done.stderr


def test_a_fill_places_everything_and_then_exits_3_when_a_model_cannot_be_loaded(bench):
    """As with a lock of a release that did not check."""
    assert bench.run("lock", "p").returncode == 0
    bench.write_lock(incomplete=False)

    done = bench.fill()

    assert done.returncode == ExitCode.BYTES
    assert "p/tiny-diffusion is as promised, and does not fit together" in done.stderr
    assert "allow_incomplete: true" in done.stderr
    filled = hub_folder.tree(bench.root / "volume/t")
    assert filled == hub_folder.tree(bench.root / "hub/hf" / hub_folder.NAME)


def test_the_same_fill_has_the_same_verdict_when_nothing_is_left_to_fetch(bench):
    assert bench.run("lock", "p").returncode == 0
    bench.write_lock(incomplete=False)
    first = bench.fill()

    again = bench.fill("--format", "json")

    assert (first.returncode, again.returncode) == (ExitCode.BYTES, ExitCode.BYTES)
    document = json.loads(again.stdout)
    assert (document["ok"], document["misfits"]) == (False, [MISFIT | {"grave": True}])


def test_the_advice_of_a_verification_names_the_way_out_as_fill_does(bench):
    assert bench.run("lock", "p").returncode == 0
    bench.write_lock(incomplete=False)
    bench.fill()

    done = bench.run("verify", "p", "--volume", str(bench.root / "volume"))

    assert done.returncode == ExitCode.BYTES
    assert "set `allow_incomplete: true`" in done.stdout + done.stderr


def test_a_document_of_a_fill_that_cannot_be_loaded_is_not_ok(bench):
    assert bench.run("lock", "p").returncode == 0
    bench.write_lock(incomplete=False)

    done = bench.fill("--format", "json")

    assert done.returncode == ExitCode.BYTES
    document = json.loads(done.stdout)
    assert (document["ok"], document["misfits"]) == (False, [MISFIT | {"grave": True}])
