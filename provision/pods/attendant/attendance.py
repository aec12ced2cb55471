"""The attendance: a job from its first command to its last reader."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from provision.errors import ExitCode, Interrupted, PodLost, ProvisionError, TimeIsUp, without_secrets
from provision.pods.attendant import outcome
from provision.pods.attendant.account import Account, Ending
from provision.pods.attendant.commands import Command, fill_words, progress_file, verify_words
from provision.pods.attendant.duty import read_errand
from provision.pods.attendant.marker import Keeper, Marker, ended_before, keep_here
from provision.pods.attendant.service import Service
from provision.pods.attendant.term import Term
from provision.pods.job import Task
from provision.pods.status import LINE, Phase, status_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from provision.pods.attendant.duty import Duty, Errand

STARTS = 5
"""A container that was started more often than this will not come to an end by being started again."""

TICK = 0.2
"""Seconds between two looks at a running command."""

TELLING = 10.0
"""Seconds between two status lines, and between two markers."""

MARGIN = 15.0
"""Seconds before the deadline when the work ends, so that the end can still be told; of a short lease a tenth."""

LINE_LIMIT = 8000
"""Characters of a status line: log collectors cut longer ones."""

ERROR = 3000
"""Of these, at most so many are the error, and half as many the hint."""

_PROGRESS = re.compile(r"(fill|verify): \d")
"""A line of progress, as a command without a terminal writes them: the status has the same."""

VIEW = 2.5
"""Seconds that a page which is being looked at has to learn the end, after the renter has learnt it."""


def attend(duty: Duty) -> int:
    """Do the job, serve how it stands, and the result until it is taken or the grace is over; its exit code.

    Raises:
        Interrupted: the platform wants the process to go. What was done stands; the next start resumes.
    """
    marker = Marker(duty.volume, duty.lease)
    before = marker.read()
    starts = max(duty.starts, before[0].starts + 1 if before else 1)
    account = Account(duty, began=min(duty.began, before[0].began if before else duty.began), starts=starts)
    with _service(duty, account) as service:
        _tell_port(duty, account, service.server_port)
        shift = _Shift(duty, account, Keeper(marker, account.note))
        ended = ended_before(duty.work, marker)
        if ended is None:
            shift.work()
        else:
            account.restore(*ended)
            keep_here(duty.work, *ended, account.note)
            shift.tell_end()
        shift.serve_out(service)
    return account.status().exit_code or ExitCode.DONE


def _service(duty: Duty, account: Account) -> Service:
    """At the port that was asked for, or any other where that is taken: the log and the volume tell all as well."""
    try:
        return Service(duty, account)
    except OSError as error:
        account.note(f"port {duty.port} cannot be had: {error.strerror}")
        return Service(replace(duty, port=0), account)


def _tell_port(duty: Duty, account: Account, port: int) -> None:
    """To whoever looks into the folder; without it the log and the volume tell all as well."""
    try:
        (duty.work / "port").write_text(f"{port}\n")
    except OSError as error:
        account.note(f"the status page's port, {port}, cannot be written down: {error.strerror}")


class _Shift:
    """One run of the attendant."""

    def __init__(self, duty: Duty, account: Account, keeper: Keeper) -> None:
        self._duty, self._account, self._keeper = duty, account, keeper
        self._told = duty.ticks() - TELLING
        self._term = Term(duty)
        self._margin = min(MARGIN, self._term.left / 10)
        self._fill: outcome.Ran | None = None
        self._verify: outcome.Ran | None = None

    def work(self) -> None:
        """Run the commands, and end. Raises Interrupted."""
        errand: Errand | None = None
        try:
            if self._account.status().starts > STARTS:
                raise PodLost(
                    f"the pod was started {self._account.status().starts} times and never came to an end",
                    hint="see what it says before it goes: provision pod logs",
                )
            errand = read_errand(self._duty.work)
            self._account.introduce(errand.projects)
            self._run(errand)
            ending = outcome.ending(self._fill, self._verify)
        except TimeIsUp as error:
            ending = Ending(exit_code=ExitCode.POD, error=error.message, hint=error.hint)
        except Interrupted:
            self._keeper.keep(self._account.status())
            self._keeper.flush(1.0)
            raise
        except ProvisionError as error:
            ending = Ending(exit_code=error.exit_code, error=error.message, hint=error.hint)
        self._end(errand, ending)

    def serve_out(self, service: Service) -> None:
        """Go on answering until the renter has the result, the grace is over, or the pod has to be gone."""
        duty = self._duty
        until = duty.ticks() + duty.grace
        while duty.ticks() < until and self._term.left and not duty.is_stopped() and not service.taken.wait(TICK):
            continue
        if service.taken.is_set() and service.is_watched:
            service.viewed.wait(VIEW)

    def tell_end(self) -> None:
        """The status line that says so, and the result, in the log."""
        self._tell()
        for line in outcome.result_lines(self._account.result or b""):
            self._duty.emit(line)

    def _run(self, errand: Errand) -> None:
        if errand.task is Task.FILL:
            self._fill = self._ran("fill", Phase.FILLING, fill_words(self._duty, errand))
        if self._fill is None or self._fill.code in outcome.GOES_ON:
            self._verify = self._ran("verify", Phase.VERIFYING, verify_words(self._duty, errand))
            counts = (self._verify.document or {}).get("counts", {})
            self._account.found(counts, outcome.findings(self._verify.document))

    def _ran(self, name: str, phase: Phase, words: Sequence[str]) -> outcome.Ran:
        duty, account = self._duty, self._account
        progress, said = progress_file(duty, name), list[str]()
        with suppress(OSError):
            progress.unlink(missing_ok=True)  # of a start before this one
        began = duty.ticks()
        account.enter(phase)

        def hear(line: str) -> None:
            said.append(line)
            del said[: -outcome.SAID]
            if not _PROGRESS.match(line):
                account.note(line)
            duty.emit(_harmless(line))

        with Command(words, duty, hear) as command:
            self._tick(progress)
            while (code := command.wait(TICK)) is None:
                self._tick(progress)
        account.sample(progress)
        seconds = duty.ticks() - began
        return outcome.Ran(name=name, code=code, seconds=seconds, document=_document(command.printed), said=tuple(said))

    def _tick(self, progress: Path) -> None:
        if self._duty.is_stopped():
            raise Interrupted("the pod is taken away", hint="run the same command again; it resumes")
        if self._term.left <= self._margin:
            raise TimeIsUp(
                "the pod's deadline came before its job was done",
                hint="run the same command again with more time; it resumes",
            )
        self._account.sample(progress)
        if self._duty.ticks() - self._told >= TELLING:
            self._tell()
            self._keeper.keep(self._account.status())

    def _tell(self) -> None:
        self._told = self._duty.ticks()
        self._duty.emit(status_line(status_document(self._account.status())))

    def _end(self, errand: Errand | None, ending: Ending) -> None:
        account, duty = self._account, self._duty
        reports = _reports(duty.work, errand)
        status = account.status()
        result = outcome.result(status, errand, ending, fill=self._fill, verify=self._verify, reports=reports)
        account.end(ending, result)
        self._keeper.keep(account.status(), result)
        self.tell_end()
        keep_here(duty.work, account.status(), result, account.note)
        self._keeper.flush()


def status_line(document: Mapping[str, Any]) -> str:
    """A status as a line of a log, with so much of the less needed as there is room for."""
    shown = {**document, "error": _cut(document["error"], ERROR), "hint": _cut(document["hint"], ERROR // 2)}
    for few in (8, 3, 1, 0):
        shown["notes"] = document["notes"][-few:] if few else []
        shown["running"] = document["running"][:few]
        line = LINE + json.dumps(shown)
        if len(line) <= LINE_LIMIT:
            break
    return line


def _cut(text: str, length: int) -> str:
    """So much of the beginning of `text` as has at most `length` characters in JSON: a letter may be twelve there."""
    while len(encoded := json.dumps(text)) > length:
        text = text[: len(text) * length // len(encoded)]
    return text


def _harmless(line: str) -> str:
    """What a command said, with nothing in it that a reader of the log could take for a word of ours."""
    plain = "".join(letter if letter.isprintable() else " " for letter in without_secrets(line))
    return f" {plain}" if plain.startswith("provision-") else plain


def _document(printed: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(printed)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _reports(work: Path, errand: Errand | None) -> dict[str, str]:
    found = {ending: work / f"report{ending}" for ending in (errand.reports if errand else ())}
    return {
        ending: path.read_text(encoding="utf-8", errors="replace") for ending, path in found.items() if path.is_file()
    }
