"""What GitHub makes of a verification: annotations as its runner parses them, a summary as Markdown renders it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from report_material import HIGH, HOSTILE, PLACES, WHERE, all_well, everything, golden, locks, lost

from provision.composition import Misfit, Rule
from provision.lock import dumps
from provision.report.github import annotation_lines, step_summary
from provision.verification.findings import ModelMisfit, Note, State, Verification
from provision.verification.phrases import IN_THE_WAY, KNOWN_DAMAGED

COMMAND = re.compile(r"::(?P<kind>error|warning|notice) (?P<properties>.*?)::(?P<message>.*)", re.DOTALL)
NAMES = st.text(st.sampled_from(",:%=;\r\n<>&`|*_[]()\\\"'#@-/ ") | st.characters())
TAGS = {"h3", "p", "table", "tr", "th", "td", "details", "summary", "ul", "li", "br", "code"}


def annotated(verification: Verification) -> list[tuple[str, dict[str, str], str]]:
    """Kind, properties and message of each line, read as actions/runner does (ActionCommand.TryParseV2)."""
    lines = annotation_lines(verification, locks(), PLACES, WHERE)
    assert not any("\n" in line or "\r" in line for line in lines)
    matches = [COMMAND.fullmatch(line) for line in lines]
    return [(m["kind"], properties(m["properties"]), unescaped(m["message"])) for m in matches]


def properties(text: str) -> dict[str, str]:
    pairs = (pair.split("=", 1) for pair in text.split(","))
    return {name: unescaped(value.replace("%3A", ":").replace("%2C", ",")) for name, value in pairs}


def unescaped(text: str) -> str:
    return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def test_annotations_are_as_they_were_found_good():
    assert "\n".join(annotation_lines(everything(), locks(), PLACES, WHERE)) + "\n" == golden(
        "everything.annotations.txt"
    )


def test_the_summary_is_as_it_was_found_good():
    assert step_summary(everything(), WHERE, locks()) == golden("everything.md")


def test_an_annotation_points_at_the_line_of_the_lock_that_promises_the_file():
    kind, told, message = next(one for one in annotated(everything()) if "digest" in one[1]["title"])

    line = dumps(locks()[0]).splitlines()[int(told["line"]) - 1]
    assert (kind, told["file"]) == ("error", "manifests/wan22-i2v.lock.json")
    assert HIGH in line
    assert message.startswith(HIGH)


def test_an_annotation_points_into_its_own_model_where_two_name_a_file_alike():
    name, lock = "model_index.json", locks()[0]
    one, two = (replace(model, files=(replace(model.files[0], path=name),)) for model in lock.models)
    lock = replace(lock, models=(one, replace(two, files=(replace(two.files[0], target=name),))))
    misfit = Misfit(rule=Rule.SHARD_MISSING, path=name, detail="b")
    wrong = replace(lost(1).findings[0], project=lock.project, model=two.name, target=name)
    found = ModelMisfit(project=lock.project, model=two.name, misfit=misfit)
    verification = replace(lost(1), findings=(wrong,), misfits=(found,))

    commands = [COMMAND.fullmatch(line) for line in annotation_lines(verification, [lock], PLACES)]
    told = [properties(command["properties"]) for command in commands]

    text = dumps(lock).splitlines()
    lines = [(number, line.strip()) for number, line in enumerate(text, 1) if '"model_index.json"' in line]
    assert [line.split(":")[0] for _, line in lines] == ['"path"', '"path"', '"target"']
    assert [one["line"] for one in told] == [str(lines[2][0]), str(lines[1][0])]


def test_a_project_without_a_lock_in_the_repository_is_told_without_a_place():
    told = [told for _, told, _ in annotated(everything()) if "images" in told["title"]]

    assert len(told) == 5
    assert all(set(one) == {"title"} for one in told)


def test_a_good_volume_annotates_nothing():
    assert annotation_lines(all_well(), locks(), PLACES) == []


def test_of_many_faults_github_keeps_ten_and_the_tenth_counts_the_rest():
    told = annotated(lost(10_000))

    assert len(told) == 10
    assert told[-1][2] == (
        "9,991 more in the log and in the summary of this step. 10,000 of 10,000 files are not as promised"
    )


def test_ten_faults_are_all_told():
    told = annotated(lost(10))

    assert len(told) == 10
    assert told[-1][2].startswith("models/9.bin")


def test_real_damage_is_not_hidden_behind_what_is_only_unproven():
    doubts = [replace(finding, state=State.UNPROVEN) for finding in lost(12).findings]
    states = (State.UNEXPECTED, State.SIZE, State.MISSING, State.UNREADABLE)
    damaged = [replace(lost(1).findings[0], state=state) for state in states]
    misfit = ModelMisfit(project="p", model="m", misfit=Misfit(rule=Rule.SHARD_MISSING, path="a", detail="b"))

    told = annotated(replace(lost(1), findings=(*doubts, *damaged), misfits=(misfit,)))

    kinds = [about["title"].partition(":")[0] for _, about, _ in told[:6]]
    assert kinds == ["missing", "size", "unreadable", "shard-missing", "unexpected", "unproven"]


def test_what_was_found_damaged_before_is_told_with_the_damaged():
    doubts = [replace(finding, state=State.UNPROVEN) for finding in lost(12).findings]
    known = replace(doubts[0], target="models/known.bin", detail=KNOWN_DAMAGED)

    _, about, message = annotated(replace(lost(1), findings=(*doubts, known)))[0]

    assert about["title"] == "unproven: p/m"
    assert message.endswith("to do: provision fill p --volume /runpod-volume")


def test_only_what_can_be_run_is_set_as_code_in_the_summary():
    link = replace(lost(1).findings[0], state=State.UNREADABLE, detail=f"/v/x is a symbolic link{IN_THE_WAY}")
    stray = replace(link, state=State.UNEXPECTED, detail="")

    summary = step_summary(replace(lost(1), findings=(link, stray)))

    assert "<p>To do: move it away, then <code>provision fill p</code></p>" in summary
    assert "<p>To do: remove it, or add it to a manifest</p>" in summary


def test_each_kind_has_its_own_ten():
    misfit = Misfit(rule=Rule.SHARD_MISSING, path="a", detail="b", grave=False)
    many = replace(
        lost(20),
        misfits=tuple(ModelMisfit(project="p", model="m", misfit=misfit) for _ in range(20)),
        notes=tuple(Note(kind="k", text=str(number)) for number in range(20)),
    )

    kinds = [kind for kind, _, _ in annotated(many)]

    assert [kinds.count(kind) for kind in ("error", "warning", "notice")] == [10, 10, 10]


@given(NAMES)
def test_any_name_is_one_command_that_says_no_other(name: str):
    verification = lost(1)
    finding = replace(verification.findings[0], target=name, project=name, detail=name)
    files = {name: name}

    (line,) = annotation_lines(replace(verification, findings=(finding,)), (), files)

    assert not set(line) & {"\n", "\r"}
    match = COMMAND.fullmatch(line)
    assert set(properties(match["properties"])) == {"file", "title"}
    assert properties(match["properties"])["file"] == name


class Rendered(HTMLParser):
    """What a browser would make of the Markdown: tags, attributes and text."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.code = ""
        self._inside: list[str] = []
        self.feed(MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(markdown))

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self._inside += [tag] if tag != "br" else []

    def handle_endtag(self, tag):
        assert self._inside.pop() == tag

    def handle_data(self, data):
        self.text += data
        self.code += data if "code" in self._inside else ""


