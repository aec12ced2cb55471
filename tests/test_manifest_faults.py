"""Every fault of a manifest is told with its line and column, and with what was probably meant."""

# ruff: noqa: E501, ISC004 - what is printed stands here as it is printed

from __future__ import annotations

import pytest
from manifest_text import faults, model, written

from provision.errors import ExitCode, ManifestError
from provision.lock import MIRROR_LIMIT

HEAD = "project: p\nmodels:\n"
HEX = "0f" * 32

ONE_MODEL = {  # what stands below `source: hf://Org/Name`, from line 4 on -> the line that is printed
    "tragte: loras": "4:5: unknown key `tragte` (models[0]); did you mean `target`?",
    "include: [a]": "4:5: unknown key `include` (models[0]); did you mean `files`?",
    "revision: v1": "4:5: unknown key `revision` (models[0]); a revision belongs to the source: hf://ORG/NAME@REV",
    "hash: x": "4:5: unknown key `hash` (models[0]); the keys here are name, source, target, layout, files, "
    "allow_patterns, exclude, ignore_patterns, allow_pickle, variant, mirrors, allow_incomplete",
    "files: [{path: a, hash: x}]": "4:23: unknown key `hash` (models[0].files[0]); did you mean `sha256`?",
    "files: [{path: a, revision: x}]": "4:23: unknown key `revision` (models[0].files[0]); the keys here are path, target, sha256",
    "colour: red": "4:5: unknown key `colour` (models[0]); the keys here are name, source, target, layout, files, "
    "allow_patterns, exclude, ignore_patterns, allow_pickle, variant, mirrors, allow_incomplete",
    "name: a b": "4:11: `a b` cannot be a name: a space is not one of A-Z a-z 0-9 . _ - (models[0].name); did you mean `a-b`?",
    "name: ../x": "4:11: `../x` cannot be a name: `/` is not one of A-Z a-z 0-9 . _ - (models[0].name); did you mean `x`?",
    "name: ..": "4:11: `..` cannot be a name: it must start with a letter or a digit, not `.` (models[0].name)",
    'name: ""': "4:11: a name cannot be empty (models[0].name)",
    f"name: {'n' * 97}": "4:11: a name has at most 96 characters, this one 97 (models[0].name)",
    "name: [a]": "4:11: this must be text, not a list (models[0].name)",
    "target: /loras": "4:13: `/loras` is absolute, but places are relative to the root (models[0].target); did you mean `loras`?",
    "target: /workspace/models/loras": "4:13: `/workspace/models/loras` is absolute, but places are relative to the root "
    "(models[0].target); did you mean `models/loras`?",
    "target: a/../../b": "4:13: `a/../../b` leaves its root with `..` (models[0].target)",
    "target: a\\b": "4:13: `a\\b` holds a backslash (models[0].target); did you mean `a/b`?",
    "target: C:/models": "4:13: `C:/models` is absolute (models[0].target)",
    "target: a//b": "4:13: `a//b` has an empty or `.` segment (models[0].target); did you mean `a/b`?",
    "target: ~/models": "4:13: `~/models` starts with `~`, which is not expanded; places are relative to the root (models[0].target)",
    "target: .provision/x": "3:5: the target `.provision/x` is a name that provision keeps for itself (`.provision`) (models[0])",
    "target:": "4:12: there is no value here (models[0].target); write one, or drop the line",
    "layout: hfcache": "4:13: `hfcache` is not a layout: tree, flat, hf-cache, modelscope-cache (models[0].layout); "
    "did you mean `hf-cache`?",
    "layout: [flat]": "4:13: a list is not a layout: tree, flat, hf-cache, modelscope-cache (models[0].layout)",
    "allow_pickle: maybe": "4:19: `maybe` is neither true nor false (models[0].allow_pickle)",
    "variant: .fp16.": "4:14: `.fp16.` cannot be a variant: up to 32 letters, digits, `_` or `-`, as in `fp16` "
    "(models[0].variant); did you mean `fp16`?",
    "files: []": "4:12: the list is empty (models[0].files); drop the line to take the whole repository",
    "exclude: []": "4:14: the list is empty (models[0].exclude); drop the line",
    "mirrors: []": "4:14: the list is empty (models[0].mirrors); drop the line",
    'exclude: "*.md"': '4:14: this must be a list, not text (models[0].exclude); write it as a list: ["*.md"]',
    "files: {path: a}": "4:12: this must be a list, not a mapping (models[0].files)",
    "files: [[a]]": "4:13: this must be text or a mapping, not a list (models[0].files[0])",
    "files: [a, ~]": "4:16: there is no value here (models[0].files[1]); write one, or drop the line",
    "files: [{target: a}]": "4:13: `path` is missing (models[0].files[0])",
    "files: [/a/b]": "4:13: `/a/b` is absolute, but paths in a repository are relative (models[0].files[0]); did you mean `a/b`?",
    "files: [./a]": "4:13: `./a` has an empty or `.` segment (models[0].files[0]); did you mean `a`?",
    "files: ['!*.md']": "4:13: `!*.md` starts with `!`: patterns cannot be negated (models[0].files[0]); use `exclude`",
    "files: ['*.{json,txt}']": "4:13: `*.{json,txt}`: braces are not expanded (models[0].files[0]); write one pattern for each",
    "files: [{path: '*.x', target: y}]": "4:35: `*.x` is a glob, and a glob cannot have one target (models[0].files[0].target); "
    "put the folder into the model's `target`",
    f"files: [{{path: unet/, sha256: {HEX}}}]": "4:35: `unet/` is a glob, and a glob cannot have one sha256 "
    "(models[0].files[0].sha256); list the files one by one",
    "files: [{path: a, target: loras/}]": "4:31: `loras/` is a folder; a file's target is its own final name "
    "(models[0].files[0].target); write the whole name, as in `loras/model.safetensors`",
    f"files: [{{path: a, sha256: {HEX[:40]}}}]": f"4:31: `{HEX[:40]}` is not a sha256: 64 hex digits are "
    "(models[0].files[0].sha256); that looks like a git commit or a sha1",
    "files: [a]\n    allow_patterns: [b]": "5:21: another name of `files`, which is here too (models[0].allow_patterns); "
    "merge the two lists into one",
    "exclude: [a]\n    ignore_patterns: [b]": "5:22: another name of `exclude`, which is here too (models[0].ignore_patterns); "
    "merge the two lists into one",
    "files: [a/b, a/b]": "4:18: `a/b` is the target of two files; the other is on line 4 (models[0].files[1])",
    "layout: flat\n    files: [a/b, c/b]": "5:18: `b` is the target of two files; the other is on line 5 (models[0].files[1])",
    "files: [a, a/b]": "4:16: `a/b` lies below `a`, a file's target on line 4 (models[0].files[1])",
    "layout: hf-cache\n    files: [{path: a, target: b}]": "5:13: `target` cannot stand here: the layout hf-cache decides "
    "every name itself (models[0].files[0])",
    "mirrors: ['http://example.org/x']": "4:15: `http://example.org/x` is not a source: hf://ORG/NAME[@REV] or "
    "modelscope://OWNER/NAME[@REV] (models[0].mirrors[0])",
    "mirrors: ['https://me:secret@example.org/x']": "4:15: `https://***@example.org/x`: a mirror's host is a plain name, "
    "without user or password (models[0].mirrors[0])",
    "mirrors: ['https://example.org/a/../b']": "4:15: `https://example.org/a/../b`: a mirror's path leaves its root with `..` "
    "(models[0].mirrors[0])",
    "mirrors: ['https://example.org:70000/a']": "4:15: `https://example.org:70000/a`: a mirror's port is between 1 and 65535 "
    "(models[0].mirrors[0])",
    f"mirrors: [{', '.join(['hf://a/b'] * 17)}]": "4:14: the list has more than 16 items (models[0].mirrors)",
}


