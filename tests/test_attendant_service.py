"""The attendant by HTTP: what it answers to whom, and what it does not let be done to it."""

from __future__ import annotations

import http.client
import json
import re
import socket
from base64 import b64encode
from hashlib import sha256

import pytest
from attendant_bed import HOSTILE, LEASE, TOKEN, AttendantBed, running, wait_for

from provision.pods.attendant.account import Ending
from provision.pods.attendant.service import BODY, LIFE, OPEN, STRANGERS, WAIT
from provision.pods.status import Phase, read_status


@pytest.fixture
def bed(tmp_path):
    bed = AttendantBed(tmp_path)
    with bed.service:
        yield bed


def ask(bed, path: str, method: str = "GET", token: str | None = TOKEN, body: str | None = None, **headers: str):
    connection = http.client.HTTPConnection("127.0.0.1", bed.service.server_port, timeout=10)
    given = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        connection.request(method, path, body, given | headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_the_status_is_what_a_renter_reads(bed) -> None:
    bed.show(Phase.FILLING, total=100, done=40, rate=2.5, running=running((HOSTILE, 60, 20)))
    bed.account.note("a note with hf_secretsecretsecret in it")
    code, headers, body = ask(bed, "/status")
    status = read_status(body)

    assert (code, headers["Content-Type"]) == (200, "application/json")
    assert (status.lease, status.phase, status.total, status.done, status.rate) == (LEASE, Phase.FILLING, 100, 40, 2.5)
    assert status.notes == ("a note with *** in it",)
    assert json.loads(body)["price"] == 0.06
    assert json.loads(body)["projects"] == ["wan22-i2v"]


@pytest.mark.parametrize("path", ["/status", "/result", "/taken"])
@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN[:-1], TOKEN + "x", "café", "x" * 3000])
def test_without_the_right_token_nothing_is_said(bed, path, token) -> None:
    bed.end(Ending(exit_code=0))
    token = token and token.encode().decode("latin-1")
    code, headers, body = ask(bed, path, "POST" if path == "/taken" else "GET", token)

    assert (code, headers["WWW-Authenticate"]) == (401, "Bearer")
    assert LEASE.encode() not in body
    assert not bed.service.taken.is_set()


def test_a_pod_without_a_token_answers_nobody(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("attendant_bed.TOKEN", "")
    bed = AttendantBed(tmp_path)
    with bed.service:
        assert ask(bed, "/status", token="")[0] == 401
        assert ask(bed, "/status", token=None)[0] == 401


def test_the_result_is_there_once_the_job_has_ended_and_can_be_taken_then(bed) -> None:
    assert ask(bed, "/result")[0] == 404
    assert ask(bed, "/taken", "POST")[0] == 409
    assert not bed.service.taken.is_set()

    document = bed.end(Ending(exit_code=3, error="2 of 8 files", hint="again"))
    assert ask(bed, "/result")[2] == document
    assert not bed.service.taken.is_set(), "to have it sent is not to have it"
    assert ask(bed, "/taken", "POST")[0] == 200
    assert wait_for(bed.service.taken.is_set)


def test_the_page_needs_no_token_and_tells_nothing(bed) -> None:
    bed.account.note("something of the job")
    code, headers, body = ask(bed, "/", token=None)

    assert (code, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert LEASE.encode() not in body
    assert b"something of the job" not in body


def test_only_what_stands_in_the_page_may_run_there(bed) -> None:
    _, headers, body = ask(bed, "/")
    policy, page = headers["Content-Security-Policy"], body.decode()
    (script,), (style,) = (
        re.findall("<script>(.*?)</script>", page, re.DOTALL),
        re.findall("<style>(.*?)</style>", page, re.DOTALL),
    )

    for text, kind in ((script, "script-src"), (style, "style-src")):
        assert f"{kind} 'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not re.findall(r"https?://|innerHTML|insertAdjacent|document\.write|eval\(", page)


@pytest.mark.parametrize("path", ["/", "/status", "/nothing", "/../../etc/passwd", "/status/x"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_answer_is_guarded(bed, path, method) -> None:
    code, headers, _ = ask(bed, path, method)

    assert code in {200, 404}
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Connection"] == "close"
    assert "Python" not in headers["Server"]


@pytest.mark.parametrize("length", [str(BODY + 1), "9" * 30, "-1", "many"])
def test_a_large_request_is_refused_unread(bed, length) -> None:
    assert ask(bed, "/taken", "POST", **{"Content-Length": length})[0] == 413


def test_strangers_are_bounded_and_never_take_the_last_places(bed) -> None:
    slow = [socket.create_connection(("127.0.0.1", bed.service.server_port), timeout=10) for _ in range(OPEN + 16)]
    for one in slow[-STRANGERS:]:
        one.sendall(b"GET /status HTTP/1.1\r\n")
    wait_for(lambda: len(bed.service._open) == STRANGERS)
    assert all(one.recv(1) == b"" for one in slow[:-STRANGERS]), "the oldest go first"

    assert ask(bed, "/status")[0] == 200
    wait_for(lambda: len(bed.service._open) == STRANGERS - 1)
    for one in slow:
        one.close()


def test_who_sends_a_line_now_and_then_has_no_more_time_than_others(bed) -> None:
    with socket.create_connection(("127.0.0.1", bed.service.server_port), timeout=10) as slow:
        slow.sendall(b"GET /status HTTP/1.1\r\n")
        wait_for(lambda: bed.service._open)
        for bed.ticks in (WAIT / 2, WAIT - 1, WAIT + 1):
            slow.sendall(b"X-More: more\r\n")
        assert slow.recv(1) == b""


def test_the_slow_are_closed_and_those_who_show_the_token_are_bounded(bed) -> None:
    asked = f"POST /taken HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 5\r\n\r\n"
    slow = []
    for _ in range(OPEN):
        slow.append(socket.create_connection(("127.0.0.1", bed.service.server_port), timeout=10))
        slow[-1].sendall(asked.encode())
        wait_for(lambda: len(bed.service._known) == len(slow))
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(bed, "/status")

    bed.ticks = WAIT + 1
    assert len(bed.service._open) == OPEN
    bed.ticks = LIFE + 1
    wait_for(lambda: not bed.service._open, 3)
    assert ask(bed, "/status")[0] == 200
    assert all(one.recv(1) == b"" for one in slow)
    for one in slow:
        one.close()
    assert bed.said == []


def test_whoever_leaves_in_the_middle_is_not_spoken_of(bed) -> None:
    for sent in (b"", b"GET", b"GET /status HTTP/1.1\r\n", b"\x00\xff\r\n\r\n", b"GET " + b"x" * 70_000):
        with socket.create_connection(("127.0.0.1", bed.service.server_port)) as one:
            one.sendall(sent)
    assert ask(bed, "/status")[0] == 200
    assert bed.said == []
