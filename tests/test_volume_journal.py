"""A journal cut anywhere tells a prefix of the truth; a line that is garbled, or hostile, costs its piece."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from volume_material import STRANGER, promised

from provision.digest import PIECE_SIZE, piece_digest
from provision.lock import LockedFile
from provision.volume.journal import (
    JOURNAL_LIMIT,
    TAKEN_BACK,
    bytes_of,
    flushed_line,
    head_line,
    journals_among,
    key_of,
    parse,
    partials_among,
    piece_line,
    text_of,
    within,
)
from provision.volume.writer import Owner, is_dead, owner_from, this_process

FILE = LockedFile(path="a", target="models/a", size=5 * PIECE_SIZE + 7, sha256="a" * 64)
PIECES = [(index, piece_digest(b"%d" % index)) for index in (0, 1, 3, 5)]
HEAD, LINES = head_line(FILE, STRANGER), [piece_line(*piece) for piece in PIECES]
TEXT = HEAD + b"".join(LINES)


def test_a_journal_cut_at_any_byte_tells_a_prefix_of_the_truth():
    for length in range(len(TEXT) + 1):
        journal = parse(TEXT[:length], FILE)
        whole_lines = TEXT[:length].count(b"\n")
        assert list(journal.pieces.items()) == PIECES[: max(0, whole_lines - 1)]
        assert journal.length == len(b"".join(TEXT.splitlines(keepends=True)[:whole_lines]))
        assert journal.owner == (STRANGER if whole_lines else Owner())


def test_one_garbled_byte_costs_its_line_and_the_piece_that_it_then_names():
    for place in range(len(TEXT)):
        for byte in {0, 10, 35, *b"0123456789af{", 255, TEXT[place] ^ 1, TEXT[place] ^ 128} - {TEXT[place]}:
            journal = parse(TEXT[:place] + bytes([byte]) + TEXT[place + 1 :], FILE)
            lost = [index for index, digest in PIECES if journal.pieces.get(index) != digest]
            assert place < len(HEAD) or journal.owner == STRANGER
            assert len(lost) <= (place >= len(HEAD)) * (1 + (byte in b"0123456789")), (place, byte)
            assert all(0 <= index <= 5 and len(digest) == 32 for index, digest in journal.pieces.items())


@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_read_without_harm(garbage):
    assert parse(garbage, FILE).pieces == {}
    assert list(parse(TEXT + garbage, FILE).pieces.items())[: len(PIECES)] == PIECES
    assert parse(HEAD + garbage + b"".join(LINES), FILE).pieces == dict(PIECES)


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
def test_a_first_line_that_is_not_for_this_file_tells_nothing_of_who_writes(change):
    """Whose journal it is, its name has said; what its lines are worth, the bytes will."""
    head = {**json.loads(HEAD), **change}
    journal = parse(json.dumps(head).encode() + b"\n" + b"".join(LINES), FILE)
    assert (journal.owner, journal.pieces) == (Owner(), dict(PIECES))


@pytest.mark.parametrize(
    "line",
    [
        b'{"i":-1,"xxh3":"%s"}\n' % (b"a" * 32),
        b'{"i":6,"xxh3":"%s"}\n' % (b"a" * 32),
        b'{"i":9999999999,"xxh3":"%s"}\n' % (b"a" * 32),
        b'{"i":true,"xxh3":"%s"}\n' % (b"a" * 32),
        b'{"i":1.0,"xxh3":"%s"}\n' % (b"a" * 32),
        b'{"i":1,"xxh3":"../x"}\n',
        b'{"i":1,"sha256":"%s"}\n' % (b"a" * 64),
        b'{"i":1}\n',
        b"[]\n",
        b"9" * 5000 + b"\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_hostile_line_is_passed_over_wherever_it_stands(line):
    assert parse(HEAD + line + b"".join(LINES), FILE).pieces == dict(PIECES)
    assert parse(line + TEXT + line + piece_line(4, "c" * 32), FILE).pieces == {**dict(PIECES), 4: "c" * 32}


def test_a_journal_that_is_nothing_but_malice_is_read_in_no_time():
    """What is not a line is not parsed: here each would be tried, and fail, by itself."""
    begun = time.process_time()
    assert parse(b"[\n" * (JOURNAL_LIMIT // 8), FILE).pieces == {}
    assert time.process_time() - begun < 2


def test_a_line_that_was_taken_back_names_nothing():
    place = parse(TEXT, FILE).places[3]
    assert TEXT[place:].startswith(LINES[2])
    taken = TEXT[:place] + TAKEN_BACK + TEXT[place + 1 :]
    assert parse(taken, FILE).pieces == {index: digest for index, digest in PIECES if index != 3}


def test_flushed_is_what_stands_before_the_place_that_a_later_line_tells():
    upto = len(HEAD + LINES[0] + LINES[1])
    assert parse(TEXT, FILE).flushed_pieces == {}
    for at in (upto, len(TEXT)):
        marked = TEXT[:at] + flushed_line(upto) + TEXT[at:]
        assert parse(marked, FILE).flushed_pieces == dict(PIECES[:2])
        assert parse(marked, FILE).pieces == dict(PIECES)
    named_anew = TEXT + flushed_line(len(TEXT)) + piece_line(0, "c" * 32)
    assert 0 not in parse(named_anew, FILE).flushed_pieces


def test_nothing_is_flushed_by_a_line_before_its_own():
    assert parse(HEAD + flushed_line(10**8) + b"".join(LINES), FILE).flushed_pieces == {}


@given(st.sets(st.integers(0, 5)), st.sets(st.integers(0, 5)))
def test_a_journal_made_anew_says_what_it_was_made_of(named, flushed):
    pieces = {index: piece_digest(b"%d" % index) for index in named}
    journal = parse(text_of(FILE, STRANGER, pieces, dict.fromkeys(flushed)), FILE)
    assert (journal.owner, journal.pieces) == (STRANGER, pieces)
    assert set(journal.flushed_pieces) == named & flushed


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
