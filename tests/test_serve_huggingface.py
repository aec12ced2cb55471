"""The Hugging Face side of a served folder, met by the unmodified `hf` and by plain requests."""

from __future__ import annotations

import hashlib
import re
import subprocess
from urllib.parse import quote, urlencode

import pytest
from hub_folder import LARGE, NAME, ODD, SMALL, ask, build, run, tree

from provision.serve import Folder, Settings
from provision.serve.server import Server, Visit

TOKEN = "hf_secretsecretsecret"


@pytest.fixture
def place(tmp_path):
    return build(tmp_path / "served", "hf")


@pytest.fixture
def serving(place):
    """Makes a server for the folder; the test enters it."""

    def make(**settings):
        return Server(Folder(place.parents[2], tags={NAME: ["v1.0"]}), Settings(**settings))

    return make


@pytest.fixture
def server(serving):
    with serving() as server:
        yield server


def info(server):
    return ask(f"{server.endpoint}/api/models/{NAME}?blobs=true").json


def file_address(server, path, revision="main"):
    return f"{server.endpoint}/{NAME}/resolve/{revision}/{quote(path)}"


def test_hf_download_brings_the_same_tree_and_hf_cache_verify_agrees(tmp_path, place, server):
    out = str(tmp_path / "out")
    fetched = run("hf", "download", NAME, "--local-dir", out, home=tmp_path, HF_ENDPOINT=server.endpoint)
    assert fetched.returncode == 0, fetched.stderr
    assert tree(tmp_path / "out") == tree(place)

    strict = ("--fail-on-missing-files", "--fail-on-extra-files")
    verify = ("hf", "cache", "verify", NAME, "--local-dir", out, *strict)
    agreed = run(*verify, home=tmp_path, HF_ENDPOINT=server.endpoint)
    assert agreed.returncode == 0, agreed.stderr
    for path in (LARGE, SMALL):
        (tmp_path / "out" / path).write_bytes(b"other")
        assert run(*verify, home=tmp_path, HF_ENDPOINT=server.endpoint).returncode == 1, path
        (tmp_path / "out" / path).write_bytes((place / path).read_bytes())


def test_a_pinned_commit_is_fetched_as_that_commit(tmp_path, place, server):
    commit = info(server)["sha"]
    fetched = run("hf", "download", NAME, "--revision", commit, home=tmp_path, HF_ENDPOINT=server.endpoint)
    assert fetched.returncode == 0, fetched.stderr
    assert re.fullmatch(r"[0-9a-f]{40}", commit)
    assert tree(tmp_path / f"hf/hub/models--acme--tiny-diffusion/snapshots/{commit}") == tree(place)


def test_the_same_bytes_have_the_same_commit_and_other_bytes_another(place, serving):
    with serving() as first:
        before = info(first)["sha"]
    with serving() as second:
        assert info(second)["sha"] == before
        (place / SMALL).write_text("{}")
        after = info(second)["sha"]
        assert after != before
        assert ask(file_address(second, SMALL, after)).body == b"{}"
        gone = ask(file_address(second, SMALL, before))
    assert (gone.status, gone.headers["X-Error-Code"]) == (404, "RevisionNotFound")


def test_a_tag_and_the_branch_name_the_head(server):
    head = info(server)["sha"]
    refs = ask(f"{server.endpoint}/api/models/{NAME}/refs").json
    assert [(ref["name"], ref["ref"], ref["targetCommit"]) for ref in refs["branches"] + refs["tags"]] == [
        ("main", "refs/heads/main", head),
        ("v1.0", "refs/tags/v1.0", head),
    ]
    assert ask(f"{server.endpoint}/api/models/{NAME}/revision/v1.0").json["sha"] == head


