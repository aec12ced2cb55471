"""Resolution against real hubs on loopback: what is pinned, what is asked for, what is refused."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import hub_folder
import pytest
from hub_kinds import HUGGINGFACE, KINDS, Kind, http_settings, reach
from misbehaving_hub import MisbehavingHub, Rule, rewrites

from provision.crew import Stop
from provision.difference import difference
from provision.errors import (
    DigestMismatch,
    ExitCode,
    HeaderMismatch,
    HostileListing,
    HubRefused,
    ManifestError,
    PathNotFound,
    ProvisionError,
)
from provision.hubs.http import Http
from provision.hubs.supply import Supply
from provision.lock import Lock, dumps
from provision.manifest import parse
from provision.resolution import Request, resolve
from provision.retry import Patience, Retry
from provision.serve import Folder


@pytest.fixture(params=KINDS, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture
def place(tmp_path: Path, kind: Kind) -> Path:
    return hub_folder.build(tmp_path / "hub", kind.scheme)


@pytest.fixture
def hub(tmp_path: Path, place: Path) -> Iterator[MisbehavingHub]:
    assert place.is_dir()
    with MisbehavingHub(Folder(tmp_path / "hub")) as server:
        yield server


def manifest_of(kind: Kind, body: str = "", root: str = "models"):
    text = f"project: p\nroot: {root}\nmodels:\n  - source: {kind.scheme}://{hub_folder.NAME}\n    target: tiny\n{body}"
    return parse(text, file="p.yaml")


def resolved(hub: MisbehavingHub, kind: Kind, manifest, known: Lock | None = None, **changes) -> Lock:
    retry = Retry(patience=Patience(attempts=2, first_wait=0.01, longest_wait=0.01), sleep=lambda _: None)
    supply = Supply(lambda _: reach(kind, hub.endpoint), Http(http_settings()), retry)
    return resolve(Request(manifest=manifest, known=known, **changes), supply, Stop())


def test_every_file_is_promised_with_its_true_size_and_sha256(hub, kind, place):
    lock = resolved(hub, kind, manifest_of(kind))

    promised = {file.path: (file.size, file.sha256, file.target) for _, file in lock.files()}
    true = {
        path: (len(data), hashlib.sha256(data).hexdigest(), f"models/tiny/{path}")
        for path, data in hub_folder.tree(place).items()
    }
    assert promised == true
    assert re.fullmatch(r"[0-9a-f]{40}", lock.models[0].commit or "")
    assert lock.models[0].license == "apache-2.0" or kind is not HUGGINGFACE


def test_a_safetensors_file_is_promised_with_its_header_read_by_range(hub, kind):
    lock = resolved(hub, kind, manifest_of(kind, f"    files: [{hub_folder.LARGE}]\n"))

    header = lock.models[0].files[0].header
    assert header is not None
    assert (header.tensors, header.parameters, header.dtypes) == (2, 6_000_000, (("F16", 6_000_000),))
    assert sum(request.sent for request in hub.asked("", place="cdn")) < 10_000


def test_the_same_inputs_give_the_same_lock_byte_for_byte(hub, kind):
    assert dumps(resolved(hub, kind, manifest_of(kind))) == dumps(resolved(hub, kind, manifest_of(kind)))


def test_an_unchanged_entry_asks_its_hub_nothing(hub, kind):
    known = resolved(hub, kind, manifest_of(kind))
    hub.log.clear()

    again = resolved(hub, kind, manifest_of(kind, "    # only a comment\n"), known)

    assert again == known
    assert hub.log == []


def test_a_pin_stays_until_an_upgrade_moves_it(hub, kind, place):
    known = resolved(hub, kind, manifest_of(kind))
    (place / hub_folder.SMALL).write_text("{}")

    kept = resolved(hub, kind, manifest_of(kind), known)
    moved = resolved(hub, kind, manifest_of(kind), known, upgrade=lambda name: name == "tiny-diffusion")

    assert kept == known
    assert [change.target for change in difference(known, moved).files] == [f"models/tiny/{hub_folder.SMALL}"]
    assert moved.models[0].commit != known.models[0].commit


def test_a_changed_entry_reads_only_the_facts_that_are_new(hub, kind):
    known = resolved(hub, kind, manifest_of(kind, "    files: ['*.json']\n"))
    hub.log.clear()

    grown = resolved(hub, kind, manifest_of(kind, "    files: ['*.json', README.md]\n"), known)

    read = {request.target for request in hub.log if "resolve" in request.target or "FilePath" in request.target}
    assert all("README.md" in target for target in read)
    assert [change.target for change in difference(known, grown).files] == ["models/tiny/README.md"]
    assert grown.models[0].commit == known.models[0].commit


def test_another_root_moves_targets_and_fetches_no_fact_again(hub, kind):
    known = resolved(hub, kind, manifest_of(kind))

    moved = resolved(hub, kind, manifest_of(kind, root="elsewhere"), known)

    assert {file.target.split("/")[0] for _, file in moved.files()} == {"elsewhere"}
    assert {f.change.value for f in difference(known, moved).files} == {"moved"}


def test_an_authors_promise_that_the_hub_breaks_is_refused(hub, kind):
    body = f"    files:\n      - path: {hub_folder.SMALL}\n        sha256: {'0' * 64}\n"

    with pytest.raises(DigestMismatch, match="the manifest promises") as caught:
        resolved(hub, kind, manifest_of(kind, body))

    assert caught.value.exit_code is ExitCode.BYTES
    assert "p.yaml:7" in caught.value.hint


def test_all_faults_of_a_selection_are_told_at_once_with_the_nearest_names(hub, kind):
    body = "    files: [model_idnex.json, 'nothing/*.bin', unet/diffusion_pytorch_model.safetensor]\n"

    with pytest.raises(ManifestError) as caught:
        resolved(hub, kind, manifest_of(kind, body))

    assert len(caught.value.issues) == 3
    assert "model_index.json" in str(caught.value)
    assert str(caught.value).startswith("p.yaml:6:")


def test_files_that_would_share_a_target_are_refused_before_anything_is_written(hub, kind):
    body = "    layout: flat\n    files: ['text_encoder/*.safetensors', 'twins/*']\n"

    with pytest.raises(ManifestError, match="differ only by case") as caught:
        resolved(hub, kind, manifest_of(kind, body))

    assert "give one of them its own `target`" in str(caught.value)


def test_all_that_a_hub_refuses_is_told_at_once_with_file_and_line(hub, kind):
    body = "".join(f"  - source: {kind.scheme}://acme/nothing{n}\n" for n in range(2))

    with pytest.raises(HubRefused) as caught:
        resolved(hub, kind, manifest_of(kind, body))

    assert [line.partition(" ")[0] for line in caught.value.message.splitlines()] == ["p.yaml:6:5:", "p.yaml:7:5:"]
    assert caught.value.exit_code is ExitCode.REFUSED


def test_a_cache_layout_of_another_hub_is_refused(hub, kind):
    other = "modelscope-cache" if kind is HUGGINGFACE else "hf-cache"

    with pytest.raises(ManifestError, match=f"the layout `{other}` is for"):
        resolved(hub, kind, manifest_of(kind, f"    layout: {other}\n"))


@pytest.fixture(autouse=True)
def twins(place: Path) -> None:
    """`twins/` holds a base name that another folder has, in another case."""
    (place / "twins").mkdir()
    original = place / "text_encoder/model-00001-of-00002.safetensors"
    (place / "twins/Model-00001-of-00002.safetensors").write_bytes(original.read_bytes())


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "LFS"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "HTML|web page"),
        (b"\0" * 4096, "zero"),
        (b"\x1f\x8b\x08" + b"x" * 100, "gzip"),
    ],
    ids=["lfs-pointer", "html", "zeros", "gzip"],
)
def test_a_file_that_is_no_safetensors_on_its_hub_is_refused_by_name(hub, kind, place, data, said):
    (place / "broken.safetensors").write_bytes(data)

    with pytest.raises(HeaderMismatch, match=re.compile(said, re.IGNORECASE)) as caught:
        resolved(hub, kind, manifest_of(kind, "    files: [broken.safetensors]\n"))

    assert "broken.safetensors" in str(caught.value)
    assert caught.value.exit_code is ExitCode.BYTES


def test_a_small_file_whose_bytes_are_not_its_git_blob_is_refused(tmp_path):
    place = hub_folder.build(tmp_path / "hf-only", "hf")
    assert place.is_dir()

    def lying(entries):
        return [entry | {"oid": "0" * 40} if entry["path"] == hub_folder.SMALL else entry for entry in entries]

    with MisbehavingHub(Folder(tmp_path / "hf-only")) as hub:
        hub.rules.append(Rule(HUGGINGFACE.listing, rewrites(lying)))
        with pytest.raises(DigestMismatch, match="the hub lists it as git:0000"):
            resolved(hub, HUGGINGFACE, manifest_of(HUGGINGFACE, f"    files: [{hub_folder.SMALL}]\n"))


@pytest.mark.parametrize("path", ["../../x", "/etc/passwd", "a\\b", "a\0b", "a\nb", "x" * 2000, "a//b", "a/./b"])
def test_a_hostile_listing_is_refused_whole(hub, kind, path):
    hub.rules.append(Rule(kind.listing, rewrites(lambda _: kind.listed([kind.entry(path)]))))

    with pytest.raises(HostileListing) as caught:
        resolved(hub, kind, manifest_of(kind, "    files: ['**']\n    allow_pickle: true\n"))

    assert caught.value.exit_code is ExitCode.REFUSED
    assert "nothing was written" in caught.value.hint


def test_a_file_that_vanished_between_listing_and_reading_is_said_to_be_gone(hub, kind):
    hub.rules.append(Rule(kind.listing, rewrites(lambda _: kind.listed([kind.entry("gone.safetensors", size=100)]))))

    with pytest.raises(ProvisionError) as caught:
        resolved(hub, kind, manifest_of(kind, "    files: [gone.safetensors]\n"))

    assert isinstance(caught.value, PathNotFound)
    assert caught.value.exit_code is ExitCode.REFUSED
