"""What goes wrong with S3: each fault has its own words, what to do next, and no secret in either."""

from __future__ import annotations

import socket
import threading
from typing import NamedTuple

import pytest
from loopback_tls import Certificate, serving
from misbehaving_s3 import Rule, answers, changed, late, refuses, silent
from raw_server import RawServer
from s3_bed import BUCKET, KEYS, Bed, bed_of_a_test, honest_server, soon  # noqa: F401 - fixtures

from provision.errors import ExitCode, VolumeAbsent, VolumeDenied, VolumeError, VolumeFull
from provision.volume.s3 import Endpoint, Place

HTML = b"<!doctype html><html><body><h1>Gateway</h1></body></html>"


class Told(NamedTuple):
    """A refusal, and what is made of it."""

    status: int
    code: str | None
    words: str
    hint: str
    kind: type[VolumeError] = VolumeError


LASTING = [
    Told(403, "InvalidAccessKeyId", "does not know the access key", "S3 API Keys"),
    Told(403, "SignatureDoesNotMatch", "secret key is not the one", "S3 API Keys"),
    Told(403, "AccessDenied", "does not let these keys read", "account that owns the volume", VolumeDenied),
    Told(401, "Unauthorized", "does not let these keys read", "S3 API Keys", VolumeDenied),
    Told(400, "ExpiredToken", "no longer valid", "S3 API Keys"),
    Told(403, "RequestTimeTooSkewed", "clock is wrong", "clock"),
    Told(404, "NoSuchBucket", "no such volume in that data center", "one data center only", VolumeAbsent),
    Told(400, "AuthorizationHeaderMalformed", "another region", "--datacenter"),
    Told(400, "KeyTooLongError", "does not take a key like this", "mounted"),
    Told(405, "MethodNotAllowed", "the server refused", "mounted"),
    Told(507, "InsufficientStorage", "the volume is full", "free room", VolumeFull),
]
PASSING = [
    Told(503, "SlowDown", "asks us to slow down", "not from many places"),
    Told(429, "TooManyRequests", "asks us to slow down", "not from many places"),
    Told(503, "ServiceUnavailable", "cannot answer now", "in a while"),
    Told(500, "InternalError", "cannot answer now", "in a while"),
    Told(400, "RequestTimeout", "cannot answer now", "in a while"),
    Told(524, None, "did not find an answer in time", "MD5"),
    Told(504, None, "did not find an answer in time", "MD5"),
    Told(502, None, "cannot answer now", "in a while"),
    Told(522, None, "cannot answer now", "in a while"),
    Told(599, None, "cannot answer now", "in a while"),
]


def says(status: int, code: str | None):
    words = f"key {KEYS.access} with {KEYS.secret} was here"
    return answers(status, HTML, content_type="text/html") if code is None else refuses(status, code, words)


def check_words(error: VolumeError, told: Told) -> None:
    assert told.words in error.message
    assert str(told.status) in error.message
    assert told.hint in error.hint
    assert error.exit_code is ExitCode.VOLUME
    for secret in (KEYS.access, KEYS.secret):
        assert secret not in error.message + error.hint + repr(error) + repr(error.__cause__)


@pytest.mark.parametrize("told", LASTING, ids=str)
def test_what_lasts_is_told_at_once_in_words_that_a_head_does_not_have(bed: Bed, told: Told):
    bed.put("a.bin", b"abc")
    bed.s3.rules[:] = [Rule("", "a.bin", says(told.status, told.code))]

    with bed.view() as view, pytest.raises(told.kind) as caught:
        view.open_file("a.bin")

    check_words(caught.value, told)
    assert type(caught.value) is told.kind
    assert bed.waits == []


@pytest.mark.parametrize("told", LASTING, ids=str)
def test_a_refusal_of_the_bytes_is_told_as_one_of_the_file(bed: Bed, told: Told):
    bed.put("a.bin", b"abc")
    with bed.view() as view, view.open_file("a.bin") as file:
        bed.s3.rules[:] = [Rule("GET", "a.bin", says(told.status, told.code))]
        with pytest.raises(VolumeError) as caught:
            file.read_at(0, 3)

    if told.status != 404:
        check_words(caught.value, told)
        assert type(caught.value) is told.kind


