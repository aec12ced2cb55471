"""A journal cut anywhere tells a prefix of the truth; one that is hostile tells nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from volume_material import STRANGER, promised

from provision.digest import PIECE_SIZE, piece_digest
from provision.lock import LockedFile
from provision.volume.journal import (
    bytes_of,
    head_line,
    journals_among,
    key_of,
    parse,
    partials_among,
    piece_line,
    within,
)
from provision.volume.writer import Owner, is_dead, owner_from, this_process

FILE = LockedFile(path="a", target="models/a", size=5 * PIECE_SIZE + 7, sha256="a" * 64)
PIECES = [(index, piece_digest(b"%d" % index)) for index in (0, 1, 3, 5)]
TEXT = head_line(FILE, STRANGER) + b"".join(piece_line(*piece) for piece in PIECES)


@pytest.mark.parametrize("length", range(len(TEXT) + 1))
def test_a_journal_cut_at_any_byte_tells_a_prefix_of_the_truth(length):
    journal = parse(TEXT[:length], FILE)
    whole_lines = TEXT[:length].count(b"\n")
    assert list(journal.pieces.items()) == PIECES[: max(0, whole_lines - 1)]
    assert journal.length == len(b"".join(TEXT.splitlines(keepends=True)[:whole_lines]))
    assert journal.owner == (STRANGER if whole_lines else Owner())


@given(place=st.integers(0, len(TEXT) - 1), byte=st.integers(0, 255))
def test_one_wrong_byte_never_raises_and_never_invents_a_piece_of_another_place(place, byte):
    damaged = TEXT[:place] + bytes([byte]) + TEXT[place + 1 :]
    journal = parse(damaged, FILE)
    assert all(0 <= index <= 5 and len(digest) == 32 for index, digest in journal.pieces.items())


@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_read_without_harm(garbage):
    assert parse(garbage, FILE).pieces == {}
    assert list(parse(TEXT + garbage, FILE).pieces.items())[: len(PIECES)] == PIECES


@pytest.mark.parametrize(
    "change",
    [
        {"version": 1},
        {"version": 3},
        {"size": 1},
        {"piece_size": 1},
        {"sha256": "b" * 64},
        {"target": "models/b"},
        {"version": None},
    ],
)
def test_a_journal_of_another_promise_holds_nothing(change):
    head = {**json.loads(head_line(FILE, STRANGER)), **change}
    assert parse(json.dumps(head).encode() + b"\n" + piece_line(*PIECES[0]), FILE).pieces == {}


@pytest.mark.parametrize(
    "line",
    [
        b'{"i":-1,"xxh3":"%s"}\n' % (b"a" * 32),
        b'{"i":6,"xxh3":"%s"}\n' % (b"a" * 32),
        b'{"i":true,"xxh3":"%s"}\n' % (b"a" * 32),
        b'{"i":1.0,"xxh3":"%s"}\n' % (b"a" * 32),
        b'{"i":1,"xxh3":"../x"}\n',
        b'{"i":1}\n',
        b"[]\n",
        b"9" * 5000 + b"\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_hostile_line_ends_the_journal_there(line):
    assert list(parse(TEXT + line + piece_line(4, "c" * 32), FILE).pieces.items()) == PIECES


def test_of_two_lines_for_one_piece_the_later_counts():
    assert parse(TEXT + piece_line(0, "c" * 32), FILE).pieces[0] == "c" * 32


def test_pieces_beyond_what_is_there_are_not_held():
    pieces = dict(PIECES)
    assert list(within(pieces, FILE.size, 4 * PIECE_SIZE)) == [0, 1, 3]
    assert list(within(pieces, FILE.size, 4 * PIECE_SIZE - 1)) == [0, 1]
    assert bytes_of(within(pieces, FILE.size, FILE.size), FILE.size) == 3 * PIECE_SIZE + 7


def test_one_key_is_one_target_and_one_content():
    other = promised(b"x", FILE.target)
    assert len({key_of(FILE), key_of(other), key_of(promised(b"x", "models/b"))}) == 3


def test_only_names_of_our_making_are_taken_for_ours():
    names = ["0123456789abcdef.01234567.journal", "../x.01234567.journal", "0123456789abcdef.0123456.journal", "README"]
    assert journals_among(names) == {"0123456789abcdef": ["01234567"]}
    names = [".provision-0123456789abcdef.01234567.partial", "x.partial", ".provision-0123456789abcdef..partial"]
    assert partials_among(names) == {"0123456789abcdef": ["01234567"]}


@pytest.mark.parametrize(
    "owner",
    [
        None,
        [],
        {},
        {"boot": STRANGER.boot, "pidns": 1, "pid": 2**22 + 1, "started": 1},
        {"boot": STRANGER.boot, "pidns": 1, "pid": -1, "started": 1},
        {"boot": STRANGER.boot, "pidns": 1, "pid": True, "started": 1},
        {"boot": "", "pidns": 1, "pid": 7, "started": 1},
        {"boot": STRANGER.boot, "pidns": "1", "pid": 7, "started": 1},
    ],
)
def test_an_owner_not_fit_to_be_believed_is_unknown_and_never_dead(owner):
    assert owner_from(owner) == Owner()
    assert not is_dead(owner_from(owner), this_process())


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the facts of a process come from Linux")


@linux
def test_a_process_is_dead_when_it_is_gone_and_not_before():
    program = "from provision.volume.writer import *; print(this_process().document(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        owner = Owner(**json.loads(child.stdout.readline().replace("'", '"')))
        assert owner.pid == child.pid
        assert not is_dead(owner, this_process())
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_dead(owner, this_process())  # a zombie writes no more
    assert is_dead(owner, this_process())


@linux
def test_another_process_under_the_same_number_means_dead():
    here = this_process()
    assert not is_dead(here, here)
    assert is_dead(Owner(boot=here.boot, pidns=here.pidns, pid=here.pid, started=here.started + 1), here)


@linux
@pytest.mark.parametrize("change", [{"boot": STRANGER.boot}, {"pidns": 1}])
def test_a_process_of_another_kernel_or_namespace_is_never_called_dead(change):
    here = this_process()
    absent = {**here.document(), "pid": 2**22 - 1, **change}
    assert not is_dead(Owner(**absent), here)
    assert is_dead(Owner(**{**here.document(), "pid": 2**22 - 1}), here)