def test_digests_stand_where_the_hub_puts_them(place, server):
    content = (place / LARGE).read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    sibling = next(file for file in info(server)["siblings"] if file["rfilename"] == LARGE)
    item = next(entry for entry in all_of_tree(server) if entry["path"] == LARGE)
    assert (sibling["lfs"]["sha256"], item["lfs"]["oid"]) == (sha256, sha256)
    assert sibling["size"] == item["size"] == item["lfs"]["size"] == len(content)

    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n"
    assert sibling["blobId"] == item["oid"] == git_id(pointer.encode())
    assert item["lfs"]["pointerSize"] == len(pointer)

    small = next(entry for entry in all_of_tree(server) if entry["path"] == SMALL)
    assert "lfs" not in small
    assert small["oid"] == git_id((place / SMALL).read_bytes())


def git_id(content):
    return subprocess.run(
        ["git", "hash-object", "--stdin"], input=content, capture_output=True, check=True
    ).stdout.decode()[:40]


def all_of_tree(server, query="recursive=true"):
    address, found = f"{server.endpoint}/api/models/{NAME}/tree/main?{query}", []
    while address:
        page = ask(address)
        found += page.json
        following = re.fullmatch(r'<(.*)>; rel="next"', page.headers["Link"] or "")
        address = following[1] if following else None
    return found


def test_a_tree_in_pages_of_two_is_the_whole_tree(tmp_path, place, serving):
    with serving() as whole:
        expected = all_of_tree(whole)
        assert len(ask(f"{whole.endpoint}/api/models/{NAME}/tree/main?recursive=true&limit=3").json) == 3
        assert all_of_tree(whole, "recursive=true&limit=3") == expected
    with serving(page=2) as paged:
        assert len(ask(f"{paged.endpoint}/api/models/{NAME}/tree/main?recursive=true").json) == 2
        assert all_of_tree(paged) == expected
        out = str(tmp_path / "out")
        run("hf", "download", NAME, "--local-dir", out, home=tmp_path, HF_ENDPOINT=paged.endpoint)
    assert {item["path"] for item in expected if item["type"] == "file"} == set(tree(place))
    assert tree(tmp_path / "out") == tree(place)


def test_a_tree_without_recursion_shows_one_level(server):
    top = {item["path"]: item["type"] for item in all_of_tree(server, "recursive=false")}
    assert top == {
        "README.md": "file",
        SMALL: "file",
        "assets": "directory",
        "empty": "directory",
        "text_encoder": "directory",
        "unet": "directory",
    }
    below = ask(f"{server.endpoint}/api/models/{NAME}/tree/main/empty?recursive=true").json
    assert [item["path"] for item in below] == ["empty/deep", "empty/deep/nothing.txt"]


def test_paths_info_tells_of_what_exists_and_keeps_silent_on_the_rest(server):
    form = urlencode({"paths": [ODD, "unet", "no/such"], "expand": "true"}, doseq=True)
    address = f"{server.endpoint}/api/models/{NAME}/paths-info/main"
    told = ask(address, "POST", form, content_type="application/x-www-form-urlencoded").json
    assert [(item["path"], item["type"]) for item in told] == [(ODD, "file"), ("unet", "directory")]
    assert told[0]["lastCommit"]["id"] == info(server)["sha"]


def test_the_license_comes_from_the_model_card(server):
    assert info(server)["cardData"] == {"license": "apache-2.0"}


