"""The lock's text: canonical, readable for ever, believed in no field that was not checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.difference import Change, difference
from provision.errors import ExitCode, LockUnreadable
from provision.lock import HeaderFacts, Lock, LockedFile, LockedModel, dumps, loads
from provision.names import targets_fault

DATA = Path(__file__).parent / "data/locks/v1"
SHA = "ab" * 32

FILE = LockedFile(
    path="unet/model.safetensors",
    target="models/unet/model.safetensors",
    size=1_239_748,
    sha256=SHA,
    header=HeaderFacts(sha256="cd" * 32, tensors=15, parameters=309_633, dtypes=(("BF16", 9), ("F32", 309_624))),
)
MODEL = LockedModel(
    name="sdxl",
    source="hf://Baileyy/photonicfusion-sdxl",
    revision="main",
    commit="0123456789" * 4,
    layout="tree",
    license="openrail++",
    meaning_sha256="ef" * 32,
    files=(FILE, LockedFile(path="日本.json", target="models/日本.json", size=0, sha256=SHA)),
)
LOCK = Lock(project="photonic", root="models", manifest_sha256="12" * 32, models=(MODEL,))


def changed(**fields: object) -> str:
    """LOCK's text with fields of its first file replaced; None removes one."""
    document = json.loads(dumps(LOCK))
    file = document["models"][0]["files"][0]
    file.update(fields)
    return json.dumps(document)


def test_the_text_of_a_lock_is_the_golden_one():
    assert dumps(LOCK) == (DATA / "photonic.lock.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("data/locks/v*/*.lock.json")), ids=lambda p: p.name)
def test_a_lock_of_any_release_stays_readable(path: Path):
    lock = loads(path.read_bytes(), file=path.name)

    assert lock.project == path.name.partition(".")[0]
    assert lock.size > 0


def test_text_and_value_mirror_each_other():
    assert loads(dumps(LOCK), file="x") == LOCK


def test_keys_that_a_later_release_adds_are_passed_over():
    document = json.loads(dumps(LOCK)) | {"seal": ["later"]}

    assert loads(json.dumps(document), file="x") == LOCK


def test_a_newer_lock_version_is_refused_with_a_hint():
    document = json.loads(dumps(LOCK)) | {"lock_version": 2}

    with pytest.raises(LockUnreadable, match="newer release") as caught:
        loads(json.dumps(document), file="a.lock.json")

    assert "upgrade provision" in caught.value.hint
    assert caught.value.exit_code is ExitCode.LOCK


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"target": "../../etc/passwd"}, "target"),
        ({"target": "/etc/passwd"}, "target"),
        ({"target": "a\\b"}, "target"),
        ({"target": "a\0b"}, "target"),
        ({"target": ".provision/locks/x"}, "target"),
        ({"target": "models/.provision-0.partial"}, "target"),
        ({"target": ""}, "target"),
        ({"target": "x" * 300}, "target"),
        ({"target": "a\u200bb"}, "target"),
        ({"path": "../x"}, "path"),
        ({"size": -1}, "size"),
        ({"size": True}, "size"),
        ({"size": 1.0}, "size"),
        ({"size": 2**60}, "size"),
        ({"size": "1"}, "size"),
        ({"sha256": "AB" * 32}, "sha256"),
        ({"sha256": None}, "sha256"),
        ({"header_sha256": "x"}, "header_sha256"),
        ({"dtypes": []}, "dtypes"),
        ({"dtypes": {"F32": -1}}, "F32"),
        ({"tensors": "many"}, "tensors"),
    ],
    ids=str,
)
def test_a_field_that_no_lock_of_ours_has_is_refused_by_its_place(fields: dict[str, object], place: str):
    with pytest.raises(LockUnreadable) as caught:
        loads(changed(**fields), file="a.lock.json")

    assert str(caught.value).startswith("a.lock.json: $.models[0].files[0]")
    assert place in str(caught.value)


@pytest.mark.parametrize("revision", ["../../x", "a\0b", "", "/etc", None, 7])
def test_a_revision_that_could_not_be_a_path_is_refused(revision: object):
    document = json.loads(dumps(LOCK))
    document["models"][0]["revision"] = revision

    with pytest.raises(LockUnreadable, match=r"models\[0\].revision"):
        loads(json.dumps(document), file="x")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("project",), "x\x1b[2J"),
        (("project",), "$(touch owned)"),
        (("root",), "../.."),
        (("models", 0, "name"), "a b"),
        (("models", 0, "source"), "hf://o/n\x1b"),
        (("models", 0, "source"), "o/n"),
        (("models", 0, "license"), "\ud800"),
        (("models", 0, "layout"), "tree\n"),
    ],
    ids=str,
)
def test_a_text_that_could_not_be_printed_or_pasted_is_refused(place: tuple[str | int, ...], value: str):
    document = json.loads(dumps(LOCK))
    *way, last = place
    inner = document
    for step in way:
        inner = inner[step]
    inner[last] = value

    with pytest.raises(LockUnreadable, match=str(last)):
        loads(json.dumps(document), file="x")


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "{", '{"lock_version": true}', "[" * 100_000, b"\xff\xfe"])
def test_what_is_no_lock_is_said_to_be_none(text: str | bytes):
    with pytest.raises(LockUnreadable):
        loads(text, file="x")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_no_document_raises_anything_else(document: object):
    text = json.dumps({"lock_version": 1, "project": "p", "root": "", "manifest_sha256": SHA, "models": [document]})
    with pytest.raises(LockUnreadable):
        loads(text, file="x")


@pytest.mark.parametrize(
    ("targets", "fault"),
    [
        (["a", "b", "c/d"], ""),
        (["a", "a"], "two files have one target"),
        (["Model.bin", "model.bin"], "differ only by case"),
        (["caf\u00e9", "cafe\u0301"], "differ only by case"),
        (["a", "a/b"], "needs it as a folder"),
        (["A", "a/b/c"], "needs it as a folder"),
    ],
)
def test_targets_that_cannot_stand_together_are_refused(targets: list[str], fault: str):
    found = targets_fault(targets)

    assert fault in found
    assert bool(found) == bool(fault)


def with_files(*files: LockedFile, commit: str = "a" * 40) -> Lock:
    model = LockedModel(
        name="m", source="hf://o/n", revision="main", commit=commit, layout="tree", license=None,
        meaning_sha256=SHA, files=files,
    )  # fmt: skip
    return Lock(project="p", root="", manifest_sha256=SHA, models=(model,))


def locked(target: str, sha256: str, size: int = 10) -> LockedFile:
    return LockedFile(path=target, target=target, size=size, sha256=sha256 * 32)


def test_a_difference_names_each_file_that_was_added_removed_changed_or_moved():
    before = with_files(locked("same", "00"), locked("gone", "11"), locked("other", "22"), locked("old/place", "33"))
    after = with_files(
        locked("same", "00"), locked("other", "44", 12), locked("new/place", "33"), locked("new", "55"), commit="b" * 40
    )

    found = difference(before, after)

    assert {(f.target, f.change) for f in found.files} == {
        ("gone", Change.REMOVED),
        ("other", Change.CHANGED),
        ("new/place", Change.MOVED),
        ("new", Change.ADDED),
    }
    assert found.new_bytes == 22
    assert [(pin.before, pin.after) for pin in found.pins] == [("a" * 40, "b" * 40)]


def test_a_lock_does_not_differ_from_itself():
    assert difference(LOCK, LOCK).is_empty
