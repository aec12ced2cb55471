"""Progress: plain lines that do not flood a log, bars that add up."""

from __future__ import annotations

import io
import re

import pytest

from provision.progress import LINE_INTERVAL, Bars, Lines, count_text, duration_text, size_text


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def a_fill_of_one_file():
    """It has 1,000,000 bytes; what is written, the clock, and who writes."""
    written: list[str] = []
    clock = Clock()
    lines = Lines(written.append, clock)
    lines.begin("fill", 1_000_000)
    return written, clock, lines, lines.task("a", 1_000_000)


def test_lines_come_at_most_every_ten_seconds_and_say_how_long_it_takes():
    written, clock, lines, task = a_fill_of_one_file()
    for _ in range(100):
        clock.now += LINE_INTERVAL / 20
        task.advance(10_000)
    lines.end()

    assert written[0] == "fill: 1.0 MB"
    assert written[1] == "fill: 200 kB of 1.0 MB (20 %), 20 kB/s, 40 s left"
    assert len(written) == 1 + 5 + 1


def test_what_lay_there_is_progress_and_no_speed():
    written, clock, lines, task = a_fill_of_one_file()
    clock.now += LINE_INTERVAL
    task.reuse(500_000)
    clock.now += LINE_INTERVAL
    task.advance(100_000)
    lines.end()

    assert written[1:] == [
        "fill: 500 kB of 1.0 MB (50 %), 500 kB of it already there",
        "fill: 600 kB of 1.0 MB (60 %), 500 kB of it already there, 10 kB/s, 40 s left",
        "fill: 600 kB of 1.0 MB (60 %), 500 kB of it already there, 10 kB/s",
    ]


def test_what_lay_there_counts_no_more_either_when_its_file_begins_again():
    written: list[str] = []
    lines = Lines(written.append, Clock())
    lines.begin("fill", 100)
    task = lines.task("a", 100)
    task.reuse(60)
    task.advance(30)
    task.restart()
    lines.end()

    assert written[-1] == "fill: 0 B of 100 B (0 %)"


def test_what_begins_again_is_not_counted_twice():
    written: list[str] = []
    lines = Lines(written.append, Clock())
    lines.begin("fill", 100)
    task = lines.task("a", 100)
    task.advance(60)
    task.restart()
    task.advance(100)
    lines.end()

    assert written[-1].startswith("fill: 100 B of 100 B (100 %)")


def test_a_note_is_told_at_once():
    written: list[str] = []
    lines = Lines(written.append, Clock())
    lines.task("a", 1).note("a: cut; trying again in 1 s")

    assert written == ["a: cut; trying again in 1 s"]


def test_bars_add_up_and_reuse_their_rows():
    screen = io.StringIO()
    bars = Bars(screen)
    bars.begin("fill", 300)
    for name in ("models/one.safetensors", "models/two.safetensors", "models/three.safetensors"):
        task = bars.task(name, 100)
        task.advance(40)
        task.restart()
        task.advance(100)
        task.finish()
    bars.end()

    assert bars._rows == 1
    assert "300/300" in screen.getvalue()


def test_bars_move_after_what_lay_there_and_do_not_count_it_as_speed(monkeypatch):
    clock, screen = Clock(), io.StringIO()
    monkeypatch.setattr("tqdm.std.time", clock)
    bars = Bars(screen)
    bars.begin("fill", 1_000_000_000)
    task = bars.task("a", 1_000_000_000)
    clock.now += 1
    task.reuse(500_000_000)
    shown = []
    for more in (task.advance, task.advance, task.reuse, task.advance):
        clock.now += 1
        more(10_000_000)
        shown.append(screen.getvalue().rpartition("fill:")[2])

    assert [text.split("%")[0].strip() for text in shown] == ["51", "52", "53", "54"]
    assert {text for each in shown for text in re.findall(r"[\d.]+.?B/s", each)} == {"10.0MB/s"}
    task.restart()
    bars.end()
    assert bars._overall is None
    assert " 0.00/1.00G" in screen.getvalue().rpartition("fill:")[2]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_600, "1.0 MB"),
        (14_294_967_296, "14.3 GB"),
        (2 * 10**12, "2.00 TB"),
    ],
)
def test_sizes_are_decimal_as_hubs_and_volumes_count(count: int, text: str):
    assert size_text(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(4.9, "4 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_durations_are_short(seconds: float, text: str):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999"), (309_633, "310 k"), (22_713_728, "22.7 M"), (14_288_491_584, "14.3 B")]
)
def test_counts_are_short(count: int, text: str):
    assert count_text(count) == text


def test_nothing_to_do_is_not_told():
    written: list[str] = []
    lines = Lines(written.append, Clock())
    lines.begin("fill", 0)
    lines.end()

    assert written == []
