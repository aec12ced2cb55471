"""The parts of the attendant: its pace, its account, its outcome, its marker."""

from __future__ import annotations

import base64
import gzip
import json
import os
from dataclasses import replace

import pytest
from attendant_bed import HOSTILE, LEASE, NOW, AttendantBed, running

from provision.errors import ExitCode, PodError
from provision.pods.attendant import marker
from provision.pods.attendant.account import Ending
from provision.pods.attendant.attendance import LINE_LIMIT, _harmless, status_line
from provision.pods.attendant.duty import read_errand
from provision.pods.attendant.marker import Keeper, Marker
from provision.pods.attendant.outcome import Ran, ending, findings, result_lines
from provision.pods.attendant.pace import WINDOW, Pace
from provision.pods.attendant.term import Term
from provision.pods.lease import new_lease
from provision.pods.status import LINE, RESULT_LINE, Phase, read_status, status_document


@pytest.fixture
def bed(tmp_path):
    (tmp_path / "volume").mkdir()
    bed = AttendantBed(tmp_path)
    with bed.service:
        yield bed


def test_the_pace_is_of_the_last_seconds_only() -> None:
    pace = Pace()
    for second in range(100):
        pace.add(second, 1_000_000 * min(second, 50))
    assert pace.rate == 0.0
    for second in range(100, 100 + int(WINDOW) + 1):
        pace.add(second, 50_000_000 + 7000 * (second - 99))
    assert pace.rate == pytest.approx(7000)


def test_the_pace_of_work_that_went_back_is_nothing_and_not_negative() -> None:
    pace = Pace()
    assert pace.rate == 0.0
    pace.add(1, 500)
    pace.add(2, 100)
    assert pace.rate == 0.0


def test_the_term_is_over_when_either_clock_says_so(bed) -> None:
    term = Term(bed.duty)
    assert term.left == 4 * 3600
    bed.now, bed.ticks = NOW - 3600, 3600.0  # set back
    assert term.left == 3 * 3600
    bed.now = NOW + 2 * 3600  # set forth
    assert term.left == 2 * 3600
    bed.ticks = 5 * 3600.0
    assert term.left == 0


def test_the_account_follows_the_progress_file(bed) -> None:
    file = bed.work / "fill.progress.json"
    bed.account.enter(Phase.FILLING)
    for bed.ticks, done in ((0.0, 0), (10.0, 5000)):
        document = {"total": 10_000, "done": done, "finished": 1, "running": [{"name": HOSTILE, "size": 9, "done": 4}]}
        file.write_text(json.dumps(document))
        bed.account.sample(file)
    status = bed.account.status()

    assert (status.total, status.done, status.rate, status.finished) == (10_000, 5000, 500.0, 1)
    assert status.running == running((HOSTILE, 9, 4))
    file.write_text("{")
    bed.account.sample(file)
    bed.account.sample(bed.work / "absent")
    assert bed.account.status() == status


def ran(name: str, code: int, document: dict | None = None, *said: str) -> Ran:
    return Ran(name=name, code=code, seconds=1.0, document=document, said=said)


ERROR = {"message": "the hub is not reached", "hint": "again", "exit_code": 6}


@pytest.mark.parametrize(
    ("fill", "verify", "code", "error"),
    [
        (ran("fill", 0), ran("verify", 0), 0, ""),
        (None, ran("verify", 0), 0, ""),
        (ran("fill", 6, {"files": [{"error": ERROR}, {}]}), ran("verify", 3), 6, "the hub is not reached"),
        (ran("fill", 6, {"files": [{"error": ERROR}] * 3}), None, 6, "the hub is not reached (2 more files)"),
        (ran("fill", 6, {"ok": False, "error": ERROR}), ran("verify", 0), 6, "the hub is not reached"),
        (ran("fill", 0), ran("verify", 3, {"counts": {"ok": 7, "missing": 2}}), 3, "2 of 9 files are not as promised"),
        (ran("fill", 7, None, "error: the volume is full", "hint: grow it"), None, 7, "the volume is full"),
        (ran("fill", -9), None, 8, "provision fill was killed in the pod by signal 9"),
        (ran("fill", 1, None, "Traceback"), None, 1, "provision fill has failed"),
    ],
)  # fmt: skip
def test_what_went_wrong_first_decides(fill, verify, code, error) -> None:
    assert ending(fill, verify).exit_code == code
    assert ending(fill, verify).error == error


