"""A hub that misbehaves: each fault is one error of ours, said once, with its way out and without a secret."""

from __future__ import annotations

import itertools
import socket
import time

import pytest
from hub_folder import NAME, SMALL, build
from hub_kinds import HUGGINGFACE, KINDS, MODELSCOPE, TOKEN, http_settings, reach
from misbehaving_hub import MisbehavingHub, Rule, answers, floods, page, redirects, rewrites, stalls, tells

from provision.errors import (
    AccessDenied,
    ConnectionCut,
    ExitCode,
    Gated,
    HubRefused,
    HubUnavailable,
    NotAHub,
    RateLimited,
    RepositoryNotFound,
    RevisionNotFound,
    Stalled,
    Unreachable,
)
from provision.hubs import Pin
from provision.hubs.allowance import ANSWER_LIMIT, REDIRECT_LIMIT, SMALL_LIMIT
from provision.hubs.http import Http, Wanted
from provision.serve import Folder, Settings

JSON = {"Content-Type": "application/json"}
LEAK = {**JSON, "X-Error-Message": f"Bearer {TOKEN} is not good enough", "X-Request-Id": TOKEN}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    root = tmp_path_factory.mktemp("served")
    for kind in KINDS:
        build(root, kind.scheme)
    return root


@pytest.fixture
def server(served):
    with MisbehavingHub(Folder(served, tags={NAME: ["v1.0"]}), Settings(token=TOKEN)) as server:
        yield server


def resolve(hub, kind):
    return hub.resolve(NAME, kind.branch)


def files(hub, kind):
    return hub.files(Pin(repository=NAME, revision=kind.branch, commit=None))


each_hub = pytest.mark.parametrize("kind", KINDS, ids=str)
each_call = pytest.mark.parametrize("call", [resolve, files], ids=lambda call: call.__name__)


def fault(server, kind, call, behaviour, **settings):
    """The error of a call whose requests all meet `behaviour`."""
    server.rules.append(Rule("", behaviour))
    with pytest.raises((HubRefused, HubUnavailable)) as raised:
        call(reach(kind, server.endpoint, token=TOKEN, **settings), kind)
    error = raised.value
    assert TOKEN not in f"{error} {error.hint}"
    assert error.hint
    assert error.exit_code is (ExitCode.REFUSED if isinstance(error, HubRefused) else ExitCode.UNAVAILABLE)
    assert error.retryable is isinstance(error, HubUnavailable)
    return error


@each_hub
@each_call
@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ((403, LEAK), AccessDenied),
        ((429, LEAK), RateLimited),
        ((500, LEAK), Unreachable),
        ((503, {**JSON, "Retry-After": "9"}), RateLimited),
        ((502, {}), Unreachable),
        ((524, {}), Unreachable),
        ((404, {"Content-Type": "text/html"}), NotAHub),
        ((405, {"Content-Type": "text/html"}), HubRefused),
        ((204, {}), NotAHub),
        ((304, {}), NotAHub),
    ],
)
def test_each_status_is_one_error_and_is_not_asked_again(server, kind, call, answer, wanted):
    status, headers = answer
    error = fault(server, kind, call, answers(status, headers))
    assert isinstance(error, wanted)
    if status not in {404, 405}:
        assert len(server.log) == 1


@each_hub
@each_call
def test_the_hubs_own_figure_says_how_long_to_wait(server, kind, call):
    error = fault(server, kind, call, answers(429, {"Retry-After": "37"}))
    assert error.retry_after == 37
    server.rules.clear()
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 100))
    assert 90 < fault(server, kind, call, answers(429, {"Retry-After": later})).retry_after <= 100


@each_call
def test_a_401_names_what_may_be_wrong(server, call):
    missing = fault(server, HUGGINGFACE, call, answers(401, JSON))
    assert isinstance(missing, RepositoryNotFound)
    assert "HF_TOKEN" in missing.hint
    server.rules.clear()
    wrong = fault(
        server, HUGGINGFACE, call, answers(401, {"X-Error-Message": "Invalid credentials in Authorization header"})
    )
    assert isinstance(wrong, AccessDenied)
    server.rules.clear()
    assert isinstance(fault(server, MODELSCOPE, call, answers(401, JSON)), AccessDenied)


