"""What of a folder is served, how it is read, and how serving begins."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from dataclasses import replace
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from hub_folder import LARGE, NAME, SMALL, ask, build, tree

from provision.errors import InputError
from provision.serve import Folder, open_server, serve
from provision.serve.digests import DigestStore
from provision.serve.folder import Repository
from provision.serve.server import Server
from provision.serve.snapshot import is_lfs, lfs_patterns


@pytest.fixture
def place(tmp_path):
    return build(tmp_path / "served", "hf")


@pytest.fixture
def folder(place):
    return Folder(place.parents[2])


def paths(folder):
    return [entry.path for entry in folder.repository("hf", NAME).entries()]


def test_a_listing_is_every_file_sorted(place, folder):
    assert paths(folder) == sorted(tree(place))


def test_links_out_of_the_folder_are_not_followed_and_links_within_are(tmp_path, place, folder):
    secret = tmp_path / "secret.txt"
    secret.write_text("not for you")
    blob = tmp_path / "served/blob"
    blob.write_text("inside")
    (place / "out.txt").symlink_to(secret)
    (place / "up").symlink_to(tmp_path)
    (place / "gone.txt").symlink_to(tmp_path / "served/nothing")
    (place / "in.txt").symlink_to(blob)
    os.mkfifo(place / "pipe")
    assert set(paths(folder)) - set(tree(place)) == set()
    assert set(tree(place)) - set(paths(folder)) == {"out.txt"}


def test_a_repository_that_is_a_link_is_not_served(tmp_path, folder):
    (tmp_path / "elsewhere/x").mkdir(parents=True)
    (tmp_path / "served/hf/acme/linked").symlink_to(tmp_path / "elsewhere/x")
    (tmp_path / "served/hf/org").symlink_to(tmp_path / "elsewhere")
    assert folder.repository("hf", "acme/linked") is None
    assert folder.repository("hf", "org/x") is None
    assert [repository.name for _, repository in folder.repositories()] == [NAME]


@pytest.mark.parametrize(
    "target",
    [
        "/../../etc/resolve/main/passwd",
        "/%2e%2e/%2e%2e/resolve/main/secret.txt",
        "/..%2f..%2f/x/resolve/main/secret.txt",
        f"/{NAME}/resolve/main/../../../../secret.txt",
        f"/{NAME}/resolve/main/%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fsecret.txt",
        f"/{NAME}/resolve/..%2f..%2f..%2f/secret.txt",
        "/api/v1/models/../../repo?FilePath=secret.txt",
        "/api/v1/models/acme/tiny-diffusion/repo?FilePath=../../../../secret.txt",
        "/api/v1/models/acme/tiny-diffusion/repo/files?Root=..%2f..",
        "/../../.git/info/refs?service=git-upload-pack",
    ],
)
def test_no_path_leads_out_of_the_folder(tmp_path, folder, target):
    (tmp_path / "secret.txt").write_text("not for you")
    build(tmp_path / "served", "modelscope")
    with Server(folder) as server:
        connection = HTTPConnection(urlsplit(server.endpoint).netloc, timeout=20)
        connection.request("GET", target, headers={"User-Agent": "git/2"})
        answer = connection.getresponse()
        told = answer.read()
        connection.close()
    assert answer.status in {401, 404}
    assert b"not for you" not in told


def test_clients_notes_and_git_are_not_content(place, folder):
    for name in (".git/HEAD", ".cache/huggingface/x", ".provision/receipts", "unet/.cache/x"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("a note")
    (place / ".gitattributes").write_text("*.bin filter=lfs\n")
    assert [path for path in paths(folder) if path.startswith(".") or "/." in path] == [".gitattributes"]


def test_a_name_that_json_cannot_tell_is_left_out(place, folder):
    before = paths(folder)
    (place / os.fsdecode(b"latin-\xe9.txt")).write_text("x")
    assert paths(folder) == before


def test_gitattributes_decides_what_is_lfs_where_there_is_one():
    text = "# weights\n*.bin filter=lfs diff=lfs merge=lfs -text\nunet/*.dat filter=lfs\n*.md text\n"
    patterns = lfs_patterns(text)
    assert patterns == ("*.bin", "unet/*.dat")
    lfs = {
        path for path in ("a.bin", "deep/b.bin", "unet/c.dat", "c.dat", "m.safetensors") if is_lfs(path, 1, patterns)
    }
    assert lfs == {"a.bin", "deep/b.bin", "unet/c.dat"}
    assert is_lfs("m.safetensors", 1, None)
    assert is_lfs("notes.txt", (10 << 20) + 1, None)
    assert not is_lfs("notes.txt", 10 << 20, None)


def test_a_file_is_read_once_however_many_ask(tmp_path):
    fifo = tmp_path / "fifo"  # its bytes can be read only once
    os.mkfifo(fifo)
    store, status, found = DigestStore(), fifo.stat(), []

    def ask_for_digest():
        found.append(store.of(fifo, status, with_blob_id=False).sha256)

    askers = [threading.Thread(target=ask_for_digest, daemon=True) for _ in range(4)]
    for asker in askers:
        asker.start()
    fifo.write_bytes(b"once")
    for asker in askers:
        asker.join(10)
    assert found == [hashlib.sha256(b"once").hexdigest()] * 4


def test_a_file_that_cannot_be_read_is_asked_again_next_time(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"")
    status, store = path.stat(), DigestStore()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        store.of(path, status, with_blob_id=False)
    path.write_bytes(b"")
    assert store.of(path, status, with_blob_id=False).sha256.startswith("e3b0c442")


def test_a_file_changed_in_place_is_read_again_and_the_others_are_not(place, folder):
    repository = folder.repository("hf", NAME)
    before = repository.snapshot()
    changed = place / LARGE
    stamp = changed.stat().st_mtime_ns
    changed.write_bytes(bytes(changed.stat().st_size))
    os.utime(changed, ns=(stamp, stamp + 1))
    after = repository.snapshot()
    assert after.commit != before.commit
    assert after.find(LARGE).sha256 == hashlib.sha256(changed.read_bytes()).hexdigest()
    assert after.find(SMALL) is before.find(SMALL)


def test_serve_announces_when_it_can_answer(place):
    told = []

    def announce(endpoint, cdn_endpoint):
        told.append((ask(f"{endpoint}/api/models/{NAME}").status, ask(cdn_endpoint + "/").status))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serve(place.parents[2], host="127.0.0.1", port=0, cdn_port=0, token=None, announce=announce)
    assert told == [(200, 404)]


def test_serve_refuses_what_is_no_folder_of_repositories(tmp_path):
    for directory in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError):
            serve(directory, host="127.0.0.1", port=0, cdn_port=0, token=None, announce=print)


def test_a_taken_port_is_an_input_error(folder):
    with Server(folder) as server:
        taken = urlsplit(server.endpoint).port
        with pytest.raises(InputError, match="cannot listen"):
            open_server(folder, host="127.0.0.1", port=0, cdn_port=taken)


def test_without_the_extra_the_package_imports_and_says_what_to_install():
    script = """
import sys
sys.modules["starlette"] = sys.modules["uvicorn"] = None
import pathlib, provision.serve, provision.errors
try:
    provision.serve.open_server(provision.serve.Folder(pathlib.Path()), host="127.0.0.1", port=0, cdn_port=0)
except provision.errors.InputError as error:
    print(error.hint)
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "pip install 'volume-provision[serve]'"


def test_a_lying_repository_is_one_overridden_method(place):
    class Lying(Repository):
        def entries(self):
            return tuple(replace(entry, path=f"../../{entry.path}") for entry in super().entries())

    class Hostile(Folder):
        def make(self, name, place):
            return Lying(name=name, root=place, within=self.root, digests=DigestStore())

    with Server(Hostile(place.parents[2])) as server:
        told = ask(f"{server.endpoint}/api/models/{NAME}").json["siblings"]
    assert {item["rfilename"] for item in told} == {f"../../{path}" for path in tree(place)}
