"""Which repository paths a pattern means."""

from __future__ import annotations

import time
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from provision.manifest import is_glob, matches

MEANT = {
    # an exact path is one path
    "config.json": (["config.json"], ["unet/config.json", "config.json.bak", "Config.json"]),
    "unet/config.json": (["unet/config.json"], ["config.json", "a/unet/config.json"]),
    "unet": (["unet"], ["unet/config.json"]),
    "a[1].bin": (["a[1].bin", "a1.bin"], ["a2.bin"]),
    # without a slash: any depth, files and folders
    "*.md": (["README.md", "docs/a/b.md", "x.md/inside"], ["README.MD", "a.mdx", "md"]),
    "*.fp16.*": (["unet/model.fp16.safetensors"], ["unet/model.safetensors", "fp16"]),
    "text_encoder*": (["text_encoder/config.json", "text_encoder_2/model.safetensors"], ["unet/config.json"]),
    "*": (["a", "a/b", ".gitattributes"], []),
    "**": (["a", "a/b/c"], []),
    "?.bin": (["a.bin", "x/b.bin"], ["ab.bin", ".bin"]),
    ".*": ([".gitattributes", ".cache/x"], ["a.b"]),
    # with a slash: from the root
    "example/*": (["example/a.wav", "example/deep/a.wav"], ["example", "my/example/a.wav"]),
    "unet/*.safetensors": (["unet/a.safetensors"], ["unet/deep/a.safetensors", "x/unet/a.safetensors"]),
    "*/config.json": (["unet/config.json"], ["config.json", "a/b/config.json"]),
    "/*.safetensors": (["a.safetensors"], ["unet/a.safetensors"]),
    "**/config.json": (["config.json", "unet/config.json", "a/b/config.json"], ["xconfig.json", "config.json5"]),
    "a/**/z": (["a/z", "a/b/z", "a/b/c/z"], ["z", "a/zz", "b/a/z"]),
    "unet/**": (["unet/a", "unet/b/c"], ["unet", "my/unet/a"]),
    "a**b/c": (["ab/c", "axb/c"], ["a/b/c"]),
    # a trailing slash: everything below
    "unet/": (["unet/a", "unet/b/c", "deep/unet/a"], ["unet", "my-unet/a"]),
    "/unet/": (["unet/a"], ["deep/unet/a", "unet"]),
    "*/": (["a/b"], ["a"]),
    # classes
    "model-0000[12]*.safetensors": (["model-00001-of-00002.safetensors"], ["model-00003-of-00003.safetensors"]),
    "[!a]/x": (["b/x"], ["a/x", "bb/x"]),
    "[a": (["[a", "x/[a"], ["a"]),
    "a/[!b]c": (["a/xc"], ["a/bc", "a/c"]),
}


@pytest.mark.parametrize(("pattern", "paths"), MEANT.items(), ids=list(MEANT))
def test_a_pattern_means_these_paths_and_not_those(pattern, paths):
    meant, others = paths
    assert [path for path in meant if not matches(pattern, path)] == []
    assert [path for path in others if matches(pattern, path)] == []


@pytest.mark.parametrize(
    ("pattern", "answer"), [("a/b.bin", False), ("a*", True), ("a?", True), ("a[1]", True), ("a/", True)]
)
def test_a_wildcard_or_a_trailing_slash_makes_a_glob(pattern, answer):
    assert is_glob(pattern) is answer


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 500, "a" * 240 + "b"),
        ("?" + "*a?" * 300 + "b", "a" * 240),
        ("**/" * 300 + "b", "a/" * 500 + "a"),
        ("**/a/" * 200 + "b", "a/" * 500 + "a"),
        ("*/" * 400 + "*x*" * 60, "a/" * 500 + "x" * 200),
        ("[!b]*" * 200 + "b", "a" * 240),
    ],
)
def test_no_pattern_takes_long(pattern, path):
    started = time.process_time()
    matches(pattern, path)
    assert time.process_time() - started < 1.0


def reference(pattern: str, path: str) -> bool:
    """The rule as its documentation has it, tried in every way, for `*`, `?` and `**` only."""
    if pattern == path:
        return True
    if not is_glob(pattern):
        return False
    folder_only, inner = pattern.endswith("/"), pattern.removesuffix("/")
    parts = inner.removeprefix("/").split("/") if "/" in inner else ["**", inner]
    names = path.split("/")
    parents = [names[:length] for length in range(1, len(names))]
    return any(_segments(tuple(parts), tuple(way)) for way in ([*parents] if folder_only else [*parents, names]))


@cache
def _segments(parts: tuple[str, ...], names: tuple[str, ...]) -> bool:
    if not parts:
        return not names
    if parts == ("**",):
        return bool(names)
    if parts[0] == "**":
        return _segments(parts[1:], names) or (bool(names) and _segments(parts, names[1:]))
    return bool(names) and _letters(parts[0], names[0]) and _segments(parts[1:], names[1:])


@cache
def _letters(part: str, name: str) -> bool:
    if not part:
        return not name
    if part[0] == "*":
        return _letters(part[1:], name) or (bool(name) and _letters(part, name[1:]))
    return bool(name) and part[0] in {"?", name[0]} and _letters(part[1:], name[1:])


_PARTS = st.lists(st.sampled_from(["a", "b", "*", "?", "**", "a*", "*b", "*a*", "ab", "a?b"]), min_size=1, max_size=5)
_PATHS = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=5).map("/".join)


@given(_PARTS.map("/".join), st.sampled_from(["", "/"]), st.sampled_from(["", "/"]), _PATHS)
@example("**", "", "", "a")
@example("**/**", "", "", "a")
@example("**/**", "/", "/", "a/b")
def test_the_matcher_agrees_with_the_plain_reading_of_the_rule(inner, before, after, path):
    pattern = before + inner + after
    if before and not is_glob(pattern):
        pattern = inner
    assert matches(pattern, path) is reference(pattern, path)