@pytest.mark.parametrize(("body", "line"), ONE_MODEL.items(), ids=list(ONE_MODEL))
def test_a_fault_of_a_model_is_told_at_its_place(body, line):
    assert faults(f"{HEAD}  - source: hf://Org/Name\n    {body}\n") == [f"m.yaml:{line}"]


WHOLE = {
    "": ["1:1: the file is empty; it starts with `project: NAME`"],
    "# only words\n": ["1:1: the file is empty; it starts with `project: NAME`"],
    "---\n": ["2:1: the file is empty; it starts with `project: NAME`"],
    "just words": ["1:1: a manifest is a mapping; it starts with `project: NAME`"],
    "- a\n": ["1:1: a manifest is a mapping; it starts with `project: NAME`"],
    "project: p\n": ["1:1: `models` is missing"],
    "project: p\nmodels: []\n": ["2:9: the list is empty (models); list at least one model"],
    "project: p\nmodels: {}\n": ["2:9: this must be a list, not a mapping (models)"],
    "project: p\nmodels: [x]\n": ["2:10: this must be a mapping, not text (models[0])"],
    "project:\nmodels: [{source: hf://a/b}]\n": ["1:9: there is no value here (project); write one, or drop the line"],
    "project: p\nmodels: [{name: x}]\n": ["2:10: `source` is missing (models[0])"],
    "project: p\nroot: ../up\nmodels: [{source: hf://a/b}]\n": ["2:7: `../up` leaves its root with `..` (root)"],
    "project: p\nmodels: [{source: hf://a/_x}, {source: hf://a/y}]\n": [
        "2:19: `_x` cannot be a name: it must start with a letter or a digit, not `_` (models[0].source); "
        "give the model a `name:`"
    ],
    "project: p\nmodels: [{source: hf://a/_x, name: }]\n": [
        "2:19: `_x` cannot be a name: it must start with a letter or a digit, not `_` (models[0].source); "
        "give the model a `name:`",
        "2:35: there is no value here (models[0].name); write one, or drop the line",
    ],
    "project: p\nmodels: [{source: hf://a/x}, {source: hf://b/x}]\n": [
        "2:30: the name `x` is taken by the model on line 2 (models[1]); give one of them its own `name:`"
    ],
    "project: p\nmodels: [{source: hf://a/x}, {source: hf://b/X}]\n": [
        "2:30: the name `X` is taken by the model on line 2, but for case, as `x` (models[1]); "
        "give one of them its own `name:`"
    ],
}


