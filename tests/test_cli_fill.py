"""`provision fill` and its options, as they are written."""

from __future__ import annotations

import click
import pytest

from provision.cli import run
from provision.cli.settings import Duration
from provision.errors import ExitCode


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5400), ("1h30m", 5400), ("45s", 45), ("3600", 3600), ("1d", 86_400), ("1d2h3m4s", 93_784), ("2H", 7200)],
)
def test_a_time_is_read_as_people_write_it(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "soon", "1.5h", "-3m", "30m1h", "1 h", "h"])
def test_what_is_no_time_is_refused_with_an_example(text):
    with pytest.raises(click.BadParameter, match="write it as 90m"):
        Duration().convert(text, None, None)


@pytest.mark.parametrize(
    "words",
    [
        ["--connections", "0"],
        ["--connections", "65"],
        ["--per-host", "0"],
        ["--max-rate", "fast"],
        ["--max-time", "soon"],
        ["--shard", "9/8"],
        ["--transport", "torrent"],
    ],
    ids=" ".join,
)
def test_an_option_that_makes_no_sense_is_an_error_of_input(tmp_path, capsys, words):
    assert run(["fill", "--volume", str(tmp_path), *words]) == ExitCode.INPUT
    assert words[0] in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
