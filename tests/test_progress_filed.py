"""Progress in a file: a document that is whole at any moment, for programs that look at it when they like."""

from __future__ import annotations

import json

import pytest
import runner_bed

from provision.cli import run
from provision.errors import ExitCode
from provision.progress import Both, End, Lines
from provision.progress.filed import NOTES, Filed


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_it_says_what_is_done_and_what_is_under_way(tmp_path, clock) -> None:
    file = tmp_path / "progress.json"
    filed = Filed(str(file), clock)
    filed.begin("fill", 100)
    one, two = filed.task("a", 60), filed.task("b", 40)
    one.advance(60)
    one.finish()
    two.advance(15)
    two.reuse(20)
    two.restart()
    two.note("again")
    two.reuse(3)
    clock.now += 1
    two.advance(2)

    assert json.loads(file.read_text()) == {
        "schema": 1, "label": "fill", "total": 100, "done": 65, "reused": 3, "began": 1000.0, "now": 1001.0,
        "ended": False, "result": None, "finished": 1, "failed": 0,
        "running": [{"name": "b", "size": 40, "done": 5}], "notes": ["again"],
    }  # fmt: skip
    filed.end()
    assert json.loads(file.read_text())["ended"]
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


def test_only_what_came_to_a_good_end_is_finished(tmp_path, clock) -> None:
    filed = Filed(str(tmp_path / "p.json"), clock)
    filed.begin("fill", 30)
    for end in End:
        filed.task(end, 10).finish(end)
    filed.end(End.INTERRUPTED)

    document = json.loads((tmp_path / "p.json").read_text())
    assert (document["finished"], document["failed"], document["running"]) == (1, 1, [])
    assert (document["ended"], document["result"]) == (True, "interrupted")


def test_what_all_work_waits_for_is_told_at_once(tmp_path, clock) -> None:
    filed = Filed(str(tmp_path / "p.json"), clock)
    filed.begin("fill", 10)
    filed.note("another fill is at work; waiting for it")
    assert json.loads((tmp_path / "p.json").read_text())["notes"] == ["another fill is at work; waiting for it"]


def test_it_is_written_once_a_second_at_most(tmp_path, clock) -> None:
    file = tmp_path / "progress.json"
    filed = Filed(str(file), clock)
    filed.begin("fill", 10_000)
    task = filed.task("a", 10_000)
    written = set()
    for _ in range(1000):
        clock.now += 0.01
        task.advance(1)
        written.add(file.read_text())
    assert 9 <= len(written) <= 11


def test_a_clock_that_is_set_back_does_not_silence_it(tmp_path, clock) -> None:
    file = tmp_path / "progress.json"
    filed = Filed(str(file), clock)
    filed.begin("fill", 10)
    clock.now -= 500
    filed.task("a", 10).advance(3)
    assert json.loads(file.read_text())["now"] == 500.0


def test_a_file_that_cannot_be_written_any_more_ends_nothing(tmp_path, clock) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    filed = Filed(str(folder / "progress.json"), clock)
    filed.begin("fill", 10)
    (folder / "progress.json").unlink()
    folder.rmdir()
    clock.now += 5
    filed.task("a", 10).advance(3)
    filed.end()


def test_only_the_last_notes_are_kept(tmp_path, clock) -> None:
    filed = Filed(str(tmp_path / "p.json"), clock)
    filed.begin("fill", 1)
    task = filed.task("a", 1)
    for number in range(50):
        task.note(str(number))
    filed.end()
    assert json.loads((tmp_path / "p.json").read_text())["notes"] == [str(number) for number in range(50 - NOTES, 50)]


def test_both_are_told_everything(tmp_path, clock) -> None:
    lines: list[str] = []
    both = Both(Lines(lines.append, clock), Filed(str(tmp_path / "p.json"), clock))
    both.begin("fill", 2_000_000)
    task = both.task("a", 2_000_000)
    task.advance(2_000_000)
    task.note("a note")
    task.restart()
    task.reuse(1_000_000)
    task.finish(End.FAILED)
    both.note("of all")
    both.end(End.FAILED)
    assert lines[:3] == ["fill: 2.0 MB", "a note", "of all"]
    document = json.loads((tmp_path / "p.json").read_text())
    assert (document["reused"], document["failed"], document["result"]) == (1_000_000, 1, "failed")
    assert document["notes"] == ["a note", "of all"]


@pytest.fixture
def scene(tmp_path):
    return runner_bed.scene_in(tmp_path)


@pytest.mark.parametrize(("command", "more"), [("fill", ["--frozen"]), ("verify", ["--full"])])
def test_fill_and_verify_keep_it(scene, tmp_path, capsys, command, more) -> None:
    file = tmp_path / "progress.json"
    words = [command, str(scene.lock), "--volume", str(scene.volume), *more, "--quiet", "--progress-file", str(file)]

    assert run(words) == 0
    document = json.loads(file.read_text())
    assert (document["label"], document["ended"], document["running"]) == (command, True, [])
    assert (document["result"], document["failed"]) == ("ok", 0)
    assert document["done"] == document["total"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("command", "more"), [("fill", ["--frozen"]), ("verify", ["--full"])])
def test_a_file_without_a_folder_is_known_before_work_begins(scene, tmp_path, capsys, command, more) -> None:
    scene.damage()
    file = tmp_path / "absent/progress.json"
    words = [command, str(scene.lock), "--volume", str(scene.volume), *more, "--progress-file", str(file)]

    assert run(words) == ExitCode.INPUT
    assert "cannot be written: No such file" in capsys.readouterr().err
