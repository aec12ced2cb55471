"""A file that a hub refuses: who refused what, why, and what to do about it."""

from __future__ import annotations

import json

import pytest
from hub_kinds import COMMIT, HUGGINGFACE, KINDS, MODELSCOPE, TOKEN, http_settings, reach
from raw_server import DRIP, RawServer, head

from provision.errors import AccessDenied, Gated, HubRefused, PathNotFound, RepositoryNotFound, RevisionNotFound
from provision.hubs import Pin
from provision.hubs.http import Http, Wanted

REPOSITORY = "acme/one"


def refused(kind, answer):
    """The error of a file that is answered like this, and the host it came from."""
    pin, wanted = Pin(repository=REPOSITORY, revision=kind.branch, commit=COMMIT), Wanted(path="a.bin", size=10)
    with RawServer(answer) as server:
        location = reach(kind, server.address, token=TOKEN).location(pin, "a.bin")
        with pytest.raises(HubRefused) as raised:
            Http(http_settings(answer=2.0)).open(location, wanted)
    return raised.value, f"127.0.0.1:{server.port}"


def envelope(code, status="404 Not Found"):
    body = json.dumps({"Code": code, "Message": "no", "Success": False}).encode()
    return head(status, Content_Type="application/json", Content_Length=len(body)) + body


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(
    ("status", "headers", "wanted"),
    [
        ("404 Not Found", {}, PathNotFound),
        ("403 Forbidden", {}, AccessDenied),
        ("403 Forbidden", {"X_Error_Code": "GatedRepo"}, Gated),
        ("404 Not Found", {"X_Error_Code": "RepoNotFound"}, RepositoryNotFound),
        ("418 Teapot", {}, HubRefused),
    ],
)
def test_a_refused_file_is_named_with_its_repository_and_host(kind, status, headers, wanted):
    error, host = refused(kind, head(status, Content_Length=0, **headers))
    assert type(error) is wanted
    assert host in str(error)
    assert f"a.bin of {REPOSITORY}" in str(error)
    assert ("lock --upgrade" in error.hint) is (wanted is PathNotFound)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_page_where_access_is_asked_for_is_named(kind):
    error, host = refused(kind, head("403 Forbidden", Content_Length=0, X_Error_Code="GatedRepo"))
    assert f"http://{host}" in error.hint
    assert REPOSITORY in error.hint


def test_a_token_that_is_not_valid_is_called_so():
    words = {"X_Error_Message": "Invalid credentials in Authorization header"}
    error, _ = refused(HUGGINGFACE, head("401 Unauthorized", Content_Length=0, **words))
    assert type(error) is AccessDenied
    assert "not valid" in str(error)


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        (10010200001, AccessDenied),
        (10010205001, RepositoryNotFound),
        (10990101004, RevisionNotFound),
        (404, PathNotFound),
        ("x", PathNotFound),
        ([], PathNotFound),
    ],
)
def test_modelscopes_own_code_says_why_a_file_is_refused(code, wanted):
    error, _ = refused(MODELSCOPE, envelope(code))
    assert type(error) is wanted
    assert error.hint


@pytest.mark.parametrize("body", [b"", b"[" * 4_000, b"nothing", b"[1]", b"{" + DRIP + b" "])
def test_an_explanation_that_is_none_is_passed_over(body):
    answer = head("404 Not Found", Content_Type="application/json", Content_Length=4_000) + body
    error, _ = refused(MODELSCOPE, answer)
    assert type(error) is PathNotFound
