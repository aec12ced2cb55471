"""YAML as people write it: what they meant is read, and what cannot stand is told plainly."""

# ruff: noqa: E501, ISC004 - what is printed stands here as it is printed

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifest_text import faults, model, written

from provision.errors import ExitCode, InputError, ManifestError
from provision.manifest import load, parse

ONE = "models: [{source: hf://Org/Name}]\n"


@pytest.mark.parametrize("text", ["007", "1.10", "1e10", "0x1F", "on", "yes", "2024-01-01", "True"])
def test_a_name_keeps_the_text_that_was_written(text):
    assert written(f"project: {text}\n{ONE}").project == text


@pytest.mark.parametrize("text", ["1e10", "1.10", "2024-01-01", "0123456", "refs/pr/3", "null"])
def test_a_revision_keeps_the_text_that_was_written(text):
    assert written(f"project: p\nmodels: [{{source: hf://a/b@{text}}}]").models[0].source.revision == text


def test_a_quoted_null_is_a_text():
    assert written(f"project: 'null'\n{ONE}").project == "null"


@pytest.mark.parametrize("word", ["yes", "Yes", "on", "ON", "true", "True", '"yes"'])
def test_every_word_of_yaml_for_true_allows_pickle(word):
    assert model(f"allow_pickle: {word}").allow_pickle is True


@pytest.mark.parametrize("word", ["no", "off", "OFF", "false", "False"])
def test_every_word_of_yaml_for_false_refuses_pickle(word):
    assert model(f"allow_pickle: {word}").allow_pickle is False


def test_a_byte_order_mark_and_windows_line_ends_change_nothing():
    plain = f"project: p\n{ONE}"
    assert parse(b"\xef\xbb\xbf" + plain.replace("\n", "\r\n").encode(), file="m.yaml") == parse(plain, file="m.yaml")


def test_an_anchor_stands_for_what_it_names():
    manifest = written("""
        project: p
        models:
          - source: hf://a/one
            exclude: &noise ["*.md", "*.png"]
          - source: hf://a/two
            exclude: *noise
    """)
    assert manifest.models[1].exclude == ("*.md", "*.png")


def test_a_merge_key_lends_what_is_not_said_here():
    manifest = written("""
        project: p
        models:
          - &first
            source: hf://a/one
            layout: flat
            target: loras
          - <<: *first
            source: hf://a/two
            target: vae
          - <<: [{layout: hf-cache}, *first]
            name: three
    """)
    assert [(m.source.name, m.layout.value, m.target) for m in manifest.models] == [
        ("one", "flat", "loras"),
        ("two", "flat", "vae"),
        ("one", "hf-cache", "loras"),
    ]


def test_of_two_merge_keys_the_first_wins():
    body = "{<<: {layout: flat}, <<: {layout: hf-cache, target: x}, source: hf://a/b}"
    found = written(f"project: p\nmodels: [{body}]").models[0]
    assert (found.layout.value, found.target) == ("flat", "x")


BROKEN = {
    "project: p\nmodels:\n\t- source: x\n": ["3:1: YAML does not allow tabs for indentation; use spaces"],
    "project: p\nmodels:\n  - source: hf://a/b\n  \ttarget: x\n": [
        "4:3: YAML does not allow tabs for indentation; use spaces"
    ],
    f"project: p\n{ONE}root: a\nproject: q\n": ["4:1: `project` is here twice: first on line 1"],
    "project: p\nmodels: [{source: hf://a/b, exclude: [*.md]}]\n": [
        "2:40: not valid YAML: while scanning an alias, expected alphabetic or numeric character, but found '.'; "
        'quote a pattern that starts with `*`, as in "*.md"'
    ],
    "project: p\nmodels: [{source: hf://a/b, exclude: [*md]}]\n": [
        '2:39: `*md` is an alias, and nothing has that name; quote it if it is a pattern: "*md"'
    ],
    "project: &p [*p]\n": ["1:14: `*p` stands inside the very value that it names"],
    f"project: p: q\n{ONE}": [
        "1:11: not valid YAML: mapping values are not allowed here; quote a text that holds `: `, and check the indentation"
    ],
    f"project: @p\n{ONE}": [
        "1:10: not valid YAML: while scanning for the next token, found character '@' that cannot start any token; "
        "quote a text that starts with `@`"
    ],
    f"project: p\n{ONE}---\nproject: q\n": ["3:1: a second document starts here; one file holds one manifest"],
    f"project: !!python/object:os.system p\n{ONE}": [
        "1:10: the tag `!!python/object:os.system` is not allowed; write the value without it"
    ],
    f"project: !secret p\n{ONE}": ["1:10: the tag `!secret` is not allowed; write the value without it"],
    f"project: p\n{ONE}root: a\0b\n": ["3:8: the character U+0000 is not allowed in YAML"],
    f'project: p\n{ONE}root: "a\\0b"\n': [
        "3:7: the text holds the control character U+0000",
    ],
    f'project: p\n{ONE}root: "a\\ud800"\n': [
        "3:7: the text holds the control character U+D800",
    ],
    f'project: p\n{ONE}"\\0text": a\n': ["3:1: the text holds the control character U+0000"],
    f'project: p\n{ONE}"\\ud800": a\n': ["3:1: the text holds the control character U+D800"],
    f"project: p\n{ONE}root: |\n  a\n  b\n": [
        "3:7: the text holds the control character U+000A; each value is one line",
    ],
    f"project: p\n{ONE}[a]: b\n": ["3:1: a key must be plain text"],
    f'project: "\\UFFFFFFFF"\n{ONE}': ["1:13: not valid YAML: a number in an escape or directive is out of range"],
    f"project: p\n{ONE}<<: x\n": ["3:1: `<<` takes a mapping, or a list of mappings"],
    "[" * 100: ["1:34: nested deeper than 32 levels"],
}


