"""What RunPod's refusals mean, by status and by words, of every interface it has had."""

from __future__ import annotations

import json

import pytest

from provision.errors import CloudRefused, CloudUnavailable, NoCapacity
from provision.pods.runpod.faults import Said, fault, is_gone, words_of

NO_CAPACITY = (
    "There are no longer any instances available with the requested specifications. Please refresh and try again.",
    "There are no longer any instances available with enough disk space.",
    "create pod: There are no longer any instances available with the requested specifications.",
    "This machine does not have the resources to deploy your pod. Please try a different machine",
    "There are no instances currently available",
    "create pod: There are no instances currently available.",
    "no instances available",
    "create pod: could not find any pods with required specifications",
    "SUPPLY_CONSTRAINT",
)
NO_BALANCE = "Your account balance is too low to create a pod. Please add funds and try again."
ELSEWHERE = 'Network volume "k3x" is in data center "CA-MTL-3", which is not in the requested set [EUR-IS-2]'


@pytest.mark.parametrize("words", NO_CAPACITY)
@pytest.mark.parametrize("status", [None, 200, 400, 500])
def test_lack_of_capacity_is_known_by_its_words_whatever_the_status(status, words):
    assert isinstance(fault(Said(status=status, words=words), "rent a pod"), NoCapacity)


@pytest.mark.parametrize(
    ("status", "words", "kind", "hint"),
    [
        (401, "the key is not known", CloudRefused, "RUNPOD_API_KEY"),
        (402, NO_CAPACITY[0], CloudRefused, "add funds"),
        (402, "", CloudRefused, "add funds"),
        (None, NO_BALANCE, CloudRefused, "add funds"),
        (None, "INSUFFICIENT_BALANCE", CloudRefused, "add funds"),
        (400, NO_BALANCE, CloudRefused, "add funds"),
        (403, "access denied", CloudRefused, "permission"),
        (403, NO_CAPACITY[0], CloudRefused, "permission"),
        (None, "Unauthorized", CloudRefused, "permission"),
        (404, "resource not found", CloudRefused, "change"),
        (409, "Pod belongs to a cluster", CloudRefused, "change"),
        (400, ELSEWHERE, CloudRefused, "change"),
        (None, ELSEWHERE, CloudRefused, "change"),
        (410, "This API has been retired", CloudRefused, "retired"),
        (422, "Request validation failed.", CloudRefused, "change"),
        (None, 'Field "x" is not defined by type "deployCpuPodInput".', CloudRefused, "change"),
        (None, "Syntax Error: Unterminated string.", CloudRefused, "change"),
        (None, "DateTime cannot represent an invalid date-time-string", CloudRefused, "change"),
        (429, "rate limit exceeded", CloudUnavailable, "again"),
        (None, "Too many requests", CloudUnavailable, "again"),
        (500, "Something went wrong.", CloudUnavailable, "again"),
        (502, "", CloudUnavailable, "again"),
        (520, "", CloudUnavailable, "again"),
        (524, "", CloudUnavailable, "again"),
        (302, "", CloudUnavailable, "again"),
        (None, "Something went wrong. Please try again later or contact support.", CloudUnavailable, "again"),
        (None, "what nobody has ever read", CloudUnavailable, "again"),
    ],
)
def test_every_refusal_says_whether_asking_again_is_of_use_and_what_to_do(status, words, kind, hint):
    found = fault(Said(status=status, words=words), "rent a pod")

    assert type(found) is kind
    assert hint in found.hint
    assert words[:40] in found.message


def test_a_time_to_wait_goes_with_the_error():
    found = fault(Said(status=429, words="slow down", retry_after=7.0), "list the pods")

    assert found.retry_after == 7.0
    assert "7 s" in found.message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"title": "Bad Request", "status": 400, "detail": NO_CAPACITY[0]}, NO_CAPACITY[0]),
        (
            {"title": "x", "status": 422, "detail": "Request validation failed.", "errors": ["$: 'x' not allowed"]},
            "Request validation failed.; $: 'x' not allowed",
        ),
        ({"title": "Gone", "status": 410}, "Gone"),
        ({"error": "Something went wrong.", "status": 500}, "Something went wrong."),
        ({"error": {"message": "no"}}, "no"),
        ({"errors": [{"message": "none", "extensions": {"code": "SUPPLY_CONSTRAINT"}}]}, "none; SUPPLY_CONSTRAINT"),
        ({"data": None, "errors": [{"message": "one"}, {"message": "two"}]}, "one; two"),
        ([{"message": "in a list"}], "in a list"),
        ("a string", "a string"),
        (None, ""), (7, ""), ({}, ""), ([], ""), ({"detail": None, "errors": None, "title": 3}, ""),
    ],
)  # fmt: skip
def test_words_are_found_in_every_shape(body, words):
    assert words_of(json.dumps(body).encode()) == words


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<!DOCTYPE html><title>502 Bad gateway</title>", ""), (b"\n <html>", ""), (b"", ""), (b"\xff\xfe", "��"),
        (b'{"detail": "cut of', ""), (b"[" * 100_000, ""), (b"error code: 1010", "error code: 1010"),
    ],
)  # fmt: skip
def test_what_is_no_json_is_a_page_or_plain_words(body, words):
    assert words_of(body) == words


def test_words_are_short_fit_to_print_and_hold_no_secret():
    secrets = ["hunter2hunter2", 'quo"ted\nsecret', "hunter2hunter2-and-more"]
    echoed = json.dumps({"env": secrets}) + " ".join(secrets) + " Bearer abcdef hf_abcdefghijkl \x1b[31m"

    message = fault(Said(status=422, words=f"{echoed} {'x' * 100_000}"), "rent a pod", secrets).message

    assert len(message) < 400
    assert message.isprintable()
    assert not [word for word in ("hunter2", "ted\\nsecret", "and-more", "abcdef", "hf_") if word in message]


@pytest.mark.parametrize(
    "words", ["pod not found", "Pod a does not exist", "pod doesn't exist", "no such pod", "Pod already terminated"]
)
def test_that_a_pod_is_gone_is_known_by_its_words(words):
    assert is_gone(Said(status=None, words=words))
    assert not is_gone(Said(status=500, words=words))


def test_that_a_pod_is_gone_is_known_by_its_status():
    assert is_gone(Said(status=404))
    assert not is_gone(Said(status=None, words="not a word of it"))
