"""The digest of a manifest's meaning: nothing but a change of meaning changes it, and any does."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifest_text import written

from provision.manifest import parse

PLAIN = """
project: p
root: models
models:
  - name: Name
    source: hf://Org/Name
    target: ""
    layout: tree
    files:
      - path: unet/*.safetensors
      - {path: config.json, sha256: ABAB}
    exclude: ["*.md", "*.png"]
    allow_pickle: false
""".replace("ABAB", "AB" * 32)

SAME = """
# other words
models:
- exclude:   # a comment
  - '*.png'
  - "*.md"
  - "*.png"
  files: [unet/*.safetensors, {"sha256": "sha256:ABAB", path: config.json}]
  source: "hf://Org/Name"
root: models/
project: "p"
""".replace("ABAB", "ab" * 32)


def test_comments_quotes_order_of_keys_and_defaults_change_nothing():
    assert written(SAME).meaning_sha256 == written(PLAIN).meaning_sha256


def test_the_names_of_huggingface_hub_mean_the_same():
    ours = "project: p\nmodels: [{source: hf://a/b, files: ['*.json'], exclude: ['x*']}]"
    theirs = ours.replace("files", "allow_patterns").replace("exclude", "ignore_patterns")
    assert parse(ours, file="a").meaning_sha256 == parse(theirs, file="b").meaning_sha256


CHANGES = [
    ("project: p", "project: q"),
    ("root: models", "root: other"),
    ("name: Name", "name: name"),
    ("hf://Org/Name", "hf://Org/Name@main"),
    ("hf://Org/Name", "modelscope://Org/Name"),
    ('target: ""', "target: x"),
    ("layout: tree", "layout: flat"),
    ("unet/*.safetensors", "unet/*"),
    ("path: unet/*.safetensors", "{path: unet/a, target: b}"),
    ("AB" * 32, "AC" * 32),
    ('"*.png"', '"*.jpg"'),
    ("allow_pickle: false", "allow_pickle: true"),
    ("allow_pickle: false", "variant: fp16"),
    ("allow_pickle: false", "mirrors: [hf://a/b]"),
]


@pytest.mark.parametrize(("old", "new"), CHANGES, ids=[new for _, new in CHANGES])
def test_every_change_of_meaning_changes_the_digest(old, new):
    assert PLAIN.count(old) >= 1
    changed, plain = written(PLAIN.replace(old, new)), written(PLAIN)
    assert changed.meaning_sha256 != plain.meaning_sha256
    belongs_to_the_model = not old.startswith(("project", "root"))
    assert (changed.models[0].meaning_sha256 != plain.models[0].meaning_sha256) is belongs_to_the_model


def test_a_change_of_one_model_leaves_the_digest_of_the_others():
    before = written("project: p\nmodels: [{source: hf://a/one}, {source: hf://a/two}]")
    after = written("project: p\nmodels: [{source: hf://a/one}, {source: hf://a/two@v1}]")
    assert [x.meaning_sha256 == y.meaning_sha256 for x, y in zip(before.models, after.models, strict=True)] == [
        True,
        False,
    ]


FULL = """
project: p
models:
  - {name: n, source: modelscope://a/b@v1, target: t, layout: flat, files: [{path: x, target: é}],
     allow_pickle: on, variant: fp16, mirrors: [hf://a/b, https://example.org/x]}
"""

# Locks in people's repositories hold these digests: every later release must compute the same.
GOLDEN = [
    (
        "project: p\nmodels: [{source: hf://Org/Name}]",
        "5cb2f71fa2b94d23c157a0a08bbeb6d5d01db098edf09eca1ee0c298c41192b8",
    ),
    (PLAIN, "94a30f81cefc972ff96532f388de126e9a9d10fee35af82afe868d6fbfa7b25e"),
    (
        FULL,
        "82f9ee1745e9c6a0abfc34e4116f5b4c3b87c1a9d2c415b4a8b438c7f357d34a",
    ),
]


@pytest.mark.parametrize(("text", "digest"), GOLDEN, ids=["smallest", "plain", "full"])
def test_every_release_computes_the_same_digest(text, digest):
    assert written(text).meaning_sha256 == digest


def test_the_meaning_is_the_normal_form_with_its_defaults():
    assert written("project: p\nmodels: [{source: hf://Org/Name, files: [a]}]").meaning() == {
        "project": "p",
        "root": "",
        "models": [
            {
                "name": "Name",
                "source": "hf://Org/Name",
                "target": "",
                "layout": "tree",
                "files": [{"pattern": "a", "target": None, "sha256": None}],
                "exclude": [],
                "allow_pickle": False,
                "variant": None,
                "mirrors": [],
            }
        ],
    }


_OPTIONAL = {
    "name": st.from_regex(r"[a-z]{1,5}", fullmatch=True),
    "target": st.sampled_from(["loras", "a/b"]),
    "layout": st.sampled_from(["tree", "flat"]),
    "files": st.lists(st.sampled_from(["*.json", "unet/*", "x/"]), min_size=1, unique=True),
    "exclude": st.lists(st.sampled_from(["*.md", "*.png"]), min_size=1),
    "allow_pickle": st.booleans(),
    "variant": st.just("fp16"),
}


@given(st.fixed_dictionaries({"source": st.just("hf://Org/Name@v1")}, optional=_OPTIONAL), st.randoms(), st.data())
def test_the_digest_is_the_same_however_the_same_is_written(entry, random, data):
    keys = list(entry)
    random.shuffle(keys)
    lines = []
    for key in keys:
        value = entry[key]
        word = "yes" if value is True else "off" if value is False else json.dumps(value)
        lines += data.draw(st.sampled_from([[], ["# a comment"], [""]]))
        lines.append(f"{key}:  {word}" + data.draw(st.sampled_from(["", "  # why", "\r"])))
    body = "\n".join(f"    {line}" for line in lines)
    shuffled = f"models:\n  -\n{body}\nproject: p\n"
    plain = json.dumps({"project": "p", "models": [entry]})
    assert parse(shuffled, file="a").meaning_sha256 == parse(plain, file="b").meaning_sha256
