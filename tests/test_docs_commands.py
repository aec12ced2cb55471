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


def sections() -> dict[str, str]:
    """What commands.md says of each command, by its name; of a command in a group, with what it says of the group."""
    told, group = {}, ""
    preamble, *parts = re.split(r"(?m)^(?=##+ )", (ROOT / "docs/commands.md").read_text(encoding="utf-8"))
    for part in parts:
        match = re.match(r"(##+) `provision ([a-z ]+[a-z])", part)
        if match:
            group = part if match[1] == "##" else group
            alike = told["pod fill"] if "\n\nThe same, " in part else ""
            told[match[2]] = preamble + group + part + alike
        elif part.startswith("###"):
            told[next(reversed(told))] += part
    return told


SECTIONS = sections()


def leaves(command: click.Command, *names: str) -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [(" ".join(names), command)]
    context = click.Context(command)
    inside = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [leaf for name, one in inside if one is not None for leaf in leaves(one, *names, name)]


@pytest.mark.parametrize(("name", "command"), leaves(cli), ids=[name for name, _ in leaves(cli)])
def test_every_option_is_in_the_documents(name, command):
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            names = "|".join(map(re.escape, option.opts))
            assert re.search(rf"(?<![\w-])(?:{names})(?![\w-])", SECTIONS[name]), f"{name} {option.opts}"