@pytest.mark.parametrize("told", PASSING, ids=str)
def test_what_passes_is_waited_for_and_told_when_it_does_not(bed: Bed, told: Told):
    bed.put("a.bin", b"0123456789")
    with bed.view(attempts=3) as view, view.open_file("a.bin") as file:
        bed.s3.rules[:] = [Rule("GET", "a.bin", says(told.status, told.code), times=2)]
        assert file.read_at(0, 3) == b"012"
        assert len(bed.waits) == 2

        bed.s3.rules[:] = [Rule("GET", "a.bin", says(told.status, told.code))]
        with pytest.raises(VolumeError, match="given up after 3 attempts") as caught:
            file.read_into(5, memoryview(bytearray(3)))
    check_words(caught.value, told)


@pytest.mark.parametrize("status", [524, 504, 503, 500, 429])
def test_a_slow_first_head_is_waited_for(bed: Bed, status: int):
    bed.put("a.bin", b"abc")
    bed.s3.rules[:] = [Rule("HEAD", "a.bin", answers(status), times=2)]

    with bed.view(attempts=3) as view:
        assert view.open_file("a.bin").stat().st_size == 3

    assert [asked.method for asked in bed.s3.log] == ["HEAD"] * 3
    assert len(bed.waits) == 2


def test_nothing_is_asked_again_behind_our_back(bed: Bed):
    bed.s3.rules[:] = [Rule("", "a.bin", says(503, None))]

    with bed.view(attempts=2) as view, pytest.raises(VolumeError):
        view.open_file("a.bin")

    assert [asked.method for asked in bed.s3.log] == ["HEAD", "HEAD"]


@pytest.mark.parametrize("status", [400, 401, 403, 405])
def test_a_key_that_the_server_refuses_is_never_missing(bed: Bed, status: int):
    bed.put("known.bin", b"abc")
    bed.s3.rules[:] = [Rule("", "epoch=1.bin", says(status, "Strange"))]

    with bed.view() as view:
        assert view.open_file("known.bin") is not None
        with pytest.raises(VolumeError, match=str(status)):
            view.open_file("models/epoch=1.bin")


def test_a_server_that_refuses_no_more_than_the_head_is_asked_by_get(bed: Bed):
    bed.put("a.bin", b"0123456789")
    with bed.view() as view:
        told = view.open_file("a.bin").stat()
        bed.s3.rules[:] = [Rule("HEAD", "a.bin", answers(403))]
        with view.open_file("a.bin") as file:
            assert file.stat() == told
            assert file.read_at(3, 4) == b"3456"


def test_an_empty_file_behind_a_refused_head_is_empty(bed: Bed):
    bed.put("a.bin", b"")
    bed.s3.rules[:] = [
        Rule("HEAD", "a.bin", answers(403)),
        Rule("GET", "a.bin", _unsatisfied),
    ]

    with bed.view() as view, view.open_file("a.bin") as file:
        assert file.stat().st_size == 0
        assert file.read_at(0, 9) == b""


def _unsatisfied(handler, reply) -> None:
    """Of an empty object there is no first byte (RFC 9110, 15.5.17)."""
    (refuses(416, "InvalidRange") if handler.asked.range else changed(lambda honest: honest))(handler, reply)


def test_a_code_that_holds_the_keys_is_shown_without_them(bed: Bed):
    bed.s3.rules[:] = [Rule("", "a.bin", refuses(418, f"{KEYS.access}{KEYS.secret}", "no"))]

    with bed.view() as view, pytest.raises(VolumeError, match="418") as caught:
        view.open_file("a.bin")

    assert KEYS.access not in str(caught.value)
    assert KEYS.secret not in str(caught.value)


def test_a_volume_that_is_absent_is_told_from_a_file_that_is(bed: Bed):
    with bed.view(place=Place(bucket="another")) as view:
        for ask in (lambda: view.open_file("a.bin"), lambda: view.state_names("receipts")):
            with pytest.raises(VolumeAbsent, match="no such volume in that data center"):
                ask()

    with bed.view() as view:
        assert view.open_file("a.bin") is None


