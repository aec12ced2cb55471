"""The resume table, continued: what stands on the volume before a fill, and which bytes are then asked for.

The file has three pieces, the last one short. The laws are asserted after every row.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace

import pytest
from byte_faults import acts_after, cuts_after, ignores_range
from fill_bed import NOW, SMALL, SMALL_PIECE, THREE, TOKEN, Bed, build, content, file_of, small_pieces
from hub_kinds import HUGGINGFACE, KINDS
from misbehaving_hub import MisbehavingHub, Rule, answers

from provision.digest import piece_digest, piece_span, sha256_of
from provision.errors import ExitCode, UnsafePath, VolumeTrouble
from provision.serve import Folder, Settings
from provision.transfer import fill, width
from provision.transfer.outcome import Done
from provision.volume.files import File
from provision.volume.journal import JOURNAL_VERSION, journal_name, key_of, partial_name
from provision.volume.mount import Volume
from provision.volume.receipts import Receipt, joined, receipt_of
from provision.volume.receipts.writing import ReceiptWriter
from provision.volume.writer import Owner, this_process

FILE = file_of(THREE)
SIZE = FILE.size
WHOLE = None
LIVES = this_process()
DEAD = replace(LIVES, started=1)  # another process has its number now
STRANGER = Owner(boot="00000000-1111-2222-3333-444444444444", pidns=4026531836, pid=7, started=1)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with MisbehavingHub(Folder(build(tmp_path_factory.mktemp("served"), (THREE, SMALL))), Settings(token=TOKEN)) as hub:
        yield hub


@pytest.fixture(autouse=True)
def _pieces(monkeypatch):
    small_pieces(monkeypatch)


@pytest.fixture(params=KINDS, ids=str)
def bed(request, hub, tmp_path):
    hub.rules.clear()
    return Bed(hub=hub, kind=request.param, volume=tmp_path)


@pytest.fixture
def one_bed(hub, tmp_path):
    """Where the hub's kind makes no difference."""
    hub.rules.clear()
    return Bed(hub=hub, kind=HUGGINGFACE, volume=tmp_path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a writer left of a file: the first `length` bytes that are right but for `wrong` offsets, and its journal.

    `pieces` are those that the journal names; `lies` makes it name the digests of the wrong bytes. `flushed`: so many
    of them it calls that. `garbled`: in its place stands something that is none of ours.
    """

    pieces: tuple[int, ...] = ()
    length: int = SIZE
    wrong: tuple[int, ...] = ()
    surplus: bytes = b""
    lies: bool = False
    torn: bool = False
    flushed: int = 0
    garbled: bytes = b""
    version: int = JOURNAL_VERSION
    owner: Owner = DEAD
    writer: str = "0badf00d"
    sha256: str = FILE.sha256

    def on(self, volume) -> None:
        data = bytearray(content(THREE)[: self.length])
        for at in self.wrong:
            data[at] ^= 1
        promise = replace(FILE, sha256=self.sha256)
        named = bytes(data) if self.lies else content(THREE)
        key, folder, state = key_of(promise), volume / "models", volume / ".provision/partials"
        folder.mkdir(exist_ok=True)
        state.mkdir(parents=True, exist_ok=True)
        (folder / partial_name(key, self.writer)).write_bytes(bytes(data) + self.surplus)
        journal = self._journal(promise, named).encode()
        assert self.garbled in journal
        journal = journal.replace(self.garbled, bytes(len(self.garbled)), 1)
        (state / journal_name(key, self.writer)).write_bytes(journal)

    def _journal(self, promise, data) -> str:
        lines = [
            {
                "version": self.version,
                "target": promise.target,
                "sha256": promise.sha256,
                "size": promise.size,
                "piece_size": SMALL_PIECE,
                "owner": self.owner.document(),
            }
        ]
        for index in self.pieces:
            start, end = piece_span(index, SIZE)
            piece = data[start:end]
            digest = {"xxh3": piece_digest(piece)} if self.version == JOURNAL_VERSION else {"sha256": sha256_of(piece)}
            lines.append({"i": index, **digest})
        written = [json.dumps(line, separators=(",", ":")) + "\n" for line in lines]
        written.insert(1 + self.flushed, f'{{"flushed":{len("".join(written[: 1 + self.flushed]))}}}\n')
        text = "".join(written)
        return text + '{"i": 1, "sha' if self.torn else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    left: tuple[Left, ...]
    ranges: tuple[str | None, ...]
    fetched: int
    done: Done = Done.RESUMED


P = SMALL_PIECE
PARTIALS = {
    "nothing": Row(left=(), ranges=(WHOLE,), fetched=SIZE, done=Done.FETCHED),
    "the first piece": Row(left=(Left(pieces=(0,), length=P),), ranges=(f"{P}-{SIZE - 1}",), fetched=SIZE - P),
    "a piece and some bytes that nobody vouches for": Row(
        left=(Left(pieces=(0,), length=P + 5),), ranges=(f"{P}-{SIZE - 1}",), fetched=SIZE - P
    ),
    "a journal whose last line is torn": Row(
        left=(Left(pieces=(0,), torn=True),), ranges=(f"{P}-{SIZE - 1}",), fetched=SIZE - P
    ),
    "the first and the last": Row(left=(Left(pieces=(0, 2)),), ranges=(f"{P}-{2 * P - 1}",), fetched=P),
    "only the last": Row(left=(Left(pieces=(2,)),), ranges=(f"0-{2 * P - 1}",), fetched=2 * P),
    "all of it, never renamed": Row(left=(Left(pieces=(0, 1, 2)),), ranges=(), fetched=0),
    "all of it and more": Row(left=(Left(pieces=(0, 1, 2), surplus=b"surplus"),), ranges=(), fetched=0),
    "a piece that has been damaged": Row(
        left=(Left(pieces=(0, 1, 2), wrong=(P + 7,)),), ranges=(f"{P}-{2 * P - 1}",), fetched=P
    ),
    "a journal whose first line is garbled": Row(
        left=(Left(pieces=(0, 1, 2), garbled=b'"version"'),), ranges=(), fetched=0
    ),
    "a journal of which one piece is garbled": Row(
        left=(Left(pieces=(0, 1, 2), garbled=b'{"i":0,"x'),), ranges=(f"0-{P - 1}",), fetched=P
    ),
    "a journal that names pieces beyond the partial": Row(
        left=(Left(pieces=(0, 1, 2), length=P),), ranges=(f"{P}-{SIZE - 1}",), fetched=SIZE - P
    ),
    "a journal that vouches for wrong bytes": Row(
        left=(Left(pieces=(0, 1), wrong=(7,), lies=True),),
        ranges=(WHOLE,),  # the pieces that came from the hub are not asked for again
        fetched=SIZE,
    ),
    "a partial of another digest": Row(
        left=(Left(pieces=(0, 1, 2), sha256="e" * 64),), ranges=(WHOLE,), fetched=SIZE, done=Done.FETCHED
    ),
    "pieces of a writer elsewhere": Row(
        left=(Left(pieces=(0, 1), owner=STRANGER),), ranges=(f"{2 * P}-{SIZE - 1}",), fetched=SIZE - 2 * P
    ),
    "pieces of two writers": Row(
        left=(Left(pieces=(0,), length=P), Left(pieces=(0, 2), owner=STRANGER, writer="feedbeef")),
        ranges=(f"{P}-{2 * P - 1}",),
        fetched=P,
    ),
}


@pytest.mark.parametrize("row", PARTIALS.values(), ids=PARTIALS)
def test_only_what_nobody_holds_is_fetched(bed, row, monkeypatch):
    monkeypatch.setattr(width, "LOOK", 0.01)  # help comes at once
    for left in row.left:
        left.on(bed.volume)
    result = bed.fill(bed.lock(THREE), connections=3)
    assert result.exit_code == ExitCode.DONE
    assert result.asked(SIZE) == row.ranges
    assert result.fetched == row.fetched
    assert [outcome.done for outcome in result.outcomes] == [row.done]


@pytest.mark.parametrize("owner", [DEAD, STRANGER], ids=["dead", "elsewhere"])
@pytest.mark.parametrize("version", [1, JOURNAL_VERSION + 1])
def test_what_another_release_has_left_is_not_used_and_does_not_stay(one_bed, version, owner):
    """Version 1 named pieces by sha256. That nothing of it is left is a law of every fill."""
    Left(pieces=(0, 1), version=version, owner=owner).on(one_bed.volume)
    result = one_bed.fill(one_bed.lock(THREE))
    assert (result.exit_code, result.asked(SIZE)) == (ExitCode.DONE, (WHOLE,))


def test_a_first_flush_that_fails_costs_only_what_the_killed_fill_had_not_flushed(one_bed, monkeypatch):
    """A network volume fails so now and then, and tells it to whoever flushes next."""
    Left(pieces=(0, 1), length=2 * P, flushed=1, wrong=(P + 7,)).on(one_bed.volume)
    honest, told = File.sync_data, []

    def failing_once(file):
        if file.path.endswith(".partial") and not told:
            told.append(file.path)
            raise VolumeTrouble("lost", hint="again")
        honest(file)

    monkeypatch.setattr(File, "sync_data", failing_once)
    result = one_bed.fill(one_bed.lock(THREE), connections=1)
    assert told
    assert result.exit_code == ExitCode.DONE
    assert {text and text.partition("-")[0] for text in result.asked(SIZE)} <= {str(P), str(2 * P)}


def test_a_resumed_stream_that_is_cut_goes_on_at_its_byte(bed):
    Left(pieces=(0,), length=P).on(bed.volume)
    bed.hub.rules.append(Rule("", cuts_after(1000), times=1, place="cdn"))
    result = bed.fill(bed.lock(THREE), connections=1)
    assert result.ranges()[0] == f"{P}-{2 * P - 1}"
    assert f"{P + 1000}-{2 * P - 1}" in result.ranges()
    assert result.fetched == SIZE - P


def test_a_hub_without_ranges_sends_all_of_it_and_what_is_proven_is_not_written_again(bed):
    Left(pieces=(0,), length=P).on(bed.volume)
    bed.hub.rules.append(Rule("", ignores_range(), place="cdn"))
    result = bed.fill(bed.lock(THREE))
    assert (result.exit_code, result.fetched) == (ExitCode.DONE, SIZE)


@pytest.mark.parametrize("behaviour", [answers(404), cuts_after(0), answers(416)], ids=["refused", "cut", "no ranges"])
def test_a_fill_that_fails_keeps_what_was_proven(one_bed, behaviour):
    Left(pieces=(0,), length=P).on(one_bed.volume)
    one_bed.hub.rules.append(Rule("", behaviour, place="cdn"))
    assert one_bed.fill(one_bed.lock(THREE)).error
    one_bed.hub.rules.clear()
    assert one_bed.fill(one_bed.lock(THREE)).asked(SIZE) == (f"{P}-{SIZE - 1}",)


def test_a_smaller_partial_that_was_never_renamed_is_taken_away(one_bed):
    """A file of one piece has no journal: what is left of it proves nothing, and is no burden either."""
    one_bed.volume.joinpath("models").mkdir()
    name = partial_name(key_of(file_of(SMALL)), "0badf00d")
    one_bed.volume.joinpath("models", name).write_bytes(content(SMALL))
    assert one_bed.fill(one_bed.lock(SMALL)).fetched == file_of(SMALL).size


def stands(bed, data, receipt_of=None):
    """`data` at the final name; with the receipt of `receipt_of`, as a fill before the damage has left it."""
    final = bed.volume / FILE.target
    final.parent.mkdir(exist_ok=True)
    final.write_bytes(data)
    if receipt_of is not None:
        receipt = Receipt(
            target=FILE.target,
            sha256=sha256_of(receipt_of),
            size=len(receipt_of),
            mtime_ns=1,
            proven_at=NOW - 60,
            piece_digests=joined([piece_digest(receipt_of[at : at + P]) for at in range(0, len(receipt_of), P)]),
        )
        with Volume.open(str(bed.volume)) as volume, ReceiptWriter(volume, lambda: NOW) as receipts:
            receipts.add(receipt)


def damaged(at):
    data = bytearray(content(THREE))
    data[at] ^= 1
    return bytes(data)


STANDING = {
    "right, without a receipt": (content(THREE), None, (), Done.KEPT),
    "one byte flipped": (damaged(P + 1), content(THREE), (f"{P}-{2 * P - 1}",), Done.REPAIRED),
    "one byte flipped, without a receipt": (damaged(P + 1), None, (WHOLE,), Done.REPAIRED),
    "cut short": (content(THREE)[: P + 1], content(THREE), (f"{P}-{SIZE - 1}",), Done.REPAIRED),
    "longer": (content(THREE) + b"x", content(THREE), (), Done.REPAIRED),
    "empty": (b"", None, (WHOLE,), Done.REPAIRED),
}


@pytest.mark.parametrize(("data", "receipt", "ranges", "done"), STANDING.values(), ids=STANDING)
def test_what_stands_is_proven_or_repaired(one_bed, data, receipt, ranges, done):
    stands(one_bed, data, receipt)
    result = one_bed.fill(one_bed.lock(THREE))
    assert result.exit_code == ExitCode.DONE
    assert (result.asked(SIZE), [outcome.done for outcome in result.outcomes]) == (ranges, [done])


def test_what_somebody_else_put_there_is_flushed_before_a_receipt_vouches_for_it(one_bed, monkeypatch):
    """A power cut could take it otherwise, and leave the receipt."""
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda fd, honest=os.fsync: (flushed.append(os.fstat(fd).st_ino), honest(fd)))
    stands(one_bed, content(THREE), None)
    assert one_bed.fill(one_bed.lock(THREE)).exit_code == ExitCode.DONE
    receipts = next(one_bed.volume.glob(".provision/receipts/*")).stat().st_ino
    assert flushed.index((one_bed.volume / FILE.target).stat().st_ino) < flushed.index(receipts)


def test_what_is_damaged_loses_its_name_even_when_the_hub_is_away(one_bed):
    stands(one_bed, damaged(5), content(THREE))
    one_bed.hub.rules.append(Rule("", answers(503)))
    assert one_bed.fill(one_bed.lock(THREE)).exit_code == ExitCode.UNAVAILABLE
    assert not (one_bed.volume / FILE.target).exists()
    one_bed.hub.rules.clear()
    assert one_bed.fill(one_bed.lock(THREE)).asked(SIZE) == (f"0-{P - 1}",)


@pytest.mark.parametrize("what", ["folder", "link"])
def test_what_is_no_file_is_refused_and_left_alone(one_bed, what, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    final = one_bed.volume / FILE.target
    final.parent.mkdir()
    final.mkdir() if what == "folder" else final.symlink_to(elsewhere / "x")
    result = one_bed.fill(one_bed.lock(THREE))
    assert type(result.error) is UnsafePath
    assert result.exit_code == ExitCode.VOLUME
    assert result.requests == []
    assert list(elsewhere.iterdir()) == []
    assert final.is_dir() or final.is_symlink()


def test_what_another_fill_has_placed_meanwhile_is_proven_and_not_fetched(one_bed):
    def place():  # after the plan was made, before the turn of the small file comes
        (one_bed.volume / "models" / SMALL).write_bytes(content(SMALL))

    one_bed.hub.rules.append(Rule("", acts_after(1000, place), times=1, place="cdn"))
    result = one_bed.fill(one_bed.lock(THREE, SMALL), connections=1)
    assert [outcome.done for outcome in result.outcomes] == [Done.FETCHED, Done.KEPT]
    assert result.asked(SIZE) == (WHOLE,)


@pytest.mark.parametrize("receipt", ["another fill's", "another version's", "of a file that changed", "none"])
def test_what_another_fill_has_proven_meanwhile_is_read_only_where_no_receipt_speaks_for_it(
    one_bed, monkeypatch, receipt
):
    """It has placed the file and left its receipt after our plan was made, and before our turn came."""
    right = receipt == "another fill's"

    def place():
        stands(one_bed, content(THREE))
        if receipt != "none":
            leave_receipt(one_bed, changed=receipt == "of a file that changed", other=receipt == "another version's")

    carry_out = fill._carry_out
    monkeypatch.setattr(fill, "_carry_out", lambda *words: (place(), carry_out(*words))[1])
    read = bytes_read(monkeypatch, THREE)
    result = one_bed.fill(one_bed.lock(THREE), connections=1)
    assert (result.exit_code, result.requests) == (ExitCode.DONE, [])
    assert [(outcome.done, outcome.reused) for outcome in result.outcomes] == [(Done.KEPT, SIZE)]
    assert sum(read) == (0 if right else SIZE)


def leave_receipt(bed, *, changed, other):
    file = replace(FILE, sha256="e" * 64) if other else FILE
    receipt = receipt_of(file, (bed.volume / FILE.target).stat(), [], NOW)
    with Volume.open(str(bed.volume)) as volume, ReceiptWriter(volume, lambda: NOW) as receipts:
        receipts.add(replace(receipt, mtime_ns=receipt.mtime_ns - changed))


def bytes_read(patch, suffix):
    """How many bytes each reading of a file whose name ends so has got, from now on."""
    read = []
    for name in ("read_at", "read_into"):
        call = getattr(File, name)

        def watched(file, *words, call=call):
            found = call(file, *words)
            if file.path.endswith(suffix):
                read.append(found if isinstance(found, int) else len(found))
            return found

        patch.setattr(File, name, watched)
    return read


def test_a_fill_with_one_connection_reads_nothing_of_what_it_writes(one_bed, monkeypatch):
    read = bytes_read(monkeypatch, ".partial")
    assert one_bed.fill(one_bed.lock(THREE, SMALL), connections=1).exit_code == ExitCode.DONE
    assert read == []


def test_what_a_later_writer_left_of_a_file_that_stands_is_taken_away(one_bed):
    """It began after our look at the folder, and died before its first piece: no journal tells of it."""
    folder = one_bed.volume / "models"
    lock = one_bed.lock(THREE, SMALL)

    def leave():
        for file in (FILE, file_of(SMALL)):
            folder.joinpath(partial_name(key_of(file), "feedbeef")).write_bytes(b"begun")

    one_bed.hub.rules.append(Rule("", acts_after(1000, leave), times=1, place="cdn"))
    assert one_bed.fill(lock).exit_code == ExitCode.DONE  # and no leftovers: a law
    leave()
    assert one_bed.fill(lock).requests == []
