"""The report of a verification as its readers meet it in a terminal, an entrypoint's log, and a program."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import runner_bed
from report_material import HIGH, HOSTILE, UNET, WHERE, all_well, everything, found, golden, locks, lost

from provision.cli import run
from provision.lock import Lock
from provision.report.advice import NOTHING_GIVEN, Commands
from provision.report.document import verification_document
from provision.report.findings import verification_lines
from provision.report.paint import Paint
from provision.report.wording import damage_text, verdict
from provision.verification.findings import Mode, Note, State, Verification

PLAIN = Paint(enabled=False)


def text_of(verification: Verification, commands: Commands = NOTHING_GIVEN, locked: Sequence[Lock] = ()) -> str:
    return "\n".join(verification_lines(verification, PLAIN, commands, locked)) + "\n"


def test_text_is_as_it_was_found_good():
    assert text_of(everything(), WHERE, locks()) == golden("everything.txt")


def test_the_document_is_as_it_was_found_good():
    assert json.dumps(verification_document(everything()), indent=2) + "\n" == golden("everything.json")


def test_an_entrypoints_log_says_first_which_volume_and_how_it_was_looked_at():
    assert text_of(all_well()).splitlines()[0] == (
        "/runpod-volume: quick verification: sizes, headers and receipts; no weights were read"
    )


def test_what_was_passed_over_is_not_called_read():
    whole = all_well(mode=Mode.FULL)
    young, resumed = (replace(whole, notes=(Note(kind=kind, text="2 files"),)) for kind in ("max-age", "resumed"))
    absent = replace(lost(1), mode=Mode.FULL)

    assert text_of(whole).splitlines()[0] == "/runpod-volume: full verification: every byte was read"
    for partly in (young, resumed, absent, replace(whole, unread=1)):
        assert "not every byte was read" in text_of(partly).splitlines()[0]


def test_a_good_volume_ends_with_one_plain_sentence():
    assert text_of(all_well()).splitlines()[-1] == "all 14 files as promised"
    assert text_of(all_well(1)).splitlines()[-1] == "the one file is as promised"


def test_a_fill_of_one_file_has_one_file(tmp_path, capsys):
    scene = runner_bed.scene_in(tmp_path)
    for flags in ([], ["--dry-run"]):
        assert run(["fill", str(scene.lock), "--frozen", "--volume", str(scene.volume), *flags]) == 0
        assert capsys.readouterr().out.splitlines()[-1].startswith("1 file: ")


def test_one_is_singular_and_two_are_plural():
    one = Verification(volume="v", mode=Mode.FULL, findings=(*lost(1).findings, *all_well(13).findings))
    three = Verification(volume="v", mode=Mode.FULL, findings=(*lost(3).findings, *all_well(11).findings))

    assert verdict(one) == "1 of 14 files is not as promised"
    assert verdict(three) == "3 of 14 files are not as promised"
    assert "p/m: 1 file missing, 1 kB  ->" in text_of(one)
    assert "p/m: 3 files missing, 3 kB  ->" in text_of(three)


def test_nothing_promised_is_not_called_good_or_bad():
    assert verdict(Verification(volume="v", mode=Mode.FULL, findings=())) == "no files were promised"


def test_what_was_not_looked_at_is_never_counted_as_good():
    assert verdict(replace(all_well(3), unread=2)) == "3 of 5 files are as promised; 2 files were not looked at"


def test_a_file_that_nobody_promised_is_not_one_of_those_promised():
    stray = found("", "", ("old.ckpt", 5), State.UNEXPECTED)

    told = verdict(replace(all_well(2), findings=(*all_well(2).findings, stray)))

    assert told == "all 2 files as promised; 1 file that nobody promised"


def test_ten_thousand_missing_files_are_counted_not_listed():
    lines = verification_lines(lost(10_000), PLAIN)

    assert len(lines) < 30
    assert "p/m: 10,000 files missing, 10.0 MB  -> provision fill p" in lines
    assert "  … and 9,980 more" in lines
    assert lines[-1] == "10,000 of 10,000 files are not as promised"
    assert len(verification_document(lost(10_000))["files"]) == 10_000


def test_twenty_files_are_all_named():
    assert not any("more" in line for line in verification_lines(lost(20), PLAIN))


def test_what_to_run_can_be_pasted_for_the_same_volume():
    assert "-> provision fill wan22-i2v --volume /runpod-volume" in text_of(everything(), WHERE)


def test_the_worst_is_told_first():
    states = [State.UNPROVEN, State.UNEXPECTED, State.UNREADABLE, State.HEADER, State.DIGEST, State.SIZE, State.MISSING]
    findings = tuple(found("p", "m", (f"models/{state}", 1), state) for state in states)

    lines = verification_lines(replace(lost(1), findings=findings), PLAIN)

    assert [line.split()[0] for line in lines if "models/" in line] == [str(state) for state in reversed(states)]


def test_a_model_that_was_not_looked_at_to_its_end_says_how_much_of_it():
    (lock,) = locks()[1:]
    first = found("images", "sdxl", (UNET, 5_135_149_760), State.MISSING)
    stopped = Verification(volume="v", mode=Mode.FULL, findings=(first,), unread=4)

    lines = verification_lines(stopped, PLAIN, locks=(lock,))

    assert lines[2].split()[:5] == ["images", "sdxl", "0", "of", "3"]
    assert lines[2].endswith("  1 missing, 2 not looked at")
    assert lines[3].split()[:5] == ["images", "vad", "0", "of", "2"]
    assert lines[3].endswith("  2 not looked at")


def test_damaged_bytes_are_named_by_their_first_and_last():
    piece = found("p", "m", ("a", 14_294_967_296), State.DIGEST, damaged=((1_073_741_824, 1_090_519_040),))
    many = replace(piece, damaged=tuple((n * 10, n * 10 + 1) for n in range(7)))

    assert damage_text(piece) == "bytes 1073741824-1090519039 of 14294967296 are damaged"
    assert damage_text(many) == "bytes 0-0, 10-10, 20-20, 30-30 and 3 more ranges of 14294967296 are damaged"


def test_names_cannot_colour_a_terminal_or_begin_a_line():
    lines = verification_lines(everything(), PLAIN)

    assert all(line.isprintable() for line in lines)
    assert sum(HOSTILE in line for line in lines) == 1


def test_without_colours_no_escape_is_written_and_with_them_the_words_are_the_same():
    import re

    coloured = "\n".join(verification_lines(everything(), Paint(enabled=True), WHERE, locks()))

    assert "\033[31m" in coloured
    assert re.sub(r"\033\[\d+m", "", coloured) + "\n" == golden("everything.txt")


def test_a_long_name_does_not_push_what_is_wrong_out_of_sight():
    lines = verification_lines(everything(), PLAIN)
    at = next(index for index, line in enumerate(lines) if HIGH in line)

    assert lines[at + 1 : at + 3] == [
        "             promised aaaaaaaaaaaa…, found 9f9f9f9f9f9f…",
        "             bytes 1073741824-1090519039, 14280000000-14294967295 of 14294967296 are damaged",
    ]


def test_a_document_only_gained_fields():
    document = verification_document(everything())

    assert list(document)[:6] == ["schema", "ok", "volume", "mode", "counts", "files"]
    before = ["project", "model", "target", "state", "expected", "actual", "detail"]
    assert all(list(file)[:7] == before for file in document["files"])
    assert document["files"][0]["damaged"] == [[1_073_741_824, 1_090_519_040], [14_280_000_000, 14_294_967_296]]
    assert document["unread"] == 1
