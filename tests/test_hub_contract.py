"""What every hub promises, asked of both adapters against a served folder."""

from __future__ import annotations

import hashlib
import re

import pytest
from hub_folder import LARGE, NAME, ODD, SMALL, build, tree
from hub_kinds import HUGGINGFACE, KINDS, MODELSCOPE, TOKEN, http_settings, reach
from misbehaving_hub import MisbehavingHub, Rule, answers, redirects

from provision.digest import Digest, git_blob_id
from provision.errors import AccessDenied, HubRefused, InputError, RepositoryNotFound, RevisionNotFound
from provision.hubs import Pin
from provision.hubs.http import Http, Wanted
from provision.hubs.schemes import open_hub
from provision.serve import Folder, Settings

ODD_NAMES = (
    "a b", "a#b", "a?b", "a%20b", "a%2Fb", "a+b", "a=b&c", "a;b,c", "~a", "[a]{b}", "a'\"b", "a@b:c", "!$*()^|`<>",
    "ü", "u\u0308", "日本", "🤗", "..a", "a..", "%", "%zz", "a=b.safetensors", "ü #?%+.safetensors",
)  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A folder with the same repository on both hubs; nobody writes to it."""
    root = tmp_path_factory.mktemp("served")
    for kind in KINDS:
        place = build(root, kind.scheme)
        for number, name in enumerate(ODD_NAMES):
            (place / "odd").mkdir(exist_ok=True)
            (place / "odd" / name).write_text(f"number {number}")
    return root


@pytest.fixture
def serving(served):
    """Makes a hub for the folder; the test enters it."""

    def make(**settings):
        return MisbehavingHub(Folder(served, tags={NAME: ["v1.0", "release/2.0", "v1.1"]}), Settings(**settings))

    return make


@pytest.fixture
def server(serving):
    with serving() as server:
        yield server


def read(hub, pin, path, size):
    return Http(http_settings()).read(hub.location(pin, path), Wanted(path=path, size=size))


each_hub = pytest.mark.parametrize("kind", KINDS, ids=str)


@each_hub
def test_the_default_branch_is_pinned_to_a_commit(kind, server):
    pin = reach(kind, server.endpoint).resolve(NAME, None)
    assert (pin.repository, pin.revision, pin.license) == (NAME, kind.branch, "apache-2.0")
    assert re.fullmatch("[0-9a-f]{40}", pin.commit)


@each_hub
def test_a_branch_a_tag_and_a_commit_of_the_same_state_have_the_same_pin(kind, server):
    hub = reach(kind, server.endpoint)
    commit = hub.resolve(NAME, None).commit
    for revision in (kind.branch, "v1.0", "release/2.0", commit):
        pin = hub.resolve(NAME, revision)
        assert (pin.revision, pin.commit) == (revision, commit)


@each_hub
@pytest.mark.parametrize("page", [1000, 2])
def test_every_file_is_listed_with_its_size_and_digest_in_however_many_pages(kind, page, served, serving):
    wanted = tree(served / kind.scheme / NAME)
    with serving(page=page) as server:
        hub = reach(kind, server.endpoint)
        listed = hub.files(hub.resolve(NAME, None))
    assert [file.path for file in listed] == sorted(wanted)
    for file in listed:
        data = wanted[file.path]
        digests = {Digest("sha256", hashlib.sha256(data).hexdigest()), Digest("git", git_blob_id(data))}
        assert file.size == len(data)
        assert file.digest in digests
        if file.path == LARGE or kind is MODELSCOPE:
            assert file.digest.algorithm == "sha256"


def test_the_unmodified_clients_list_the_same(tmp_path, server):
    from huggingface_hub import HfApi
    from modelscope_hub import HubApi, HubConfig

    theirs = HubApi(HubConfig(endpoint=server.endpoint, config_dir=tmp_path, token="")).list_repo_files(NAME, "model")
    ours = reach(MODELSCOPE, server.endpoint).files(Pin(repository=NAME, revision="master", commit=None))
    assert {(file.path, file.size, file.digest.value) for file in ours} == {
        (file.path, file.size, file.sha256) for file in theirs if file.type == "blob"
    }
    theirs = HfApi(endpoint=server.endpoint, token=False).model_info(NAME, files_metadata=True).siblings
    ours = reach(HUGGINGFACE, server.endpoint).files(Pin(repository=NAME, revision="main", commit=None))
    assert {(file.path, file.size, file.digest.value) for file in ours} == {
        (file.rfilename, file.size, file.lfs.sha256 if file.lfs else file.blob_id) for file in theirs
    }


@each_hub
def test_every_location_gives_the_bytes_whatever_the_file_is_called(kind, served, server):
    wanted = tree(served / kind.scheme / NAME)
    assert {f"odd/{name}" for name in ODD_NAMES} | {ODD, LARGE} <= wanted.keys()
    hub = reach(kind, server.endpoint)
    pin = hub.resolve(NAME, None)
    for path, data in wanted.items():
        assert read(hub, pin, path, len(data)) == data, path


@each_hub
def test_a_revision_with_a_slash_has_files_and_locations_even_without_a_commit(kind, served, server):
    hub = reach(kind, server.endpoint)
    pin = Pin(repository=NAME, revision="release/2.0", commit=None)
    assert {file.path for file in hub.files(pin)} == tree(served / kind.scheme / NAME).keys()
    data = (served / kind.scheme / NAME / SMALL).read_bytes()
    assert read(hub, pin, SMALL, len(data)) == data


@each_hub
def test_a_location_asks_nothing_of_the_network(kind, server):
    reach(kind, server.endpoint).location(Pin(repository=NAME, revision="v1.0", commit=None), SMALL)
    assert server.log == []


@each_hub
def test_a_token_goes_to_the_hub_and_never_to_its_cdn(kind, serving):
    with serving(token=TOKEN) as server:
        hub = reach(kind, server.endpoint, token=TOKEN)
        pin = hub.resolve(NAME, None)
        size = next(file.size for file in hub.files(pin) if file.path == LARGE)
        assert len(read(hub, pin, LARGE, size)) == size
        assert all(TOKEN in str(request.headers) for request in server.asked("/api/|/resolve/"))
        elsewhere = server.asked("", place="cdn")
        assert [request.status for request in elsewhere] == [200]
        assert TOKEN not in str(elsewhere[0].headers)
        assert TOKEN not in repr(hub.location(pin, LARGE))


@each_hub
def test_a_redirect_to_another_origin_is_followed_without_the_token(kind, serving):
    with serving() as other, serving(token=TOKEN) as server:
        server.rules += [Rule(pattern, redirects(other.endpoint + "/moved")) for pattern in (kind.first, kind.listing)]
        with pytest.raises(HubRefused):
            reach(kind, server.endpoint, token=TOKEN).resolve(NAME, None)
        with pytest.raises(HubRefused):
            reach(kind, server.endpoint, token=TOKEN).files(Pin(repository=NAME, revision=kind.branch, commit=None))
        assert [request.target for request in other.log] == ["/moved", "/moved"]
        assert all(TOKEN not in str(request.headers) for request in other.log)
        assert all(TOKEN in str(request.headers) for request in server.log)


def test_the_next_page_on_another_origin_is_asked_for_without_the_token(serving):
    with serving() as other, serving(token=TOKEN) as server:
        link = {"Link": f'<{other.endpoint}/next?cursor=1>; rel="next"', "Content-Type": "application/json"}
        server.rules.append(Rule(HUGGINGFACE.listing, answers(200, link, "[]")))
        with pytest.raises(HubRefused):
            reach(HUGGINGFACE, server.endpoint, token=TOKEN).files(Pin(repository=NAME, revision="main", commit=None))
        assert [request.target for request in other.log] == ["/next?cursor=1"]
        assert TOKEN not in str(other.log[0].headers)
        assert TOKEN in str(server.log[0].headers)


@each_hub
@pytest.mark.parametrize("token", ["", "hf_wrongwrongwrong"])
def test_without_the_right_token_a_repository_is_refused_and_the_token_is_asked_for(kind, token, serving):
    with serving(token=TOKEN) as server, pytest.raises((AccessDenied, RepositoryNotFound)) as refused:
        reach(kind, server.endpoint, token=token).resolve(NAME, None)
    assert kind.token_variable in refused.value.hint
    assert "wrongwrong" not in str(refused.value) + refused.value.hint


@each_hub
def test_a_missing_repository_is_not_found(kind, server):
    hub = reach(kind, server.endpoint)
    with pytest.raises(RepositoryNotFound, match="acme/nothing"):
        hub.resolve("acme/nothing", None)
    with pytest.raises(RepositoryNotFound, match="acme/nothing"):
        hub.files(Pin(repository="acme/nothing", revision=kind.branch, commit=None))


@each_hub
@pytest.mark.parametrize("name", ["nothing", "../../etc", "a/b/c", "acme/ti ny", "acme/..", "acme/a?b=c", "", "acme/"])
def test_what_is_no_repository_name_leads_nowhere_else(kind, name, server):
    with pytest.raises(RepositoryNotFound):
        reach(kind, server.endpoint).resolve(name, None)
    for request in server.log:
        assert request.target.startswith(("/api/models/", "/api/v1/models/"))
        assert "/../" not in request.target


@each_hub
@pytest.mark.parametrize("empty", [False, True])
def test_a_missing_revision_is_not_found_and_the_nearest_are_named(kind, empty, serving):
    with serving(unknown_revision_is_empty=empty) as server:
        hub = reach(kind, server.endpoint)
        with pytest.raises(RevisionNotFound, match=r"v1\.2") as refused:
            hub.resolve(NAME, "v1.2")
        assert "v1.1" in refused.value.hint
        assert "v1.0" in refused.value.hint
        with pytest.raises(RevisionNotFound):
            hub.files(Pin(repository=NAME, revision="v1.2", commit=None))


def test_only_known_schemes_open_a_hub():
    with pytest.raises(InputError, match="modelscop") as refused:
        open_hub("modelscop", None)
    assert "modelscope://" in refused.value.hint
