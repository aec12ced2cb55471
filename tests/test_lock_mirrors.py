"""Mirrors in a lock: canonical, absent where there are none, believed in no field that was not checked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import InputError, LockUnreadable
from provision.lock import MIRROR_LIMIT, Lock, LockedFile, LockedModel, Mirror, dumps, loads
from provision.manifest import Source

DATA = Path(__file__).parent / "data/locks/v1"
SHA = "ab" * 32
COMMIT = "0123456789" * 4

TWIN = Mirror(
    source="modelscope://someone/photonicfusion-sdxl",
    revision="master",
    commit=None,
    paths=(("unet/model.safetensors", "fp16/unet.safetensors"), ("日本.json", "ja.json")),
)
FORK = Mirror(source="hf://gpt2", revision="refs/pr/3", commit=COMMIT)
WEB = Mirror(source="https://weights.example.org:8443/sd%20xl", revision="", commit=None)
MODEL = LockedModel(
    name="sdxl",
    source="hf://Baileyy/photonicfusion-sdxl",
    revision="main",
    commit=COMMIT,
    layout="tree",
    license=None,
    meaning_sha256="ef" * 32,
    files=(
        LockedFile(path="unet/model.safetensors", target="models/unet/model.safetensors", size=1_239_748, sha256=SHA),
        LockedFile(path="日本.json", target="models/日本.json", size=0, sha256=SHA),
    ),
    mirrors=(TWIN, FORK, WEB),
)
LOCK = Lock(project="mirrored", root="models", manifest_sha256="12" * 32, models=(MODEL,))


def mirrored(*mirrors: object) -> str:
    """LOCK's text with these mirrors in place of its own."""
    document = json.loads(dumps(LOCK))
    document["models"][0]["mirrors"] = list(mirrors)
    return json.dumps(document)


def test_the_text_of_a_lock_with_mirrors_is_the_golden_one():
    assert dumps(LOCK) == (DATA / "mirrored.lock.json").read_text(encoding="utf-8")


def test_a_lock_without_mirrors_does_not_speak_of_them():
    text = (DATA / "photonic.lock.json").read_text(encoding="utf-8")

    assert "mirrors" not in text
    assert dumps(loads(text, file="x")) == text
    assert loads(mirrored(), file="x") == replace(LOCK, models=(replace(MODEL, mirrors=()),))


def test_a_mirror_names_its_hub_its_repository_and_where_a_file_is():
    assert (TWIN.hub, TWIN.repository) == ("modelscope", "someone/photonicfusion-sdxl")
    assert (WEB.hub, WEB.repository) == ("https", "weights.example.org:8443/sd%20xl")
    assert TWIN.path_of("unet/model.safetensors") == "fp16/unet.safetensors"
    assert TWIN.path_of("vae/model.safetensors") == "vae/model.safetensors"


@given(st.dictionaries(st.text(max_size=2), st.text(max_size=2)), st.text(max_size=2))
def test_a_path_there_is_the_noted_one_else_the_same(paths: dict[str, str], path: str):
    mirror = replace(TWIN, paths=tuple(sorted(paths.items())))

    assert {known: mirror.path_of(known) for known in paths} == paths
    assert mirror.path_of(path) == paths.get(path, path)


_NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
_PATHS = st.lists(st.text("abcä日 #%+&", min_size=1, max_size=9), min_size=1, max_size=3).map("/".join)
_REVISIONS = st.from_regex(r"[A-Za-z0-9]{1,9}(/[A-Za-z0-9]{1,9})?", fullmatch=True)
_COMMITS = st.none() | st.just(COMMIT)
_HOSTS = st.from_regex(r"[a-z0-9.-]{1,30}(:[1-9][0-9]{0,3})?", fullmatch=True)
_WEB_PATHS = st.from_regex(r"(/[A-Za-z0-9%_@~-]{1,9}){0,3}", fullmatch=True)


@st.composite
def locks(draw: st.DrawFn) -> Lock:
    paths = draw(st.lists(_PATHS, unique=True, max_size=5))
    moved = st.dictionaries(st.sampled_from(paths), _PATHS) if paths else st.just({})
    hub = st.tuples(st.sampled_from(["hf", "modelscope"]), _NAMES, _NAMES).map(lambda x: f"{x[0]}://{x[1]}/{x[2]}")
    hubs = st.builds(
        Mirror, source=hub, revision=_REVISIONS, commit=_COMMITS, paths=moved.map(lambda m: tuple(sorted(m.items())))
    )
    web = st.tuples(_HOSTS, _WEB_PATHS).map(lambda x: f"https://{x[0]}{x[1]}")
    webs = st.builds(Mirror, source=web, revision=st.just(""), commit=st.none())
    files = tuple(LockedFile(path=path, target=f"{n}", size=n, sha256=SHA) for n, path in enumerate(paths))
    mirrors = draw(st.lists(hubs | webs, max_size=MIRROR_LIMIT))
    return replace(LOCK, models=(replace(MODEL, files=files, mirrors=tuple(mirrors)),))


@given(locks())
def test_text_and_value_with_mirrors_mirror_each_other(lock: Lock):
    text = dumps(lock)

    assert loads(text, file="x") == lock
    assert dumps(loads(text, file="x")) == text


