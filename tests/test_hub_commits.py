"""A commit that was asked for is the commit that is pinned, whatever the hub answers."""

from __future__ import annotations

import pytest
from hub_folder import NAME, build
from hub_kinds import HUGGINGFACE, reach
from misbehaving_hub import MisbehavingHub, Rule, rewrites

from provision.errors import NotAHub
from provision.serve import Folder

OTHER = "b" * 40


@pytest.fixture
def liar(tmp_path):
    """A hub with a tag `abcdef1` that answers every revision with the commit OTHER."""
    build(tmp_path, HUGGINGFACE.scheme)
    with MisbehavingHub(Folder(tmp_path, tags={NAME: ["abcdef1", "a" * 40, "aaaaaaa"]})) as server:
        server.rules.append(Rule(HUGGINGFACE.first, rewrites(lambda told: {**told, "sha": OTHER})))
        yield server


def without_refs(server):
    server.rules.append(Rule("/refs", rewrites(lambda _: {"branches": [], "converts": [], "tags": []})))


@pytest.mark.parametrize("asked", ["a" * 40, "aaaaaaa"])
def test_another_commit_than_the_one_asked_for_is_refused(liar, asked):
    without_refs(liar)
    with pytest.raises(NotAHub, match=f"{asked}.*{OTHER}"):
        reach(HUGGINGFACE, liar.endpoint).resolve(NAME, asked)


def test_a_full_commit_is_no_name_even_where_a_tag_is_called_so(liar):
    with pytest.raises(NotAHub):
        reach(HUGGINGFACE, liar.endpoint).resolve(NAME, "a" * 40)
    assert not liar.asked("/refs")


def test_a_tag_that_looks_like_a_commit_is_a_tag(liar):
    assert reach(HUGGINGFACE, liar.endpoint).resolve(NAME, "abcdef1").commit == OTHER


def test_refs_are_asked_for_only_where_they_decide(liar):
    hub = reach(HUGGINGFACE, liar.endpoint)
    assert hub.resolve(NAME, "main").commit == OTHER
    assert not liar.asked("/refs")


def test_a_commit_that_is_answered_is_pinned_without_more_questions(tmp_path):
    build(tmp_path, HUGGINGFACE.scheme)
    with MisbehavingHub(Folder(tmp_path)) as server:
        hub = reach(HUGGINGFACE, server.endpoint)
        commit = hub.resolve(NAME, None).commit
        assert hub.resolve(NAME, commit).commit == commit
        assert not server.asked("/refs")