@pytest.mark.parametrize(("text", "lines"), BROKEN.items(), ids=[repr(text[-40:]) for text in BROKEN])
def test_a_broken_text_is_told_at_its_place(text, lines):
    assert faults(text) == [f"m.yaml:{line}" for line in lines]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"project: p\nroot: \xff\n", "2:7: the byte 0xff is not UTF-8; save the file as UTF-8"),
        ("project: p\n".encode("utf-16"), "1:1: the byte 0xff is not UTF-8; the file is UTF-16: save it as UTF-8"),
    ],
)
def test_bytes_that_are_not_utf8_are_told_at_their_place(text, line):
    assert faults(text) == [f"m.yaml:{line}"]


def test_aliases_count_for_all_they_stand_for():
    laughs = "a0: &a0 [ha]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 20))
    assert faults(laughs) == ["m.yaml:6:40: more than 100,000 values, aliases counted for all they stand for"]


def test_a_text_of_more_than_a_mebibyte_is_refused_unread():
    text = "#" * (1024 * 1024 + 1)
    assert faults(text) == ["m.yaml:1:1: a manifest has at most 1,048,576 bytes, this file 1,048,577"]


def test_a_file_is_not_read_when_it_is_too_large(tmp_path):
    path = tmp_path / "m.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ManifestError, match="at most 1,048,576 bytes, this file 1,099,511,627,776"):
        load(path)


def test_a_missing_file_is_told_with_the_nearest_name(tmp_path):
    (tmp_path / "wan22-i2v.yaml").write_text(f"project: p\n{ONE}")
    with pytest.raises(InputError, match=r"there is no manifest .*/wan22\.yaml") as caught:
        load(tmp_path / "wan22.yaml")
    assert caught.value.hint == f"did you mean {tmp_path}/wan22-i2v.yaml?"
    assert caught.value.exit_code is ExitCode.INPUT


def test_what_is_no_file_is_told_as_such(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(InputError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(InputError, match="is not a regular file"):
        load(tmp_path / "pipe.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        load("a\0b")


def test_a_file_names_itself_in_its_faults(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text("project: p\n")
    with pytest.raises(ManifestError, match=rf"^{path}:1:1: `models` is missing$"):
        load(path)


_PIECES = st.sampled_from(
    ["project", "models", "source", "files", "hf://a/b", ": ", ":", "- ", "\n", "  ", "\t", "[", "]", "{", "}", ", ", "*",
     "*.md", "&a ", "*a", "<<", "!", "!!str ", "|", ">", "'", '"', "\\x", "#", "---", "...", "%YAML 1.1\n", "?", "@", "~", "null",
     "\0", "\ufeff", "\ud800", "é", "\x85", "path", "target", "sha256"]
)  # fmt: skip


def told(text):
    """The faults of `text`; none where it is a manifest. Any other exception goes through."""
    try:
        parse(text, file="m.yaml")
    except ManifestError as error:
        return error.issues
    return None


@given(st.lists(_PIECES, max_size=40).map("".join) | st.text(max_size=60) | st.binary(max_size=60))
def test_no_text_makes_anything_but_a_manifest_or_its_faults_in_order(text):
    issues = told(text)
    assert issues is None or issues
    places = [(issue.line, issue.column) for issue in issues or ()]
    assert places == sorted(places)
    assert all(str(issue).isprintable() for issue in issues or ())


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("aB/.*[ -@:", max_size=12) | st.just("hf://a/b"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ["project", "root", "models", "source", "name", "target", "files", "exclude", "layout", "path", "sha256", "mirrors", "zz"]
    ), inner, max_size=6),
    max_leaves=30,
)  # fmt: skip


@given(_VALUES)
def test_no_structure_makes_anything_but_a_manifest_or_its_faults(value):
    issues = told(json.dumps({"project": "p", "models": value}))  # JSON is YAML: a short way to any shape
    assert issues is None or issues
