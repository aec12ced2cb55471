"""JUnit XML as its readers parse it: valid, one case for each file, and no name can break it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from report_material import HOSTILE, MADE_AT, WHERE, all_well, everything, golden, locks

from provision.report.junit import junit, legible
from provision.verification.findings import Verification

SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).parent / "data/junit-10.xsd"))
"""Of jenkinsci/xunit-plugin, under the MIT licence that it begins with."""

NAMES = st.text(st.characters(codec=None), min_size=1)
"""Any text at all, lone surrogates among it."""


def parsed(verification: Verification) -> etree._Element:
    return etree.fromstring(junit(verification, locks(), MADE_AT, WHERE).encode())


def test_the_report_is_as_it_was_found_good():
    assert junit(everything(), locks(), MADE_AT, WHERE) == golden("everything.xml")


@pytest.mark.parametrize("verification", [everything(), all_well(), replace(all_well(), findings=())])
def test_every_report_is_valid_against_the_schema(verification: Verification):
    SCHEMA.assertValid(parsed(verification))


def test_a_suite_has_what_ants_schema_asks_for_besides():
    for suite in parsed(everything()):
        needed = {"name", "package", "id", "timestamp", "hostname", "tests", "failures", "errors", "time"}
        assert needed <= set(suite.attrib)
        parts = [child.tag for child in suite]
        assert (parts[0], parts[-2:]) == ("properties", ["system-out", "system-err"])
        assert set(parts[1:-2]) == {"testcase"}
        assert all({"name", "classname", "time"} == set(case.attrib) for case in suite.iter("testcase"))


def test_there_is_a_suite_for_each_model_and_a_case_for_each_file():
    root = parsed(everything())

    assert [suite.get("name") for suite in root] == [
        "wan22-i2v/wan2.2-diffusion", "wan22-i2v/wan2.2-rest", "images/sdxl", "images/vad", "nobody",
    ]  # fmt: skip
    targets = {finding.target for finding in everything().findings}
    assert {legible(target) for target in targets} <= {case.get("name") for case in root.iter("testcase")}


def test_what_fails_is_named_by_its_state_or_rule():
    root = parsed(everything())

    assert [failure.get("type") for failure in root.iter("failure")] == [
        "digest", "size", "missing", "header", "unproven", "shard-missing", "unreadable", "unexpected",
    ]  # fmt: skip


def test_counts_are_those_of_the_cases():
    for suite in parsed(everything()):
        assert int(suite.get("tests")) == len(suite.findall("testcase"))
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped"))


def test_a_file_that_was_not_looked_at_is_skipped_not_passed():
    root = parsed(everything())

    (case,) = (skipped.getparent() for skipped in root.iter("skipped"))
    assert case.get("name") == "photonicfusion-sdxl/vae/config.json"


def test_what_may_not_fit_together_passes_and_is_told():
    (suite,) = (suite for suite in parsed(everything()) if suite.get("name") == "images/vad")
    (case,) = suite.xpath("testcase[@name='shard-missing: configuration.json']")

    assert len(case) == 0
    assert "shard-missing: configuration.json: has no tokenizer" in suite.findtext("system-out")


def test_a_report_costs_what_it_holds_however_many_models_there_are():
    """20,000 files of 2,000 models: to go over all files for each model would take half a minute."""
    one = all_well(1).findings[0]
    findings = tuple(replace(one, model=f"m{n % 2000}", target=f"models/{n}") for n in range(20_000))

    began = time.process_time()
    report = junit(replace(all_well(), findings=findings), (), MADE_AT)

    assert report.count("<testsuite ") == 2000
    assert time.process_time() - began < 6


def test_a_hostile_name_comes_back_as_it_is():
    assert HOSTILE in {case.get("name") for case in parsed(everything()).iter("testcase")}


@given(NAMES)
def test_any_name_makes_a_well_formed_report_and_comes_back(name: str):
    finding = replace(everything().findings[0], target=name, detail=name, expected=None)

    root = parsed(replace(all_well(), volume=name, findings=(finding,)))

    assert root.find("testsuite/testcase").get("name") == legible(name)
    assert root.find("testsuite/properties/property").get("value") == legible(name)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn"))))
def test_what_xml_can_hold_is_not_changed(text: str):
    assert legible(text) == text
