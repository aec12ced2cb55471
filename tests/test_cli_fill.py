"""`provision fill` and its options, as they are written."""

from __future__ import annotations

import click
import pytest

from provision.cli import run
from provision.cli.fill import _Asked, _connections, command
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
        ["--max-time", "0"],
        ["--shard", "9/8"],
        ["--transport", "torrent"],
    ],
    ids=" ".join,
)
def test_an_option_that_makes_no_sense_is_an_error_of_input(tmp_path, capsys, words):
    assert run(["fill", "--volume", str(tmp_path), *words]) == ExitCode.INPUT
    assert words[0] in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


WIDTHS = {
    "nothing said": ((), (8, 32)),
    "a number": (("--connections", "12"), (12, 12)),
    "a rate that any line can use": (("--max-rate", "200M"), (8, 32)),
    "a rate for half of them": (("--max-rate", "16M"), (4, 16)),
    "a rate for one": (("--max-rate", "300k"), (1, 1)),
    "few to one host": (("--per-host", "3"), (3, 3)),
    "both": (("--connections", "12", "--per-host", "3"), (12, 12)),
    "xet bears four": (("--transport", "xet"), (4, 4)),
}


@pytest.mark.parametrize(("flags", "expected"), WIDTHS.values(), ids=WIDTHS)
def test_a_fill_has_as_many_connections_as_are_asked_for_and_of_use(flags, expected):
    parsed = command.make_context("fill", [*flags]).params
    asked = _Asked(**{key: value for key, value in parsed.items() if key not in {"projects", "manifests"}})
    assert _connections(asked) == expected