def test_a_result_travels_in_lines_or_not_at_all() -> None:
    document = json.dumps({"noise": base64.b64encode(os.urandom(30_000)).decode()}).encode()
    lines = result_lines(document)
    parts = [line.removeprefix(RESULT_LINE).split(" ") for line in lines]

    assert len(lines) > 2
    assert all(len(line) <= 4096 for line in lines)
    assert [number for number, _ in parts] == [f"{at}/{len(lines)}" for at in range(1, len(lines) + 1)]
    assert gzip.decompress(base64.b64decode("".join(part for _, part in parts))) == document
    assert result_lines(os.urandom(2_000_000)) == []


def test_a_status_line_is_short_whatever_is_in_it(bed) -> None:
    for _ in range(50):
        bed.account.note("日本" * 1000)
    bed.show(Phase.FILLING, running=running(*((f"{number}{'日' * 1000}", 9, 1) for number in range(30))))
    line = status_line(status_document(bed.account.status()))

    assert len(line) <= LINE_LIMIT
    assert line.isascii()
    assert read_status(line[len(LINE) :]).phase is Phase.FILLING

    bed.end(Ending(exit_code=7, error="🐍日" * 1000, hint="日" * 2000))
    line = status_line(status_document(bed.account.status()))
    assert len(line) <= LINE_LIMIT
    last = read_status(line[len(LINE) :])
    assert (last.exit_code, last.error[:2], last.hint[:2]) == (7, "🐍日", "日日")


def test_what_a_command_says_cannot_pass_for_a_word_of_ours() -> None:
    assert not _harmless("provision-status: {}").startswith("provision-")
    assert _harmless("a\x1b[2Jb\rc") == "a [2Jb c"
    assert _harmless("token hf_secretsecretsecret") == "token ***"


def test_the_worst_files_are_told_and_no_more_than_a_few() -> None:
    files = [{"target": HOSTILE, "state": "missing" if number % 2 else "ok", "detail": ""} for number in range(100)]
    found = findings({"files": files})
    assert len(found) == 20
    assert {file["state"] for file in found} == {"missing"}
    assert findings(None) == []


def test_a_marker_comes_back_as_it_was(bed) -> None:
    bed.end(Ending(exit_code=3, error="two", hint="again"))
    status = bed.account.status()
    Marker(bed.duty.volume, LEASE).write(marker.status_bytes(status), b"{}")

    assert Marker(bed.duty.volume, LEASE).read() == (status, b"{}")
    assert Marker(bed.duty.volume, LEASE + "x").read() is None
    (bed.work / f"volume/.provision/jobs/{LEASE}.json").write_text("{")
    assert Marker(bed.duty.volume, LEASE).read() is None


def test_of_many_jobs_the_last_are_kept_and_strangers_left_alone(bed) -> None:
    jobs = bed.work / "volume/.provision/jobs"
    leases = [str(new_lease("p", NOW + number, 10, f"nonce{number:03}")) for number in range(marker.KEPT + 5)]
    for lease in leases:
        Marker(bed.duty.volume, lease).write(marker.status_bytes(bed.account.status()), b"{}")
        (jobs / "mine.json").write_text("")

    names = {path.name for path in jobs.iterdir()}
    assert names == {f"{lease}{end}" for lease in leases[5:] for end in (".json", ".result.json")} | {"mine.json"}


def test_a_volume_that_cannot_keep_it_is_told_once_and_harms_nothing(bed) -> None:
    (bed.work / "volume/.provision").write_text("in the way")
    keeper = Keeper(Marker(bed.duty.volume, LEASE), bed.account.note)
    for _ in range(3):
        keeper.keep(bed.account.status())
        assert keeper.flush(5)

    (note,) = bed.account.status().notes
    assert note.startswith("the status of this job cannot be kept on the volume: ")


def test_a_volume_that_was_taken_away_gets_no_marker(bed) -> None:
    kept = Marker(bed.duty.volume, LEASE)
    kept.write(marker.status_bytes(bed.account.status()), None)
    (bed.work / "volume").rename(bed.work / "elsewhere")
    (bed.work / "volume").mkdir()  # what is under a mount
    keeper = Keeper(kept, bed.account.note)
    keeper.keep(replace(bed.account.status(), done=1))
    assert keeper.flush(5)

    assert list((bed.work / "volume").iterdir()) == []
    assert "taken away" in bed.account.status().notes[0]


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", '{"schema": 2}', '{"schema": 1, "task": "fill", "projects": "x"}']
)
def test_a_job_that_is_not_understood_is_refused(tmp_path, text) -> None:
    if text is not None:
        (tmp_path / "job.json").write_text(text)
    with pytest.raises(PodError) as caught:
        read_errand(tmp_path)
    assert caught.value.exit_code == ExitCode.POD
    assert caught.value.hint