@pytest.mark.parametrize(("text", "lines"), WHOLE.items(), ids=[repr(text[:50]) for text in WHOLE])
def test_a_fault_of_the_whole_is_told_at_its_place(text, lines):
    assert faults(text) == [f"m.yaml:{line}" for line in lines]


def test_a_model_with_a_name_may_come_from_a_repository_whose_own_is_no_name():
    assert written("project: p\nmodels: [{source: hf://a/_x, name: x}]\n").models[0].name == "x"


def test_as_many_mirrors_as_a_lock_takes_are_taken():
    mirrors = [f"hf://a/b{number}" for number in range(MIRROR_LIMIT)]
    assert len(model(f"mirrors: [{', '.join(mirrors)}]").mirrors) == MIRROR_LIMIT


def test_all_faults_are_told_at_once_in_the_order_of_the_text():
    text = f"""\
project: my models
root: /runpod-volume/models
models:
  - source: hf://Org/One
    files: [a.bin, {{path: b.bin, sha256: 12}}]
    exclude: x
  - name: one
    source: hf:Org/One
  - name: ONE
    source: hf://Org/Three
    target: a.bin
    files: [c.bin]
  - source: hf://Org/four
    allow_pickle: perhaps
  - {{name: three, source: hf://Org/Four, tagret: x, files: [{{path: a.bin, target: a.bin/x, sha256: {HEX}}}, [x]]}}
"""
    assert faults(text) == [
        "m.yaml:1:10: `my models` cannot be a name: a space is not one of A-Z a-z 0-9 . _ - (project); did you mean `my-models`?",
        "m.yaml:2:7: `/runpod-volume/models` is absolute, but places are relative to the root (root); did you mean `models`?",
        "m.yaml:5:42: `12` is not a sha256: 64 hex digits are (models[0].files[1].sha256)",
        'm.yaml:6:14: this must be a list, not text (models[0].exclude); write it as a list: ["x"]',
        "m.yaml:8:13: `hf:Org/One` is not a source: hf://ORG/NAME[@REV] or modelscope://OWNER/NAME[@REV] (models[1].source); "
        "did you mean `hf://Org/One`?",
        "m.yaml:9:5: the name `ONE` is taken by the model on line 4, but for case, as `One` (models[2]); "
        "give one of them its own `name:`",
        "m.yaml:12:13: `a.bin/c.bin` lies below `a.bin`, a file's target on line 5 (models[2].files[0])",
        "m.yaml:14:19: `perhaps` is neither true nor false (models[3].allow_pickle)",
        "m.yaml:15:42: unknown key `tagret` (models[4]); did you mean `target`?",
        "m.yaml:15:61: `a.bin/x` lies below `a.bin`, a file's target on line 5 (models[4].files[0])",
        "m.yaml:15:167: this must be text or a mapping, not a list (models[4].files[1])",
    ]