@given(st.text("aZ0.-:/%_@~ \\?#\u200b\ue000日..", max_size=30).map(lambda rest: f"https://{rest}"))
def test_every_web_mirror_that_a_manifest_may_name_can_be_locked(text: str):
    try:
        source = Source.parse(text)
    except InputError:
        return
    mirror = Mirror(source=f"{source.hub}://{source.repository}", revision="", commit=None)
    lock = replace(LOCK, models=(replace(MODEL, mirrors=(mirror,)),))

    assert loads(dumps(lock), file="x") == lock


FORKED = {"source": FORK.source, "revision": FORK.revision, "commit": FORK.commit}
WEBBED = {"source": WEB.source, "revision": "", "commit": None}

HOSTILE = [
    (7, r"mirrors\[2\] is not an object"),
    ({}, r"mirrors\[2\].source"),
    (FORKED | {"source": "s3://bucket/x"}, "is no mirror"),
    (FORKED | {"source": "http://example.org/x"}, "is no mirror"),
    (FORKED | {"source": "HTTPS://example.org/x"}, "is no mirror"),
    (FORKED | {"source": "gpt2"}, "is no mirror"),
    (FORKED | {"source": "hf://a/b/c"}, "is no mirror"),
    (FORKED | {"source": "hf://a/.."}, "is no mirror"),
    (FORKED | {"source": "hf://.."}, "is no mirror"),
    (FORKED | {"source": "hf://"}, "is no mirror"),
    (FORKED | {"source": "hf://a/b@main"}, "is no mirror"),
    (FORKED | {"source": "hf://a/" + "b" * 200}, "is no mirror"),
    (FORKED | {"source": "modelscope://a"}, "is no mirror"),
    (FORKED | {"source": "hf://a/b\x1b[2J"}, "printed"),
    (FORKED | {"revision": "../../x"}, "revision"),
    (FORKED | {"revision": ""}, "revision"),
    (FORKED | {"revision": None}, "revision"),
    (FORKED | {"commit": "main"}, "commit"),
    (FORKED | {"commit": "AB" * 20}, "commit"),
    (FORKED | {"commit": 7}, "commit"),
    (FORKED | {"paths": ["日本.json"]}, "paths is not an object"),
    (FORKED | {"paths": None}, "paths is not an object"),
    (FORKED | {"paths": {"unet/other": "a"}}, "which the model does not have"),
    (FORKED | {"paths": {"日本.json": "../../x"}}, "leaves its root"),
    (FORKED | {"paths": {"日本.json": "/etc/passwd"}}, "is absolute"),
    (FORKED | {"paths": {"日本.json": "a\\b"}}, "backslash"),
    (FORKED | {"paths": {"日本.json": 7}}, "printed"),
    (WEBBED | {"source": "https://"}, "host"),
    (WEBBED | {"source": "https://me:pw@example.org/x"}, "host"),
    (WEBBED | {"source": "https://example.org@evil.example/x"}, "host"),
    (WEBBED | {"source": "https://example.org:0/x"}, "port"),
    (WEBBED | {"source": "https://example.org:99999/x"}, "port"),
    (WEBBED | {"source": "https://example.org/"}, "is empty"),
    (WEBBED | {"source": "https://example.org/../x"}, "leaves its root"),
    (WEBBED | {"source": "https://example.org/a//x"}, "empty"),
    (WEBBED | {"source": "https://example.org/x?y"}, "query"),
    (WEBBED | {"source": "https://example.org/x#y"}, "query"),
    (WEBBED | {"source": "https://example.org\\@evil.example/x"}, "host"),
    (WEBBED | {"source": "https://example.org/" + "x" * 2000}, "longer"),
    (WEBBED | {"revision": "main"}, "has no revision"),
    (WEBBED | {"commit": COMMIT}, "has no revision"),
    (WEBBED | {"paths": {"日本.json": "a"}}, "has no revision"),
]


@pytest.mark.parametrize(("mirror", "said"), HOSTILE, ids=lambda value: ascii(value)[:80])
def test_a_mirror_that_no_lock_of_ours_has_is_refused_by_its_place(mirror: object, said: str):
    with pytest.raises(LockUnreadable, match=said) as caught:
        loads(mirrored(FORKED, WEBBED, mirror), file="a.lock.json")

    assert str(caught.value).startswith("a.lock.json: $.models[0].mirrors[2]")
    assert str(caught.value).isprintable()


def test_a_model_has_a_bounded_number_of_mirrors():
    assert len(loads(mirrored(*[FORKED] * MIRROR_LIMIT), file="x").models[0].mirrors) == MIRROR_LIMIT
    with pytest.raises(LockUnreadable, match="more than 16"):
        loads(mirrored(*[FORKED] * (MIRROR_LIMIT + 1)), file="x")


@pytest.mark.parametrize("mirrors", [None, "hf://a/b", {"0": FORKED}], ids=str)
def test_mirrors_are_a_list(mirrors: object):
    document = json.loads(dumps(LOCK))
    document["models"][0]["mirrors"] = mirrors

    with pytest.raises(LockUnreadable, match="mirrors is not a list"):
        loads(json.dumps(document), file="x")


def test_an_https_mirror_cannot_be_a_source():
    with pytest.raises(LockUnreadable, match=r"models\[0\].source"):
        loads(dumps(replace(LOCK, models=(replace(MODEL, source="https://example.org/x"),))), file="x")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    ),
    st.sampled_from(["source", "revision", "commit", "paths"]),
)
def test_no_mirror_makes_anything_but_a_lock_or_its_fault(value: object, key: str):
    text = mirrored(FORKED | {key: value})
    try:
        lock = loads(text, file="x")
    except LockUnreadable:
        return
    assert loads(dumps(lock), file="x") == lock
