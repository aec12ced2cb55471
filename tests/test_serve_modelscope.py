"""The ModelScope side of a served folder, met by the unmodified `modelscope`, by `git`, and by plain requests."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import urlencode

import pytest
from hub_folder import LARGE, NAME, ODD, SMALL, ask, build, run, tree
from modelscope_hub import HubApi

from provision.serve import Folder, Settings
from provision.serve.server import Binding, Server, Visit

TOKEN = "ms-11112222-3333-4444"
MODEL = f"/api/v1/models/{NAME}"


@pytest.fixture
def place(tmp_path):
    return build(tmp_path / "served", "modelscope")


@pytest.fixture
def serving(place):
    """Makes a server for the folder; the test enters it."""

    def make(**settings):
        return Server(Folder(place.parents[2], tags={NAME: ["v2.0.4"]}), Settings(**settings))

    return make


@pytest.fixture
def server(serving):
    with serving() as server:
        yield server


def listing(server, **query):
    return ask(f"{server.endpoint}{MODEL}/repo/files?{urlencode(query)}")


def file(server, path, method="GET", **headers):
    return ask(
        f"{server.endpoint}{MODEL}/repo?{urlencode({'Revision': 'master', 'FilePath': path})}", method, **headers
    )


def fetch(server, home, *flags):
    arguments = ("download", "--model", NAME, "--local_dir", str(home / "out"), *flags)
    return run("modelscope", *arguments, home=home, MODELSCOPE_ENDPOINT=server.endpoint)


@pytest.mark.parametrize("revision", ["master", "v2.0.4", "commit"])
def test_modelscope_download_brings_the_same_tree(tmp_path, place, server, revision):
    revision = heads(tmp_path, server)["HEAD"] if revision == "commit" else revision
    fetched = fetch(server, tmp_path, "--revision", revision)
    assert fetched.returncode == 0, fetched.stderr
    assert tree(tmp_path / "out") == tree(place)


def test_the_client_checks_our_digests(tmp_path, place, server):
    honest = server.cdn

    async def flipped(scope, receive, send):
        async def sending(message):
            if message.get("body"):
                message = {**message, "body": bytes([message["body"][0] ^ 1]) + message["body"][1:]}
            await send(message)

        await honest(scope, receive, sending)

    server.cdn = flipped
    refused = fetch(server, tmp_path, "--include", LARGE)
    assert refused.returncode == 1
    assert "Hash mismatch" in refused.stderr + refused.stdout
    server.cdn = honest
    assert fetch(server, tmp_path, "--include", LARGE).returncode == 0
    assert tree(tmp_path / "out") == {LARGE: (place / LARGE).read_bytes()}


def heads(home, server, **environment):
    told = run("git", "ls-remote", f"{server.endpoint}/{NAME}.git", home=home, **environment)
    assert told.returncode == 0, told.stderr
    return {name: commit for commit, name in (line.split("\t") for line in told.stdout.splitlines())}


def test_git_ls_remote_learns_the_head_that_the_api_keeps_to_itself(tmp_path, server):
    refs = heads(tmp_path, server)
    assert set(refs) == {"HEAD", "refs/heads/master", "refs/tags/v2.0.4"}
    assert len(set(refs.values())) == 1
    committer = listing(server, Revision="master").json["Data"]["LatestCommitter"]
    assert (committer["Id"], committer["ShortId"]) == ("", refs["HEAD"][:8])
    commits = ask(f"{server.endpoint}{MODEL}/commits?Ref=master&PageSize=1").json["Data"]["Commit"]
    assert commits[0]["Id"] == refs["HEAD"]


def test_the_api_tells_its_head_where_settings_say_so(tmp_path, serving):
    with serving(tells_head=True) as server:
        told = listing(server, Revision="master").json["Data"]["LatestCommitter"]["Id"]
        assert told == heads(tmp_path, server)["HEAD"]


def test_git_is_answered_only_to_git(server):
    assert ask(f"{server.endpoint}/{NAME}.git/info/refs?service=git-upload-pack").status == 421


def test_every_blob_carries_its_sha256_and_recursion_wants_its_capital(place, server):
    files = listing(server, Revision="master", Recursive="True").json["Data"]["Files"]
    blobs = {item["Path"]: (item["Size"], item["Sha256"]) for item in files if item["Type"] == "blob"}
    assert blobs == {path: (len(data), hashlib.sha256(data).hexdigest()) for path, data in tree(place).items()}
    assert {item["Path"] for item in files if item["IsLFS"]} == {
        path for path in blobs if path.endswith(".safetensors")
    }

    shallow = listing(server, Revision="master", Recursive="true").json["Data"]["Files"]
    assert {item["Path"] for item in shallow} == {"README.md", SMALL, "assets", "empty", "text_encoder", "unet"}
    below = listing(server, Root="empty", Recursive="True").json["Data"]["Files"]
    assert [item["Path"] for item in below] == ["empty/deep", "empty/deep/nothing.txt"]


def test_a_listing_ends_at_the_cap_without_a_word_and_the_client_walks_on(tmp_path):
    place = tmp_path / "served/modelscope/acme/many"
    for folder in ("a", "b"):
        (place / folder).mkdir(parents=True)
        for number in range(1600):
            (place / folder / f"{number}.txt").touch()
    with Server(Folder(tmp_path / "served")) as server:
        address = f"{server.endpoint}/api/v1/models/acme/many/repo/files?Revision=master&Recursive=True"
        first = ask(address).json
        assert (len(first["Data"]["Files"]), first["Success"]) == (3000, True)
        found = HubApi(endpoint=server.endpoint).list_repo_files("acme/many", "model")
    assert {item.path for item in found if item.type == "blob"} == set(tree(place))


def test_revisions_are_the_branch_and_the_tags(server):
    told = ask(f"{server.endpoint}{MODEL}/revisions").json["Data"]["RevisionMap"]
    assert [item["Revision"] for item in told["Branches"]] == ["master"]
    assert [item["Revision"] for item in told["Tags"]] == ["v2.0.4"]
    assert ask(f"{server.endpoint}{MODEL}").json["Data"]["License"] == "apache-2.0"


def test_an_unknown_revision_is_refused_or_empty_as_settings_say(serving):
    with serving() as server:
        refused = listing(server, Revision="main", Recursive="True")
        assert (refused.status, refused.json["Code"], refused.json["Success"]) == (404, 10990101004, False)
    with serving(unknown_revision_is_empty=True) as server:
        empty = listing(server, Revision="main", Recursive="True")
        assert (empty.status, empty.json["Data"]["Files"], empty.json["Success"]) == (200, None, True)
        assert ask(f"{server.endpoint}{MODEL}/commits?Ref=main").json["Data"]["Commit"] is None


def test_an_lfs_file_is_a_redirect_and_a_head_is_not(place, server):
    content = (place / LARGE).read_bytes()
    redirected = file(server, LARGE)
    assert redirected.status == 302
    given = ask(redirected.headers["Location"], Range="bytes=10-19")
    assert (given.status, given.body) == (206, content[10:20])
    assert given.headers["X-Linked-ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    head = file(server, LARGE, "HEAD")
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(content)))


def test_a_small_file_is_given_directly_and_whole(place, server):
    answer = file(server, ODD, Range="bytes=3-4")
    assert (answer.status, answer.body) == (200, (place / ODD).read_bytes())


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/v1/models/acme/none/repo/files", 10010205001),
        (f"{MODEL}/repo/files?Root=none", 10990101004),
        (f"{MODEL}/repo?FilePath=none", 10990101007),
        (f"{MODEL}/repo?FilePath={SMALL}&Revision=none", 10990101007),
        ("/api/v1/other", 404),
    ],
)
def test_refusals_are_404_with_the_code_that_tells_them_apart(server, path, code):
    answer = ask(server.endpoint + path)
    assert (answer.status, answer.json["Code"], answer.json["Success"]) == (404, code, False)


def test_gated_files_are_refused(serving):
    with serving(gated=frozenset({NAME})) as server:
        assert listing(server).status == 200
        assert (file(server, SMALL).status, file(server, SMALL).json["Code"]) == (404, 10010200001)


def test_the_hub_takes_its_token_in_three_ways_and_shows_nothing_without(tmp_path, serving):
    basic = base64.b64encode(f"oauth2:{TOKEN}".encode()).decode()
    with serving(token=TOKEN) as server:
        address = f"{server.endpoint}{MODEL}"
        assert ask(address, authorization=f"Bearer {TOKEN}").status == 200
        assert ask(address, cookie=f"m_session_id={TOKEN}").status == 200
        for headers in ({}, {"authorization": "Bearer ms-other"}, {"cookie": "m_session_id=ms-other"}):
            refused = ask(address, **headers)
            assert (refused.status, refused.json["Code"]) == (404, 10010200001)
        assert run("git", "ls-remote", f"{server.endpoint}/{NAME}.git", home=tmp_path).returncode != 0
        header = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.extraHeader"}
        assert heads(tmp_path, server, **header, GIT_CONFIG_VALUE_0=f"Authorization: Basic {basic}")


def test_the_cdn_never_sees_the_token(tmp_path, place):
    visits: list[Visit] = []
    binding = Binding(cdn_name="localhost")  # another host, as it is in truth: cookies know no ports
    with Server(Folder(place.parents[2]), Settings(token=TOKEN), binding=binding, observe=visits.append) as server:
        assert fetch(server, tmp_path).returncode == 1
        served = fetch(server, tmp_path, "--token", TOKEN)
    assert served.returncode == 0, served.stderr
    assert tree(tmp_path / "out") == tree(place)
    assert {visit.place for visit in visits if TOKEN in str(visit.headers.raw) + visit.query} == {"hub"}
    assert [visit for visit in visits if visit.place == "cdn"]