def test_what_is_left_of_a_faulty_list_keeps_its_numbers():
    text = f"{HEAD}  - source: hf://Org/Name\n    files: [/x, a, /y, a]\n"
    assert faults(text)[2] == "m.yaml:4:24: `a` is the target of two files; the other is on line 4 (models[0].files[3])"


def test_a_model_whose_only_file_is_faulty_is_checked_against_the_others():
    text = f"{HEAD}  - source: hf://Org/Name\n    files: [/x]\n  - source: hf://Other/Name\n"
    assert [line.split(": ")[1][:8] for line in faults(text)] == ["`/x` is ", "the name"]


def test_files_in_a_cache_layout_clash_with_none_outside():
    entries = "{source: hf://a/b, layout: hf-cache, files: [x]}, {source: hf://a/c, files: [x]}"
    assert len(written(f"project: p\nmodels: [{entries}]").models) == 2


def test_a_manifest_error_asks_for_an_edit_and_knows_its_places():
    with pytest.raises(ManifestError) as caught:
        written("project: p\nmodels: []")
    assert caught.value.exit_code is ExitCode.INPUT
    assert [(issue.line, issue.column, issue.where) for issue in caught.value.issues] == [(2, 9, "models")]


def test_no_fault_repeats_a_credential():
    text = f"{HEAD}  - source: https://me:hf_abcdefghijkl@huggingface.co/Org/Name?token=s3cret\n    nmae: hf_abcdefghijkl\n"
    printed = "\n".join(faults(text))
    assert "did you mean `hf://Org/Name`?" in printed
    assert "hf_abc" not in printed
    assert "s3cret" not in printed


def test_no_fault_repeats_a_credential_as_what_was_meant():
    lines = faults(f"{HEAD}  - source: hf://Org/Name\n    exclude: hf_abcdefghijkl\n")
    assert lines == ['m.yaml:4:14: this must be a list, not text (models[0].exclude); write it as a list: ["***"]']
    assert "hf_abc" not in faults("project: *hf_abcdefghijkl\n")[0]


def test_a_long_credential_is_masked_before_the_text_is_cut():
    printed = "\n".join(faults(f"{HEAD}  - source: https://me:{'s3cret' * 40}@example.org/Org/Name\n"))
    assert "s3cret" not in printed