@each_call
def test_a_gated_repository_tells_where_access_is_asked_for(server, call):
    error = fault(server, HUGGINGFACE, call, answers(403, {**LEAK, "X-Error-Code": "GatedRepo"}))
    assert isinstance(error, Gated)
    assert f"{server.endpoint}/{NAME}" in error.hint


@each_call
def test_a_disabled_repository_is_refused(server, call):
    gone = answers(403, {"X-Error-Message": "Access to this resource is disabled."})
    assert "disabled" in str(fault(server, HUGGINGFACE, call, gone))


@each_call
@pytest.mark.parametrize(
    ("told", "status", "wanted"),
    [
        ({"Code": 10010205001, "Message": "record not found"}, 404, RepositoryNotFound),
        ({"Code": 404, "Message": "x"}, 200, RepositoryNotFound),
        ({"Code": 10010200001, "Message": "no access"}, 404, AccessDenied),
        ({"Code": 403, "Message": "x"}, 200, AccessDenied),
        ({"Code": 10990101004, "Message": "object not found"}, 404, RevisionNotFound),
        ({"Code": 10010209999, "Message": f"token={TOKEN}\nsays no"}, 400, HubRefused),
    ],
)
def test_modelscopes_own_codes_are_understood(server, call, told, status, wanted):
    error = fault(server, MODELSCOPE, call, tells(told, status))
    assert type(error) is wanted
    assert "\n" not in str(error)


@each_hub
@each_call
def test_a_silent_hub_is_given_up_after_the_settings_time(server, kind, call):
    started = time.monotonic()
    assert isinstance(fault(server, kind, call, stalls, stall=1.0), Stalled)
    assert 0.9 < time.monotonic() - started < 5
    assert len(server.log) == 1


@each_hub
@each_call
def test_a_hub_that_never_comes_to_an_end_is_as_silent(server, kind, call):
    clock = itertools.count(step=1000.0)
    assert isinstance(fault(server, kind, call, floods, clock=lambda: next(clock)), Stalled)


@each_hub
@each_call
def test_no_more_of_an_answer_is_taken_than_a_listing_may_have(server, kind, call):
    assert isinstance(fault(server, kind, call, floods), NotAHub)
    assert server.log[0].sent < ANSWER_LIMIT + (ANSWER_LIMIT if call is files else SMALL_LIMIT)  # some of it in buffers


@each_hub
@each_call
def test_an_answer_that_ends_early_was_cut(server, kind, call):
    short = answers(200, {**JSON, "Content-Length": "1000"}, "[")
    assert isinstance(fault(server, kind, call, short), ConnectionCut)


@each_hub
@each_call
def test_a_circle_of_redirects_ends(server, kind, call):
    assert isinstance(fault(server, kind, call, redirects("/api/models/round")), NotAHub)
    assert len(server.log) < 10


@each_hub
@each_call
@pytest.mark.parametrize("address", ["file:///etc/passwd", "http://[::1", "//", "gopher://x/", "http://\x7f/"])
def test_a_redirect_to_no_address_leads_nowhere(server, kind, call, address):
    fault(server, kind, call, redirects(address))  # which error it is differs between releases of the vendor's client
    assert len(server.log) <= REDIRECT_LIMIT


@each_hub
@each_call
@pytest.mark.parametrize("behaviour", [page(), page(404)], ids=["200", "404"])
def test_a_web_page_is_no_hub(server, kind, call, behaviour):
    assert isinstance(fault(server, kind, call, behaviour), NotAHub)


GARBAGE = {
    "empty": "",
    "half": '{"id": "acme',
    "null": "null",
    "text": '"a text"',
    "number": "17",
    "list": "[[], 1, null]",
    "other": '{"status": "ok", "version": 3}',
    "deep": "[" * 200_000,
    "long": "9" * 100_000,
    "bytes": b"\xff\xfe\x00",
    "sha": '{"id": "acme/tiny-diffusion", "sha": "HEAD"}',
    "typed": '{"id": [], "sha": {"a": 1}, "Code": 200, "Data": [], "siblings": 5, "cardData": 5, "tags": 5}',
    "data": '{"Code": 200, "Data": "nothing"}',
    "files": '{"Code": 200, "Data": {"Files": {"a": 1}}}',
    "dates": '{"id": "a/b", "lastModified": "yesterday"}',
}