def test_the_summary_shows_hostile_names_as_text():
    shown = Rendered(step_summary(everything(), WHERE))

    assert shown.tags == TAGS
    assert shown.attributes <= {"align", "open"}
    assert HOSTILE in shown.code


@given(NAMES)
def test_no_name_becomes_markup(name: str):
    plain, hostile = (
        replace(
            everything(),
            volume=text,
            findings=tuple(replace(f, target=text, detail=text) for f in everything().findings),
            notes=(Note(kind="k", text=text),),
        )
        for text in ("name", name)
    )

    shown = Rendered(step_summary(hostile))

    assert shown.tags == Rendered(step_summary(plain)).tags
    assert shown.attributes <= {"align", "open"}


@pytest.mark.parametrize("name", ["@everyone #1 https://127.0.0.1 www.a.b", "```\n# head\n\n- x", "a\n\n<b>x</b>"])
def test_what_github_would_link_or_format_stands_in_code(name: str):
    verification = lost(1)
    finding = replace(verification.findings[0], target=name)

    shown = Rendered(step_summary(replace(verification, findings=(finding,))))

    assert name.replace("\n", "\\x0a") in shown.code


def test_a_summary_stays_below_what_github_takes():
    findings = tuple(
        replace(finding, project=f"p{number % 3000}", target=f"{'long/' * 100}{number}")
        for number, finding in enumerate(lost(30_000).findings)
    )

    summary = step_summary(replace(lost(1), findings=findings))

    assert 500_000 < len(summary.encode()) < 1_048_576
    assert "left out for want of room" in summary
    Rendered(summary)
