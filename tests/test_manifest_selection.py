"""Which paths an entry selects from a repository's listing, and what is wrong with the wish."""

# ruff: noqa: E501, ISC004 - what is printed stands here as it is printed

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifest_text import model

from provision.manifest import select

TREE = (
    "README.md",
    "config.json",
    "model.safetensors",
    "docs/guide.md",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "weights[1].safetensors",
    "weights1.safetensors",
)
HEX = "0f" * 32


def chosen(body: str, paths=TREE) -> list[str]:
    selection = select(model(body), paths)
    assert selection.issues == ()
    return [file.path for file in selection.files]


def told(body: str, paths=TREE) -> list[str]:
    return [str(issue) for issue in select(model(body), paths).issues]


def test_without_files_the_whole_repository_is_wanted():
    assert chosen("") == sorted(TREE)


def test_the_order_of_a_listing_does_not_matter():
    assert select(model("files: ['*.json']"), TREE) == select(model("files: ['*.json']"), reversed(TREE))


def test_exact_paths_and_globs_stand_side_by_side():
    assert chosen("files: [README.md, 'unet/*.json']") == ["README.md", "unet/config.json"]


def test_what_is_excluded_is_not_selected():
    assert chosen("exclude: ['*.md', unet/, 'weights*']") == ["config.json", "model.safetensors"]


def test_a_path_that_looks_like_a_glob_is_meant_letter_by_letter_first():
    assert chosen("files: ['weights[1].safetensors']") == ["weights[1].safetensors"]
    assert chosen("files: ['weights[1].safetensors']", ["weights1.safetensors"]) == ["weights1.safetensors"]


def test_what_is_said_of_one_file_holds_though_a_glob_means_it_too():
    body = f"files: ['*.json', {{path: config.json, target: c.json, sha256: {HEX}}}]"
    files = select(model(body), TREE).files
    assert [(file.path, file.target, file.sha256) for file in files] == [
        ("config.json", "c.json", HEX),
        ("unet/config.json", None, None),
    ]


def test_one_file_may_go_to_two_places():
    files = select(model("files: [{path: config.json, target: a}, {path: config.json, target: b}]"), TREE).files
    assert [(file.path, file.target) for file in files] == [("config.json", "a"), ("config.json", "b")]


def test_a_file_knows_where_it_was_asked_for():
    files = select(model("files:\n  - config.json\n  - unet/"), TREE).files
    assert [(file.path, file.position.line, file.position.where) for file in files[:2]] == [
        ("config.json", 5, "models[0].files[0]"),
        ("unet/config.json", 6, "models[0].files[1]"),
    ]


def test_a_variant_leaves_files_that_are_named_exactly():
    body = "variant: fp16\nfiles: [unet/, unet/diffusion_pytorch_model.safetensors]"
    assert chosen(body) == [
        "unet/config.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
    ]


FAULTY = {
    "files: [unet/confg.json]": "m.yaml:4:13: the repository has no file `unet/confg.json` (models[0].files[0]); "
    "did you mean `unet/config.json`?",
    "files: [Model.safetensors]": "m.yaml:4:13: the repository has no file `Model.safetensors` (models[0].files[0]); "
    "did you mean `model.safetensors`?",
    "files: [guide.md]": "m.yaml:4:13: the repository has no file `guide.md` (models[0].files[0]); "
    "did you mean `docs/guide.md`?",
    "files: [unet]": "m.yaml:4:13: the repository has no file `unet` (models[0].files[0]); `unet/` takes the whole folder",
    "files: ['*.gguf']": "m.yaml:4:13: the repository has nothing that matches `*.gguf` (models[0].files[0])",
    "exclude: ['*']": "m.yaml:3:5: `exclude` leaves nothing of the repository (models[0])",
    "files: [config.json, '*.md']\nexclude: ['*.md']": "m.yaml:4:26: `exclude` leaves nothing of `*.md` (models[0].files[1])",
    "variant: fp16\nfiles: ['unet/*model.safetensors', unet/]": "m.yaml:5:13: the variant fp16 leaves nothing of "
    "`unet/*model.safetensors` (models[0].files[0])",
}