def test_an_lfs_file_is_a_redirect_to_the_cdn_that_tells_its_identity(place, server):
    content = (place / LARGE).read_bytes()
    for method in ("HEAD", "GET"):
        answer = ask(file_address(server, LARGE), method)
        assert answer.status == 302
        assert answer.headers["X-Linked-Size"] == str(len(content))
        assert answer.headers["X-Linked-Etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
        assert answer.headers["X-Repo-Commit"] == info(server)["sha"]
        assert answer.headers["Location"].startswith(server.cdn_endpoint)
    assert ask(answer.headers["Location"]).body == content


def test_a_small_file_is_given_directly_with_its_git_id(place, server):
    content = (place / ODD).read_bytes()
    answer = ask(file_address(server, ODD))
    assert (answer.status, answer.body, answer.headers["ETag"]) == (200, content, f'"{git_id(content)}"')
    head = ask(file_address(server, ODD), "HEAD")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(content)))
    assert head.headers["X-Repo-Commit"] == info(server)["sha"]
    part = ask(file_address(server, ODD), Range="bytes=2-5")
    assert (part.status, part.body) == (206, content[2:6])


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/models/acme/none", 401, "RepoNotFound"),
        (f"/api/models/{NAME}/revision/none", 404, "RevisionNotFound"),
        (f"/api/models/{NAME}/tree/none", 404, "RevisionNotFound"),
        (f"/api/models/{NAME}/tree/main/none", 404, "EntryNotFound"),
        (f"/{NAME}/resolve/main/none", 404, "EntryNotFound"),
        (f"/{NAME}/resolve/main/unet", 404, "EntryNotFound"),
        (f"/{NAME}/resolve/refs%2Fpr%2F1/{SMALL}", 404, "RevisionNotFound"),
    ],
)
def test_refusals_carry_the_codes_that_the_client_reads(server, path, status, code):
    answer = ask(server.endpoint + path)
    assert (answer.status, answer.headers["X-Error-Code"]) == (status, code)
    assert answer.json["error"] == answer.headers["X-Error-Message"]


def test_a_repository_that_is_not_there_is_404_for_those_who_logged_in(server):
    answer = ask(f"{server.endpoint}/api/models/acme/none", authorization="Bearer any")
    assert (answer.status, answer.headers["X-Error-Code"]) == (404, "RepoNotFound")


def test_gated_files_are_refused_while_the_listing_stays_public(tmp_path, serving):
    with serving(gated=frozenset({NAME})) as server:
        assert info(server)["gated"] == "auto"
        refused = ask(file_address(server, SMALL), authorization="Bearer any")
        assert (refused.status, refused.headers["X-Error-Code"]) == (403, "GatedRepo")
        told = run("hf", "download", NAME, SMALL, home=tmp_path, HF_ENDPOINT=server.endpoint, HF_TOKEN=TOKEN)
    assert told.returncode == 1
    assert "requires approval" in told.stderr


def test_the_hub_demands_its_token_and_the_cdn_never_sees_it(tmp_path, place):
    visits: list[Visit] = []
    out = str(tmp_path / "out")
    with Server(Folder(place.parents[2]), Settings(token=TOKEN), observe=visits.append) as server:
        download = ("hf", "download", NAME, "--local-dir", out)
        refused = run(*download, home=tmp_path, HF_ENDPOINT=server.endpoint)
        wrong = ask(f"{server.endpoint}/api/models/{NAME}", authorization="Bearer hf_wrong")
        nobody = ask(f"{server.endpoint}/api/models/{NAME}")
        served = run(*download, home=tmp_path, HF_ENDPOINT=server.endpoint, HF_TOKEN=TOKEN)
    assert refused.returncode == 1
    assert (wrong.status, wrong.headers["X-Error-Code"]) == (401, None)
    assert (nobody.status, nobody.headers["X-Error-Code"]) == (401, "RepoNotFound")
    assert served.returncode == 0, served.stderr
    assert tree(tmp_path / "out") == tree(place)

    told = {visit.place for visit in visits if TOKEN in str(visit.headers.raw) + visit.query}
    assert told == {"hub"}
    assert [visit for visit in visits if visit.place == "cdn"]
    assert TOKEN not in repr(visits)


def test_whoami_knows_only_the_token(serving):
    with serving(token=TOKEN) as server:
        assert ask(f"{server.endpoint}/api/whoami-v2").status == 401
        assert ask(f"{server.endpoint}/api/whoami-v2", authorization=f"Bearer {TOKEN}").json["type"] == "user"
