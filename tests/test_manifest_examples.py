"""The manifests we ship, the schema, and the manual are true."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from manifest_text import faults

from provision.manifest import load, matches, parse
from provision.manifest.schema import json_schema

ROOT = Path(__file__).parent.parent
MANUAL = ROOT / "docs" / "manifest.md"
PAGES = [MANUAL, ROOT / "README.md"]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


EXAMPLES = [block for page in PAGES for block in blocks(page, "yaml") if re.match(r"(#.*\n)*project:", block)]


@pytest.mark.parametrize("path", sorted((ROOT / "manifests").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_manifest_that_we_ship_is_sound_and_named_as_its_project(path):
    assert load(path).project == path.stem
    assert path.read_text().startswith("# yaml-language-server: $schema=../docs/manifest.schema.json\n")


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: text[:30])
def test_an_example_of_the_manual_is_sound(text):
    assert parse(text, file="example.yaml").models


def test_the_manual_has_examples():
    assert len(EXAMPLES) >= 2


def test_the_manual_shows_faults_as_they_are_printed():
    broken, printed = blocks(MANUAL, "yaml wrong"), blocks(MANUAL, "text printed")
    assert broken
    for text, lines in zip(broken, printed, strict=True):
        assert faults(text) == [line.replace("manifests/wrong.yaml:", "m.yaml:") for line in lines.splitlines()]


def test_the_manual_s_table_of_globs_is_true():
    rows = re.findall(r"^\| `([^`]+)` \| (.+?) \| (.+?) \|$", MANUAL.read_text(encoding="utf-8"), re.MULTILINE)
    tables = [(glob, re.findall("`([^`]+)`", yes), re.findall("`([^`]+)`", no)) for glob, yes, no in rows if "`" in no]
    assert len(tables) >= 8
    for glob, meant, others in tables:
        assert all(matches(glob, path) for path in meant), glob
        assert not any(matches(glob, path) for path in others), glob


def test_the_schema_is_the_one_that_the_code_makes():
    command = [sys.executable, "-m", "provision.manifest.schema"]
    made = subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT).stdout
    assert made == (ROOT / "docs" / "manifest.schema.json").read_text(encoding="utf-8") == json_schema()


def shapes() -> list[dict]:
    schema = json.loads(json_schema())
    return [schema, *(shape for shape in schema["$defs"].values() if shape["type"] == "object")]


def test_every_key_is_described_in_schema_and_manual():
    keys = {key: described for shape in shapes() for key, described in shape["properties"].items()}
    manual = MANUAL.read_text(encoding="utf-8")
    assert [key for key, described in keys.items() if not described.get("description")] == []
    assert [key for key in keys if f"`{key}`" not in manual] == []


def test_the_schema_refuses_what_it_does_not_know():
    assert [shape for shape in shapes() if shape["additionalProperties"] is not False] == []


def test_reading_no_manifest_loads_no_yaml():
    code = "import sys, provision.manifest; print('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
