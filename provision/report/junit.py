"""JUnit XML: a verification as the test reports of GitLab, Jenkins, GitHub's reporters and others read it.

Suites are models, cases are files, and what does not fit together are cases of their own. Valid against Jenkins'
`junit-10.xsd` (jenkinsci/xunit-plugin), and with all that Ant's schema asks for besides (windyroad/JUnit-Schema): the
host is `localhost`, which that schema wants where none is told, and no case took any time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from provision.progress import size_text
from provision.report.advice import NOTHING_GIVEN, remedy
from provision.report.tally import unread_files
from provision.report.wording import MEANING, misfit_advice, owner, reading_text, verdict, wrong_parts
from provision.verification.findings import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from provision.lock import Lock, LockedModel
    from provision.report.advice import Commands
    from provision.verification.findings import Finding, ModelMisfit, Verification

_RANGES = 1000
_ILLEGAL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What XML 1.0 cannot hold (§2.2 Char), what it advises against, and the carriage return, which readers change."""


def junit(
    verification: Verification, locks: Sequence[Lock], made_at: datetime, commands: Commands = NOTHING_GIVEN
) -> str:
    """The whole document. `locks` name the files that were not looked at; `made_at` is in UTC."""
    suites = _Suites(verification, made_at, commands)
    for finding in verification.findings:
        suites.add_finding(finding)
    for found in verification.misfits:
        suites.add_misfit(found)
    for project, model, file in unread_files(verification, locks):
        suites.add_unread(project, model, file.target)
    suites.describe(locks)
    ET.indent(suites.root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites.root, encoding="unicode") + "\n"


def legible(text: str) -> str:
    r"""`text` as XML can hold it: what it cannot is written `\x1b`; all else comes back from a reader as it is."""
    return _ILLEGAL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


class _Suites:
    """Grows the document. The schemas want a suite's parts in this order: properties, cases, output."""

    def __init__(self, verification: Verification, made_at: datetime, commands: Commands) -> None:
        self._verification, self._made_at, self._commands = verification, made_at, commands
        self._suites: dict[tuple[str, str], ET.Element] = {}
        self._doubts: dict[tuple[str, str], list[str]] = {}
        self._head = f"{verification.volume}: {reading_text(verification)}"
        self._end = [*(f"note: {note.text}" for note in verification.notes), verdict(verification)]
        self.root = ET.Element("testsuites")

    def add_finding(self, finding: Finding) -> None:
        case = self._case(finding.project, finding.model, finding.target)
        if finding.state is State.OK:
            return
        parts = wrong_parts(finding, _RANGES)
        message = f"{finding.state.value}: {'; '.join(parts) or MEANING[finding.state]}"
        run = self._commands.advice(remedy(finding), finding.project)
        self._fail(case, finding.state, message, [*parts, f"to do: {run}"])

    def add_misfit(self, found: ModelMisfit) -> None:
        """A grave one fails; another is a case that passes, and is told in the suite's output."""
        misfit = found.misfit
        case = self._case(found.project, found.model, f"{misfit.rule}: {misfit.path}")
        if misfit.grave:
            self._fail(case, misfit.rule, misfit.detail, [misfit.detail, f"to do: {misfit_advice(found)}"])
        else:
            told = f"{misfit.rule}: {misfit.path}: {misfit.detail}"
            self._doubts.setdefault((found.project, found.model), []).append(told)

    def add_unread(self, project: str, model: str, target: str) -> None:
        ET.SubElement(self._case(project, model, target), "skipped")

    def describe(self, locks: Sequence[Lock]) -> None:
        """Where each model comes from, how many cases ended how, and what is to be said besides."""
        models = {(lock.project, model.name): model for lock in locks for model in lock.models}
        for number, (key, suite) in enumerate(self._suites.items()):
            suite.set("id", str(number))
            suite.set("tests", str(len(suite.findall("testcase"))))
            suite.set("failures", str(len(suite.findall("testcase/failure"))))
            suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
            self._properties(suite[0], models.get(key))
            said = [self._head, *self._doubts.get(key, ()), *self._end]
            ET.SubElement(suite, "system-out").text = legible("\n".join(said))
            ET.SubElement(suite, "system-err")

    def _properties(self, properties: ET.Element, model: LockedModel | None) -> None:
        facts = {"volume": self._verification.volume, "mode": self._verification.mode.value}
        if model is not None:
            facts |= {"source": model.source, "commit": model.commit or model.revision, "size": size_text(model.size)}
            facts |= {"license": model.license} if model.license else {}
        for name, value in facts.items():
            ET.SubElement(properties, "property", name=name, value=legible(value))

    def _case(self, project: str, model: str, name: str) -> ET.Element:
        names = owner(project, model)
        attributes = {"classname": names.replace("/", "."), "name": legible(name), "time": "0"}
        return ET.SubElement(self._suite(project, model), "testcase", attributes)

    def _suite(self, project: str, model: str) -> ET.Element:
        suite = self._suites.get((project, model))
        if suite is None:
            name = owner(project, model)
            stamp = self._made_at.strftime("%Y-%m-%dT%H:%M:%S")  # Ant's schema allows no zone
            attributes = {"name": name, "package": name, "hostname": "localhost", "timestamp": stamp, "time": "0"}
            suite = ET.SubElement(self.root, "testsuite", attributes | {"errors": "0"})
            ET.SubElement(suite, "properties")
            self._suites[project, model] = suite
        return suite

    def _fail(self, case: ET.Element, kind: str, message: str, lines: Iterable[str]) -> None:
        failure = ET.SubElement(case, "failure", type=str(kind), message=legible(message))
        failure.text = legible("\n".join(lines))
