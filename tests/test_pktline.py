"""What git tells of its refs, read from a real git and from worse."""

from __future__ import annotations

import subprocess

import pytest

from provision.hubs.pktline import commit_of

ONE, TWO, TAG = ("1" * 40, "2" * 40, "3" * 40)


def packet(line):
    return f"{len(line.encode()) + 4:04x}{line}".encode()


def advertised(*refs):
    return b"".join([packet("# service=git-upload-pack\n"), b"0000", *map(packet, refs), b"0000"])


def git(place, *arguments):
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=master")
    done = subprocess.run(("git", *who, *arguments), cwd=place, capture_output=True, check=True, timeout=30)
    return done.stdout


def test_branches_and_tags_of_a_real_git_have_the_commits_git_says(tmp_path):
    git(tmp_path, "init", "-q")
    for number, name in enumerate(("light", "annotated")):
        (tmp_path / "file").write_text(str(number))
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-qm", name)
        git(tmp_path, "tag", *(["-am", "words"] if name == "annotated" else []), name)
    git(tmp_path, "branch", "feature/ü")
    told = git(tmp_path, "upload-pack", "--advertise-refs", ".")
    for name in ("master", "light", "annotated", "feature/ü"):
        assert commit_of(told, name) == git(tmp_path, "rev-parse", f"{name}^{{commit}}").decode().strip(), name
    for name in ("HEAD", "nothing", "", "feature", "refs/heads/master"):
        assert commit_of(told, name) is None


def test_a_name_that_is_a_branch_and_a_tag_is_told_only_where_they_agree():
    assert commit_of(advertised(f"{ONE} refs/heads/v1\n", f"{TWO} refs/tags/v1\n"), "v1") is None
    agreed = advertised(f"{ONE} refs/heads/v1\n", f"{TAG} refs/tags/v1\n", f"{ONE} refs/tags/v1^{{}}\n")
    assert commit_of(agreed, "v1") == ONE


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"000",
        b"zzzz",
        b"<!doctype html>",
        b"0000" * 1000,
        b"ffff",
        b"0001",
        packet(f"{ONE[:39]} refs/heads/master\n"),
        packet(f"{'G' * 40} refs/heads/master\n"),
        packet(f"{ONE}refs/heads/master\n"),
        packet("ERR access denied\n"),
    ],
)
def test_what_git_does_not_say_names_no_commit(told):
    assert commit_of(told, "master") is None
