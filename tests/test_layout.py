"""Where a hub file goes, and what stands beside it: the rules, without a client. Clients: test_layout_clients.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision.layout import Layout, Placement, Sidecar, sidecars, target_of
from provision.lock import LockedFile, LockedModel

C1, C2 = "1" * 40, "2" * 40


def placement(layout, **changes):
    facts = {"folder": "hub", "repository": "org/na.me", "revision": "main", "commit": C1}
    return Placement(layout=layout, **facts | changes)


def model(*targets, revision="main", commit=C1, repository="org/name", layout=Layout.HF_CACHE):
    """A locked model as resolution makes it; `targets` are of files that were given their own."""
    place = Placement(layout=layout, folder="hub", repository=repository, revision=revision, commit=commit)
    paths = ("config.json", "unet/model.safetensors")
    named = [(path, target_of(path, place)) for path in paths] + [("own.bin", target) for target in targets]
    return LockedModel(
        name=repository,
        source=f"hf://{repository}",
        revision=revision,
        commit=commit,
        layout=layout.value,
        license=None,
        meaning_sha256="0" * 64,
        files=tuple(LockedFile(path=path, target=target, size=1, sha256="0" * 64) for path, target in named),
    )


def refs(*models):
    """Sidecars as the client reads them: which name leads to which snapshot."""
    return {sidecar.target: sidecar.text for sidecar in sidecars(models)}


@pytest.mark.parametrize(
    ("layout", "target"),
    [
        (Layout.TREE, "hub/unet/model.safetensors"),
        (Layout.FLAT, "hub/model.safetensors"),
        (Layout.HF_CACHE, f"hub/models--org--na.me/snapshots/{C1}/unet/model.safetensors"),
        (Layout.MODELSCOPE_CACHE, "hub/models/org--na.me/snapshots/main/unet/model.safetensors"),
    ],
)
def test_each_layout_has_its_own_place_for_a_file(layout, target):
    assert target_of("unet/model.safetensors", placement(layout)) == target


@pytest.mark.parametrize("layout", Layout)
def test_without_a_folder_targets_begin_at_the_root(layout):
    assert f"hub/{target_of('a/b', placement(layout, folder=''))}" == target_of("a/b", placement(layout))


def test_a_repository_without_an_owner_has_a_cache_folder_like_any_other():
    found = target_of("config.json", placement(Layout.HF_CACHE, repository="gpt2"))
    assert found == f"hub/models--gpt2/snapshots/{C1}/config.json"


@pytest.mark.parametrize("layout", [Layout.TREE, Layout.HF_CACHE, Layout.MODELSCOPE_CACHE])
def test_dots_are_left_for_the_check_of_targets_and_not_tidied_away(layout):
    assert "/../../" in target_of("a/../../b", placement(layout))


def test_modelscope_names_snapshots_by_revision_even_where_the_commit_is_known():
    found = target_of("a", placement(Layout.MODELSCOPE_CACHE, revision="feature/x", commit=C1))
    assert found == "hub/models/org--na.me/snapshots/feature/x/a"


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/3"])
def test_a_revision_leads_to_its_commit_without_a_line_feed(revision):
    assert refs(model(revision=revision))[f"hub/models--org--name/refs/{revision}"] == C1


@pytest.mark.parametrize("revision", [C1, "v1.0", "refs/pr/3"])
def test_the_only_commit_of_a_repository_is_found_without_a_revision(revision):
    assert refs(model(revision=revision))["hub/models--org--name/refs/main"] == C1


def test_main_is_main_whatever_else_is_pinned():
    pinned, main = model(revision=C2, commit=C2), model()
    for order in ((pinned, main), (main, pinned)):
        assert refs(*order) == {"hub/models--org--name/refs/main": C1}


def test_of_several_commits_none_is_made_main():
    pair = model(revision="v1.0"), model(revision="v2.0", commit=C2)
    assert refs(*pair) == {"hub/models--org--name/refs/v1.0": C1, "hub/models--org--name/refs/v2.0": C2}
    assert refs(model(revision=C1), model(revision=C2, commit=C2)) == {}


def test_two_entries_of_one_commit_share_one_ref_that_waits_for_both():
    whole = model()
    halves = [replace(whole, name=file.path, files=(file,)) for file in whole.files]
    assert sidecars(halves) == sidecars([whole])


def test_a_ref_waits_for_every_file_of_its_snapshot():
    held = model(revision="v1.0")
    assert {sidecar.after for sidecar in sidecars([held])} == {tuple(file.target for file in held.files)}


def test_a_file_with_a_target_of_its_own_changes_nothing_for_the_others():
    own = model("elsewhere/own.bin", f"models--org--name/snapshots/{C1}x/own.bin", "own.bin")
    assert refs(own) == {"hub/models--org--name/refs/main": C1}
    assert refs(replace(own, files=own.files[2:])) == {}


def test_only_whole_folder_names_count():
    held = model()
    glued = (replace(file, target=f"my{file.target.removeprefix('hub/')}") for file in held.files)
    assert refs(replace(held, files=tuple(glued))) == {}


def test_a_cache_at_the_root_of_the_volume_has_its_refs_there():
    held = model()
    bare = replace(held, files=tuple(replace(file, target=file.target.removeprefix("hub/")) for file in held.files))
    assert refs(bare) == {"models--org--name/refs/main": C1}


@pytest.mark.parametrize("layout", [Layout.TREE, Layout.FLAT, Layout.MODELSCOPE_CACHE])
def test_no_other_layout_needs_anything_beside_its_files(layout):
    assert sidecars([model(layout=layout)]) == ()


def test_sidecars_are_the_same_for_the_same_lock():
    models = [model(repository=name, revision=revision) for name in ("b/x", "a/x") for revision in ("v2", "main")]
    assert sidecars(models) == sidecars(models[::-1])
    assert sidecars(models) == tuple(sorted(sidecars(models), key=lambda sidecar: sidecar.target))
    assert isinstance(sidecars(models)[0], Sidecar)
