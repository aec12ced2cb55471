"""Listings that no honest hub gives, and honest ones that are hard to get whole."""

from __future__ import annotations

import itertools
import json
import os
import sys

import pytest
from hub_folder import NAME, run
from hub_kinds import COMMIT, HUGGINGFACE, KINDS, MODELSCOPE, SHA256, reach
from misbehaving_hub import MisbehavingHub, Rule, answers, tells

from provision.digest import Digest
from provision.errors import AccessDenied, HostileListing, HubRefused, NotAHub
from provision.hubs import LISTING_LIMIT, Pin
from provision.hubs.modelscope import LISTING_CAP
from provision.serve import Folder, Settings

PIN = Pin(repository=NAME, revision="any", commit=COMMIT)

each_hub = pytest.mark.parametrize("kind", KINDS, ids=str)


@pytest.fixture
def server(tmp_path):
    for kind in KINDS:
        (tmp_path / kind.scheme / NAME).mkdir(parents=True)
    with MisbehavingHub(Folder(tmp_path)) as server:
        yield server


def listed(server, kind, *entries):
    """What the adapter makes of a listing of `entries`."""
    server.rules[:] = [Rule(kind.listing, tells(kind.listed(list(entries))))]
    return reach(kind, server.endpoint).files(PIN)


HOSTILE_PATHS = (
    "", ".", "..", "../x", "../../x", "a/../../x", "a/..", "/etc/passwd", "//x", "a//b", "a/", "./a", "C:/x", "C:x",
    "a\\b", "..\\x", "a\0b", "a\nb", "a\x1b[2Jb", "a\x7f", "a\u202egnp.exe", "\ud800", "x" * 300, "a/" * 600 + "b",
)  # fmt: skip


@each_hub
@pytest.mark.parametrize("path", HOSTILE_PATHS, ids=lambda path: ascii(path)[:20])
def test_a_path_that_could_leave_its_folder_ends_the_listing(server, kind, path):
    with pytest.raises(HostileListing) as refused:
        listed(server, kind, kind.entry("honest.bin"), kind.entry(path))
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


@each_hub
@pytest.mark.parametrize("paths", [("a", "a/b"), ("a/b/c", "a"), ("a/b/c/d", "a/b"), ("a", "a")])
def test_a_file_cannot_be_a_folder_too_nor_be_listed_twice(server, kind, paths):
    with pytest.raises(HostileListing):
        listed(server, kind, *map(kind.entry, paths))


@each_hub
@pytest.mark.parametrize("size", [-1, -(2**70), 2**50 + 1, 2**100])
def test_a_size_that_no_file_has_ends_the_listing(server, kind, size):
    with pytest.raises(HostileListing):
        listed(server, kind, kind.entry(size=size))


@each_hub
@pytest.mark.parametrize("size", [1.5, "12", None, True, [], float("inf"), float("nan")])
def test_a_size_that_is_no_number_of_bytes_comes_from_no_hub(server, kind, size):
    with pytest.raises(NotAHub):
        listed(server, kind, kind.entry(size=size))


@each_hub
@pytest.mark.parametrize("path", [None, 5, ["a"], {"a": 1}, True])
def test_a_path_that_is_no_text_comes_from_no_hub(server, kind, path):
    with pytest.raises(NotAHub):
        listed(server, kind, kind.entry(path))


@each_hub
@pytest.mark.parametrize("entry", [None, "a.bin", 5, [], {}])
def test_an_entry_that_is_none_comes_from_no_hub(server, kind, entry):
    with pytest.raises(NotAHub):
        listed(server, kind, kind.entry(), entry)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(HUGGINGFACE, "path"), (HUGGINGFACE, "size"), (HUGGINGFACE, "oid"), (MODELSCOPE, "Path"), (MODELSCOPE, "Size")],
    ids=str,
)
def test_an_entry_that_lacks_a_field_comes_from_no_hub(server, kind, name):
    entry = kind.entry()
    del entry[name]
    with pytest.raises(NotAHub):
        listed(server, kind, entry)


@each_hub
@pytest.mark.parametrize("sha256", ["", "abc", "z" * 64, SHA256 + "0", 5, None, [SHA256], COMMIT])
def test_what_is_no_digest_is_not_believed(server, kind, sha256):
    (file,) = listed(server, kind, kind.entry(sha256=sha256))
    assert file.digest is None


def test_the_digest_of_a_file_outside_lfs_is_its_git_blob_id(server):
    entry = {"type": "file", "path": "a.txt", "size": 1, "oid": COMMIT}
    (file,) = listed(server, HUGGINGFACE, entry)
    assert file.digest == Digest("git", COMMIT)
    for oid in ("", "HEAD", 5, None):
        (file,) = listed(server, HUGGINGFACE, entry | {"oid": oid})
        assert file.digest is None


@each_hub
def test_paths_are_taken_as_they_are(server, kind):
    names = ["a b", " a", "a ", "ü", "u\u0308", "%2e%2e", "a.", "~", "-rf", "$(x)", "CON"]
    files = listed(server, kind, *map(kind.entry, names))
    assert sorted(file.path for file in files) == sorted(names)


class Pages:
    """A Hugging Face tree that always has a next page; `page` makes the entries of each."""

    def __init__(self, server, page):
        self.server, self.page, self.asked = server, page, 0

    async def __call__(self, honest, scope, receive, send):
        self.asked += 1
        link = f'<{self.server.endpoint}{scope["path"]}?cursor={self.asked}>; rel="next"'
        behaviour = answers(200, {"Link": link, "Content-Type": "application/json"}, json.dumps(self.page(self.asked)))
        await behaviour(honest, scope, receive, send)


