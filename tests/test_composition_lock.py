"""A lock of files that do not fit together is refused where they were chosen, unless a person allows it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import hub_folder
import pytest
from composition_bed import index, text
from hub_kinds import KINDS, Kind, http_settings, reach
from misbehaving_hub import MisbehavingHub

from provision.crew import Stop
from provision.errors import ExitCode, LockUnreadable, ManifestError
from provision.hubs.http import Http
from provision.hubs.supply import Supply
from provision.lock import Lock, dumps, loads
from provision.manifest import parse
from provision.resolution import Request, resolve
from provision.retry import Patience, Retry
from provision.serve import Folder

SECOND = "text_encoder/model-00002-of-00002.safetensors"
INDEX = "text_encoder/model.safetensors.index.json"


@pytest.fixture(params=KINDS, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture
def place(tmp_path: Path, kind: Kind) -> Path:
    """A pipeline that fits."""
    place = hub_folder.build(tmp_path / "hub", kind.scheme)
    parts = {"text_encoder": ["transformers", "CLIPTextModel"], "unet": ["diffusers", "UNet2DConditionModel"]}
    (place / "model_index.json").write_bytes(text(_class_name="TinyPipeline", **parts))
    for part in parts:
        (place / part / "config.json").write_bytes(text(model_type=part))
    return place


@pytest.fixture
def hub(tmp_path: Path, place: Path) -> Iterator[MisbehavingHub]:
    assert place.is_dir()
    with MisbehavingHub(Folder(tmp_path / "hub")) as server:
        yield server


class Locking:
    """Makes locks; `told` is what was said, `misfits` what was found."""

    def __init__(self, hub: MisbehavingHub, kind: Kind) -> None:
        self.hub, self.kind = hub, kind
        self.told: list[str] = []
        self.misfits: list[tuple[str, str]] = []

    def lock(self, body: str = "", known: Lock | None = None) -> Lock:
        written = f"project: p\nmodels:\n  - source: {self.kind.scheme}://{hub_folder.NAME}\n    target: t\n{body}"
        retry = Retry(patience=Patience(attempts=2, first_wait=0.01, longest_wait=0.01), sleep=lambda _: None)
        supply = Supply(lambda _: reach(self.kind, self.hub.endpoint), Http(http_settings()), retry)
        request = Request(manifest=parse(written, file="p.yaml"), known=known)
        return resolve(request, supply, Stop(), self.told.append, self._found)

    def _found(self, model: str, misfit) -> None:
        self.misfits.append((model, misfit.rule.value))

    def refused(self, body: str = "", known: Lock | None = None) -> str:
        with pytest.raises(ManifestError) as caught:
            self.lock(body, known)
        assert caught.value.exit_code is ExitCode.INPUT
        return str(caught.value)


@pytest.fixture
def locking(hub: MisbehavingHub, kind: Kind) -> Locking:
    return Locking(hub, kind)


def test_a_repository_that_fits_is_locked_and_nothing_is_told(locking):
    lock = locking.lock()

    assert locking.misfits == []
    assert "allow_incomplete" not in dumps(lock)


def test_what_the_hub_lacks_is_refused_at_the_entry_with_rule_file_and_a_way_out(locking, place):
    (place / SECOND).unlink()

    said = locking.refused()

    assert said.startswith(f"p.yaml:3:5: {INDEX}: `{SECOND}` is missing, of 2 shards (shard-missing)")
    assert "like this on its hub" in said
    assert "allow_incomplete: true" in said


def test_what_the_manifest_leaves_out_is_told_apart_from_what_the_hub_lacks(locking):
    said = locking.refused(f"    exclude: [{SECOND}]\n")

    assert "(shard-missing)" in said
    assert f"the repository has `{SECOND}`, which the entry leaves out: select it" in said
    assert "on its hub" not in said


def test_a_component_that_is_left_out_is_refused_with_its_files(locking):
    said = locking.refused("    exclude: [unet/]\n")

    assert "(component-missing)" in said
    assert "the repository has `unet/config.json` and 2 more" in said


def test_variants_that_do_not_go_together_are_the_entrys_choice_where_the_hub_has_plain_weights(locking, place):
    hub_folder.weights(place / "text_encoder/model.bf16.safetensors", {"a": 10})
    hub_folder.weights(place / "text_encoder/model.safetensors", {"a": 10})

    said = locking.refused('    files: ["*.json", "*.fp16.safetensors", "*.bf16.safetensors"]\n')

    assert "(variant-mixed)" in said
    assert "the repository has `text_encoder/model-00001-of-00002.safetensors` and " in said
    assert "(variant-mixed): it is like this" not in said


def test_a_person_may_allow_it_and_then_it_is_told(locking):
    lock = locking.lock(f"    exclude: [{SECOND}]\n    allow_incomplete: true\n")

    assert locking.misfits == [("tiny-diffusion", "shard-missing")]
    assert any("(shard-missing)" in line for line in locking.told)
    assert lock.models[0].allow_incomplete
    assert loads(dumps(lock), file="p.lock.json") == lock
    assert json.loads(dumps(lock))["models"][0]["allow_incomplete"] is True


@pytest.mark.parametrize("value", ["yes", 1, None, [], "true"])
def test_a_lock_says_so_with_true_or_not_at_all(locking, value):
    document = json.loads(dumps(locking.lock("    files: [README.md]\n")))
    document["models"][0]["allow_incomplete"] = value

    with pytest.raises(LockUnreadable, match="allow_incomplete is neither true nor false"):
        loads(json.dumps(document), file="p.lock.json")


def test_an_allowance_that_is_taken_back_is_checked_again(locking):
    body = f"    exclude: [{SECOND}]\n"
    allowed = locking.lock(f"{body}    allow_incomplete: true\n")

    assert "(shard-missing)" in locking.refused(body, allowed)


def test_what_is_not_grave_is_told_and_locked(locking, place):
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (place / INDEX).write_bytes(index(1, **shards))

    locking.lock()

    assert locking.misfits == [("tiny-diffusion", "total-size")]
    assert any("tiny-diffusion: " in line and "(total-size)" in line for line in locking.told)


def test_checking_reads_nothing_that_was_read_before(locking, hub):
    """Headers and small documents are asked for once: two ranges of a safetensors file, and one whole document."""
    locking.lock()

    read = [request.target for request in hub.log if "resolve" in request.target or "FilePath" in request.target]
    sharp = [target for target in read if ".safetensors" in target and "index" not in target]
    assert len(sharp) == 2 * 4
    assert sum("index.json" in target for target in read) <= 2 + (0 if locking.kind.scheme == "hf" else 2)


def test_a_changed_entry_with_the_same_weights_is_not_checked_again(locking, hub):
    known = locking.lock("    exclude: [README.md]\n")
    hub.log.clear()

    locking.lock("", known)

    read = [request.target for request in hub.log if "resolve" in request.target or "FilePath" in request.target]
    assert all("README.md" in target for target in read)


def test_a_changed_entry_that_drops_a_shard_is_checked(locking):
    known = locking.lock()

    assert "(shard-missing)" in locking.refused(f"    exclude: [{SECOND}]\n", known)
