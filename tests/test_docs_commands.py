"""Every command that the documents show is one that can be given: it exists, and so do its options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from provision.cli import cli

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def shown() -> list[tuple[str, str]]:
    """(page and line, command) for each line of a console or shell block that runs provision."""
    found, is_block = [], False
    for page in PAGES:
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
            is_block ^= line.strip().startswith("```")
            match = re.match(r"(?:\$ )?(provision [a-z]+.*)", line.strip())
            if is_block and match:
                found.append((f"{page.name}:{number}", match[1]))
    return found


@pytest.mark.parametrize(("place", "line"), shown(), ids=[place for place, _ in shown()])
def test_a_command_of_the_documents_can_be_given(place, line):
    words = shlex.split(re.split(r" +# | && | &$| \|", line)[0], comments=True)[1:]
    command: click.Command = cli
    context = click.Context(cli, info_name="provision")
    while isinstance(command, click.Group):
        command, name = command.get_command(context, words[0]), words.pop(0)
        assert command is not None, f"{place}: there is no `{name}`"
        context = click.Context(command, info_name=name, parent=context)
    command.make_parser(context).parse_args(args=[word for word in words if word not in {"...", "…"}])


def test_there_are_many_of_them():
    assert len(shown()) > 25
