"""A status comes through a public proxy or from a log: it is read as something a stranger may have written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import PodError
from provision.pods.status import LIMIT, Past, Phase, Running, Status, read_status, status_document

FULL = Status(
    lease="provision-p", phase=Phase.FILLING, began=1.0, now=2.5, deadline=9.0, starts=2, total=10, done=4, rate=1.5,
    finished=1, running=(Running(name="a", size=9, done=3),), past=(Past(phase=Phase.FILLING, total=9, done=8),),
    notes=("slow",), counts=(("ok", 3),), exit_code=3, error="bad", hint="do",
)  # fmt: skip


def test_what_is_written_is_read():
    assert read_status(json.dumps(status_document(FULL))) == FULL


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.sampled_from(sorted(status_document(FULL))), json_values)
def test_any_field_may_be_anything_and_gives_a_status_or_an_error_of_ours(name, value):
    try:
        read_status(json.dumps(status_document(FULL) | {name: value}))
    except PodError as error:
        assert error.message  # noqa: PT017 - both ends are allowed


@given(st.binary(max_size=200))
def test_garbage_is_no_status(data):
    with pytest.raises(PodError):
        read_status(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"schema": 2}',
        "[" * 100_000,
        json.dumps(status_document(FULL) | {"began": float("inf")}),
        json.dumps(status_document(FULL) | {"rate": float("nan")}),
        json.dumps(status_document(FULL) | {"total": 2**63}),
        json.dumps(status_document(FULL) | {"done": 10**400}),
        json.dumps(status_document(FULL) | {"rate": 1e300}),
        json.dumps(status_document(FULL) | {"running": [{"name": "a", "size": 10**400, "done": 0}]}),
        " " * LIMIT + "{}",
    ],
)
def test_what_is_no_status_is_told_as_such(text):
    with pytest.raises(PodError, match="not understood"):
        read_status(text)


def test_nothing_in_it_can_move_a_terminals_cursor():
    said = "\x1b[2J\x1b]0;owned\x07a\r\nb\u202ec"
    status = read_status(json.dumps(status_document(FULL) | {"error": said, "notes": [said], "lease": said}))

    assert status.error.isprintable()
    assert status.notes[0].isprintable()
    assert status.lease.isprintable()


def test_lists_and_texts_have_an_end():
    many = [{"name": "x" * 3000, "size": 1, "done": 0}] * 200
    status = read_status(json.dumps(status_document(FULL) | {"running": many, "notes": ["n"] * 500}))

    assert len(status.running) == len(status.notes) == 64
    assert len(status.running[0].name) == 2000