def test_what_is_not_s3_has_no_absent_files(bed: Bed):
    bed.s3.rules[:] = [Rule("", "", answers(404, HTML, content_type="text/html"))]
    with bed.view() as view, pytest.raises(VolumeError, match="what answers there is not S3") as caught:
        view.open_file("a.bin")
    assert "--endpoint-url" in caught.value.hint

    bed.s3.rules[:] = [Rule("", "", answers(200, HTML, content_type="text/html"))]
    with bed.view() as view, pytest.raises(VolumeError, match="does not tell its size and time of change"):
        view.open_file("a.bin")


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_is_not_followed(bed: Bed, status: int):
    with RawServer(b"") as elsewhere:
        moved = answers(status, location=f"{elsewhere.address}/{BUCKET}/a.bin", x_amz_bucket_region="us-east-1")
        bed.s3.rules[:] = [Rule("", "", moved)]
        with bed.view() as view, pytest.raises(VolumeError, match="sends us elsewhere"):
            view.open_file("a.bin")

        assert elsewhere.log == []


@pytest.mark.parametrize("changes", [{"last_modified": "yesterday"}, {"content_length": "many"}])
def test_an_answer_that_makes_no_sense_is_an_error_of_ours(bed: Bed, changes: dict[str, str]):
    bed.put("a.bin", b"abc")
    bed.s3.rules[:] = [Rule("", "a.bin", changed(lambda reply: reply.but(**changes)))]

    with bed.view() as view, pytest.raises(VolumeError):
        view.open_file("a.bin")


def test_a_whole_checksum_with_a_part_is_no_damage(bed: Bed):
    bed.put("a.bin", b"0123456789")
    told = {"x_amz_checksum_crc32": "AAAAAA==", "x_amz_checksum_sha256": "A" * 43 + "="}
    bed.s3.rules[:] = [Rule("GET", "a.bin", changed(lambda reply: reply.but(**told)))]

    with bed.view() as view, view.open_file("a.bin") as file:
        assert file.read_at(2, 3) == b"234"


def unreachable(bed: Bed, url: str, words: str, **changes):
    endpoint = Endpoint(url=url, region="EU-RO-1")
    with bed.view(attempts=2, endpoint=endpoint, **changes) as view, pytest.raises(VolumeError, match=words) as caught:
        view.open_file("a.bin")
    return caught.value


def test_a_data_center_that_does_not_answer_is_named_with_those_that_have_s3(bed: Bed):
    error = unreachable(bed, "https://s3api-xx-yy-0.runpod.io.invalid/", "cannot be reached; given up after 2")
    assert "--endpoint-url" in error.hint

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        unreachable(bed, f"http://127.0.0.1:{free.getsockname()[1]}", "127.0.0.1 cannot be reached")


def test_a_proxy_that_does_not_answer_is_told_as_such(bed: Bed):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        proxy = f"http://me:word@127.0.0.1:{free.getsockname()[1]}"
        error = unreachable(bed, "https://s3.invalid/", "the proxy cannot be reached", proxies={"https": proxy})

    assert "word" not in error.message + repr(error.__cause__)
    assert "HTTPS_PROXY" in error.hint


def test_a_certificate_that_nobody_vouches_for_is_told_and_not_tried_again(bed: Bed, tmp_path):
    certificate = Certificate.made_in(tmp_path)
    with serving(tmp_path, certificate) as server:
        error = unreachable(bed, f"https://{server.host}", "no certificate that can be trusted")
        believed = unreachable(bed, f"https://{server.host}", "is not S3", ca_bundle=str(certificate.bundle))

    assert "given up" not in error.message
    assert "404" in believed.message
    assert bed.waits == []


def test_a_server_that_never_begins_is_given_up(bed: Bed):
    over = threading.Event()
    bed.put("a.bin", b"abc")

    def mute(handler, _reply) -> None:
        over.wait(60)
        handler.close_connection = True

    bed.s3.rules[:] = [Rule("HEAD", "a.bin", mute)]
    with bed.view(attempts=2, answer=0.3) as view, pytest.raises(VolumeError, match="did not answer in time") as caught:
        soon(lambda: view.open_file("a.bin"), over)

    assert "MD5" in caught.value.hint


def test_a_head_may_take_its_time_though_a_stream_may_not(bed: Bed):
    over = threading.Event()
    bed.put("a.bin", b"abc")
    bed.s3.rules[:] = [Rule("HEAD", "a.bin", late(over, 1.5)), Rule("GET", "a.bin", silent(over, after=1))]

    with bed.view(attempts=2, answer=300.0, stall=0.5) as view:
        file = view.open_file("a.bin")
        with pytest.raises(VolumeError, match="did not answer in time"):
            soon(lambda: file.read_at(0, 3), over)
    assert len(bed.s3.asked("a.bin", "HEAD")) == 1