@pytest.mark.parametrize(("body", "line"), FAULTY.items(), ids=list(FAULTY))
def test_a_wish_that_cannot_be_met_is_told_at_its_place(body, line):
    assert told(body) == [line]


def test_an_empty_repository_is_told():
    assert told("", []) == ["m.yaml:3:5: the repository has no files (models[0])"]


def test_a_bracket_that_turns_out_to_be_a_glob_cannot_have_one_target():
    body = "files: [{path: 'weights[1].safetensors', target: x}]"
    assert told(body) == []
    assert told(body, ["weights1.safetensors"]) == [
        "m.yaml:4:13: `weights[1].safetensors` is a glob, and a glob cannot have a target or sha256 of one file "
        "(models[0].files[0])"
    ]


PICKLES = ["a.bin", "b/c.PT", "d.pth", "e.ckpt", "f.pkl", "g/h.pt", "model.safetensors", "notes.pt.txt"]


def test_pickles_are_refused_and_named():
    assert told("", PICKLES) == [
        "m.yaml:3:5: loading a pickle can run any code in it: `a.bin`, `b/c.PT`, `d.pth`, `e.ckpt`, `f.pkl` and 1 more "
        "(models[0]); set `allow_pickle: true` if you trust the repository, or `exclude` them"
    ]


def test_a_pickle_that_is_asked_for_by_name_is_refused_where_it_is_asked_for():
    assert told("files: [model.safetensors, a.bin]", PICKLES) == [
        "m.yaml:4:32: loading a pickle can run any code in it: `a.bin` (models[0].files[1]); "
        "set `allow_pickle: true` if you trust the repository, or `exclude` them"
    ]


def test_pickles_pass_where_a_person_allows_them_or_leaves_them_out():
    assert chosen("allow_pickle: true", PICKLES) == PICKLES
    assert chosen("exclude: ['*.bin', '*.PT', '*.p[tk]*', '*.ckpt']", ["a.bin", "d.pth", "f.pkl", "x.json"]) == [
        "x.json"
    ]


def test_a_variant_spares_the_pickles_that_safetensors_stand_in_for():
    tree = [
        "model_index.json",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.safetensors",
        "x.ckpt",
    ]
    assert chosen("variant: fp16", tree) == ["model_index.json", "unet/diffusion_pytorch_model.safetensors"]


def test_all_faults_of_a_wish_are_told_at_once():
    assert len(told("files: [nothing-like-it, '*.gguf', a.bin]", [*TREE, "a.bin"])) == 3


def test_an_idle_exclusion_and_a_missing_variant_are_noted():
    selection = select(model("variant: fp16\nexclude: ['*.onnx', 'unet/*fp16*']"), TREE)
    assert selection.notes == (
        "`exclude`: `*.onnx` matches nothing",
        "no fp16 weights: the plain ones are taken",
    )
    tree = ["unet/model.fp16.safetensors", "vae/model.safetensors"]
    assert select(model("variant: fp16"), tree).notes == ("no fp16 weights in `vae`: the plain ones are taken",)


def test_a_hostile_listing_cannot_write_on_a_terminal_through_a_message():
    assert told("files: [unet/config]", ["unet/config\x1b[2J"])[0].isprintable()


def test_a_large_listing_and_many_wrong_paths_take_no_long():
    listing = [f"folder{i % 97}/{'x' * 80}-{i:06}.safetensors" for i in range(50_000)]
    wanted = ", ".join(f"folder/{'y' * 80}-{i}" for i in range(20))
    started = time.process_time()
    assert len(told(f"files: [{wanted}, '*/*.json']", listing)) == 21
    assert time.process_time() - started < 10


@given(st.lists(st.text("ab/.*[]", min_size=1, max_size=8)), st.booleans())
def test_only_listed_paths_are_selected_and_each_once(paths, everything):
    body = "" if everything else "files: ['*a*']\nexclude: ['*b']"
    files = [file.path for file in select(model(body), paths).files]
    assert set(files) <= set(paths)
    assert len(files) == len(set(files))