@each_hub
@each_call
@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_is_no_answer_of_a_hub_comes_from_no_hub(server, kind, call, body):
    error = fault(server, kind, call, answers(200, JSON, body))
    assert isinstance(error, NotAHub | RevisionNotFound)
    assert isinstance(error, NotAHub) or (kind, call) == (MODELSCOPE, resolve)


def closed_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


@each_hub
@each_call
@pytest.mark.parametrize("address", ["http://127.0.0.1:{closed}", "https://127.0.0.1:{open}", "http://hub.invalid"])
def test_a_hub_that_cannot_be_reached_may_be_later(server, kind, call, address):
    endpoint = address.format(closed=closed_port(), open=server.endpoint.rpartition(":")[2])
    started = time.monotonic()
    with pytest.raises(Unreachable) as raised:
        call(reach(kind, endpoint, token=TOKEN, connect=5.0), kind)
    assert time.monotonic() - started < 15
    assert endpoint.partition("//")[2] in str(raised.value)


@each_hub
def test_a_refused_connection_says_so(kind):
    with pytest.raises(Unreachable, match="refused"):
        resolve(reach(kind, f"http://127.0.0.1:{closed_port()}"), kind)


@each_hub
@each_call
@pytest.mark.parametrize("endpoint", ["http://", "http://bad host:x", "http://[::1", "ftp://127.0.0.1"])
def test_an_endpoint_that_is_no_address_is_no_hub(kind, call, endpoint):
    with pytest.raises((NotAHub, Unreachable)):
        call(reach(kind, endpoint, connect=2.0), kind)


@each_hub
@pytest.mark.parametrize("token", ["two\nlines", "schlüssel"])
def test_a_token_that_no_header_can_carry_is_not_shown(server, kind, token):
    with pytest.raises((AccessDenied, NotAHub)) as raised:
        resolve(reach(kind, server.endpoint, token=token), kind)
    seen, error = [], raised.value
    while error is not None:
        seen.append(str(error))
        error = error.__cause__
    assert token not in "".join(seen)
    assert server.log == []


def test_a_commit_that_modelscope_does_not_tell_is_asked_of_its_git_and_is_none_without(server):
    hub = reach(MODELSCOPE, server.endpoint, token=TOKEN)
    commit = resolve(hub, MODELSCOPE).commit
    asked = [(request.status, TOKEN in str(request.headers)) for request in server.asked(r"\.git/info/refs")]
    assert commit
    assert asked == [(401, False), (200, False)]  # the second carries it in base64, as git does
    for behaviour in (answers(404), answers(200, body=b"<html>"), answers(200, body=b"zzzz" * 100), page(403)):
        server.rules[:] = [Rule(r"\.git/info/refs", behaviour)]
        assert resolve(hub, MODELSCOPE).commit is None
    server.rules[:] = [Rule(r"\.git/info/refs", answers(503))]
    with pytest.raises(Unreachable):  # or the lock would depend on the hub's mood
        resolve(hub, MODELSCOPE)


@pytest.mark.parametrize("told", ["", "HEAD", "../../x", 5, None, {"a": 1}, "0123456"])
def test_what_modelscope_tells_instead_of_a_commit_is_not_believed(served, told):
    def lie(answer):
        answer["Data"]["LatestCommitter"] = {"Id": told}
        return answer

    with MisbehavingHub(Folder(served), Settings(tells_head=True)) as server:
        told_by_listing = resolve(reach(MODELSCOPE, server.endpoint), MODELSCOPE).commit
        assert not server.asked(r"\.git/")
        server.rules.append(Rule(MODELSCOPE.listing, rewrites(lie)))
        assert resolve(reach(MODELSCOPE, server.endpoint), MODELSCOPE).commit == told_by_listing
        assert server.asked(r"\.git/")


def test_a_gated_file_tells_where_access_is_asked_for(server):
    """The listing of a gated repository is public; only its files are not."""
    server.rules.append(Rule("/resolve/", answers(403, {"X-Error-Code": "GatedRepo"})))
    hub = reach(HUGGINGFACE, server.endpoint, token=TOKEN)
    location = hub.location(hub.resolve(NAME, None), SMALL)

    with pytest.raises(Gated) as caught:
        Http(http_settings()).open(location, Wanted(path=SMALL, size=10))

    assert f"{server.endpoint}/{NAME}" in caught.value.hint