def test_an_endless_paged_listing_ends_at_the_limit(server):
    bare = {"type": "file", "size": 1, "oid": ""}
    pages = Pages(server, lambda number: [bare | {"path": f"{number}/{index}"} for index in range(10_000)])
    server.rules.append(Rule(HUGGINGFACE.listing, pages))
    with pytest.raises(HostileListing, match=f"{LISTING_LIMIT:,}"):
        reach(HUGGINGFACE, server.endpoint).files(PIN)
    assert pages.asked == LISTING_LIMIT // 10_000 + 1


@pytest.mark.parametrize("entries", [[], [{"type": "directory", "path": "a", "oid": COMMIT}]], ids=["empty", "folders"])
def test_endless_pages_without_a_file_end_too(server, entries):
    pages = Pages(server, lambda _: entries)
    server.rules.append(Rule(HUGGINGFACE.listing, pages))
    with pytest.raises(HostileListing, match="does not end"):
        reach(HUGGINGFACE, server.endpoint, requests=20).files(PIN)
    assert pages.asked == 20


def test_endless_folders_in_folders_end_too(server):
    names = itertools.count()

    async def deeper(honest, scope, receive, send):
        folders = [{"Type": "tree", "Path": f"{next(names)}"} for _ in range(LISTING_CAP // 2)]
        files = [MODELSCOPE.entry(f"{next(names)}") for _ in range(LISTING_CAP // 2)]
        whole = b"Recursive=True" in scope["query_string"]
        await tells(MODELSCOPE.listed(files + folders if whole else files[:1] + folders))(honest, scope, receive, send)

    server.rules.append(Rule(MODELSCOPE.listing, deeper))
    with pytest.raises(HostileListing, match="does not end"):
        reach(MODELSCOPE, server.endpoint, requests=20).files(PIN)
    assert len(server.log) == 20


ASK = r"""
import re, sys
from pathlib import Path
from hub_kinds import KINDS, reach
from provision.errors import HubRefused
from provision.hubs import Pin
kind = next(kind for kind in KINDS if kind.scheme == sys.argv[1])
try:
    reach(kind, sys.argv[2]).files(Pin(repository="acme/tiny-diffusion", revision="any", commit=None))
except HubRefused as error:
    # Not ru_maxrss: a child starts with that of the process it was forked from.
    peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    print(type(error).__name__, int(peak[1]) // 1024)
"""


@each_hub
def test_a_million_entries_in_one_answer_are_refused_in_bounded_memory(server, kind, tmp_path):
    entry = json.dumps(kind.entry("@", sha256=""))
    entries = ", ".join(entry.replace("@", f"{number:07}") for number in range(1_000_000))
    body = json.dumps(kind.listed(["@"])).replace('"@"', entries)
    server.rules.append(Rule(kind.listing, answers(200, {"Content-Type": "application/json"}, body)))
    path = os.pathsep.join(sys.path)
    asked = run("python", "-c", ASK, kind.scheme, server.endpoint, home=tmp_path, PYTHONPATH=path)
    error, mebibytes = asked.stdout.split()
    assert error == "NotAHub"
    assert int(mebibytes) < 150


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """More files than one ModelScope listing has: three folders, one of them with folders of its own."""
    root = tmp_path_factory.mktemp("crowded")
    place = root / "modelscope" / NAME
    for folder, count in {"a": 12, "b/x": 1800, "b/y": 1300, ".": 3}.items():
        (place / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (place / folder / f"{number:04}").touch()
    return root


def test_more_files_than_a_listing_has_are_listed_folder_by_folder(crowded):
    place = crowded / "modelscope" / NAME
    with MisbehavingHub(Folder(crowded), Settings()) as server:
        listed = reach(MODELSCOPE, server.endpoint).files(Pin(repository=NAME, revision="master", commit=None))
        roots = [request.target.partition("Root=")[2] for request in server.log]
    assert [file.path for file in listed] == sorted(
        path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()
    )
    assert len(listed) == 3115
    assert sorted(roots) == ["", "", "a", "b", "b", "b%2Fx", "b%2Fy"]


FULL = tells(MODELSCOPE.listed([MODELSCOPE.entry(f"a/{number}") for number in range(LISTING_CAP)]))
FOLDER = tells(MODELSCOPE.listed([{"Type": "tree", "Path": "a"}]))
DENIED = tells({"Code": 403, "Message": "access denied"}, 403)


def test_a_folder_denied_in_the_midst_is_asked_for_again_and_at_the_start_is_not(server):
    honest = [
        Rule("Root=a", tells(MODELSCOPE.listed([MODELSCOPE.entry("a/b")]))),
        Rule("Recursive=False", FOLDER),
        Rule("Recursive=True", FULL),
    ]
    hub = reach(MODELSCOPE, server.endpoint)
    server.rules[:] = [Rule("Root=a", DENIED, times=2), *honest]
    assert [file.path for file in hub.files(PIN)] == ["a/b"]
    server.rules[:] = [Rule("Root=a", DENIED), *honest]
    with pytest.raises(AccessDenied):
        hub.files(PIN)
    server.log.clear()
    server.rules[:] = [Rule("", DENIED, times=1), *honest]
    with pytest.raises(AccessDenied):
        hub.files(PIN)
    assert len(server.log) == 1


def test_a_folder_that_cannot_be_listed_whole_is_refused_and_never_shortened(server):
    server.rules[:] = [Rule("Root=a", FULL), Rule("Recursive=False", FOLDER), Rule("Recursive=True", FULL)]
    with pytest.raises(HubRefused, match="`a`"):
        reach(MODELSCOPE, server.endpoint).files(PIN)
