"""Belief: that a pod says that all is well is no proof. It has to show every file that was promised, as promised."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pod_bed import CHEAP, VOLUME
from pod_voice import NAME, POD, Voice, heard_bed, pools, status, text
from test_pod_result import LOCK, document, read, verify

from provision.errors import ExitCode
from provision.lock import LockedFile
from provision.pods.carrying import Ending, Eyes, attend, carry_out
from provision.pods.errand import Errand
from provision.pods.job import Job, Task
from provision.pods.result import believed
from provision.pods.status import Phase, Status
from provision.pods.watching import Vigilance
from provision.progress import Silent

NAMES = ("a", "b", "c", "d")
FILES = tuple(LockedFile(path=name, target=name, size=3, sha256="d" * 64) for name in NAMES)
FOUR = replace(LOCK, models=(replace(LOCK.models[0], files=FILES),))
ENDED = status(Phase.ENDED, exit_code=0)

UNPROVEN = {
    "nothing at all": None,
    "no word": {},
    "no file": {"ok": True, "files": []},
    "its own no": verify(a="ok") | {"ok": False},
    "a yes that is none": verify(a="ok") | {"ok": 1},
    "a file that differs": verify(a="digest") | {"ok": True},
    "one of two that differs": verify(a="ok", b="unproven") | {"ok": True},
}


@pytest.mark.parametrize("proof", UNPROVEN.values(), ids=UNPROVEN)
@pytest.mark.parametrize("promised", [frozenset("a"), frozenset()], ids=["known", "unknown"])
def test_a_job_that_ends_well_without_proof_has_failed(proof: dict[str, Any] | None, promised: frozenset[str]) -> None:
    result = believed(read(verify=proof), promised)

    assert result.exit_code == ExitCode.POD
    assert "the pod says that all is as promised, and " in result.error
    assert "provision pod verify" in result.hint
    assert result.verify is None or result.verify["ok"] is False


def test_a_proof_that_lacks_a_promised_file_is_none_and_says_which() -> None:
    result = believed(read(verify=verify(a="ok")), frozenset("abc"))

    assert result.exit_code == ExitCode.POD
    assert "lacks 2 of 3 files, b for one" in result.error
    assert result.verify is not None
    assert result.verify["ok"] is False  # a proof that is written down must not claim more


def test_a_proof_of_more_than_was_promised_is_believed_and_what_failed_stays_as_it_is() -> None:
    good = read(verify=verify(a="ok", b="ok"))
    bad = read(exit_code=3, error="1 file", verify=verify(a="digest"))

    assert believed(good, frozenset("a")) is good
    assert believed(bad, frozenset("ab")) is bad


def test_a_share_may_be_empty_where_it_is_not_known_what_was_promised() -> None:
    share = read(verify=verify() | {"shard": "2/3"})

    assert believed(share) is share


def test_a_promise_with_an_odd_name_is_known_again() -> None:
    result = read(verify=verify(**{"a\u202e": "ok"}))

    assert believed(result, frozenset({"a\u202e"})) is result


def test_a_job_promises_what_its_locks_do_and_a_share_of_it_where_it_has_one() -> None:
    shares = [
        Job(task=Task.FILL, locks=(FOUR,), verify=("--strict", "--shard", f"{number}/2")).targets for number in (1, 2)
    ]

    assert Job(task=Task.FILL, locks=(FOUR,)).targets == frozenset(NAMES)
    assert sorted(map(len, shares)) == [2, 2]
    assert shares[0] | shares[1] == frozenset(NAMES)


def attended(said: Status, **changes: Any) -> Ending:
    """What comes of a pod that says so of itself, and whose result differs so from a good one."""
    bed, cloud = heard_bed()
    result = json.dumps(document(**({"lease": NAME} | changes))).encode()
    with Voice(status=text(said), result=result) as voice:
        cloud.where = voice.address
        eyes = Eyes(pools=pools(), progress=Silent(), tell=bed.told.append, vigilance=Vigilance(fetching=1.0))
        return attend(bed.renting, eyes, POD, Task.FILL)


def test_a_pod_that_is_attended_is_believed_when_it_proves_something() -> None:
    assert attended(ENDED).exit_code == ExitCode.DONE
    assert attended(ENDED, verify={"ok": True, "files": []}).exit_code == ExitCode.POD


def test_the_result_of_another_lease_is_not_taken() -> None:
    ending = attended(ENDED, lease="provision-p-20270115T080000Z-3600s-99999999")

    assert ending.exit_code == ExitCode.POD
    assert ending.result is not None
    assert (ending.result.lease, ending.result.verify) == (NAME, None)


@pytest.mark.parametrize(
    ("words", "proof", "code"),
    [
        ((), verify(a="ok", b="ok", c="ok", d="ok"), 0),
        ((), verify(a="ok", b="ok", c="ok"), 8),
        (("--shard", "1/2"), verify(a="ok", c="ok"), 0),
        (("--shard", "1/2"), verify(a="ok", b="ok"), 8),
    ],
)
def test_a_pod_that_was_rented_proves_what_its_errand_promised(
    words: tuple[str, ...], proof: dict[str, Any], code: int
) -> None:
    bed, cloud = heard_bed()
    errand = Errand(
        job=Job(task=Task.FILL, locks=(FOUR,), verify=words), volume=VOLUME, candidates=(CHEAP,), seconds=3600,
        script=b"#!/bin/sh\n", token="status-token",
    )  # fmt: skip
    with Voice() as voice:

        def end_at_once(_number: int, name: str) -> None:
            if name == "create: after":
                lease = cloud.orders[-1].name
                voice.status = text(replace(ENDED, lease=lease))
                voice.result = json.dumps(document(lease=lease, verify=proof)).encode()

        bed.points.at, cloud.where = end_at_once, voice.address
        ending = carry_out(bed.renting, errand, Eyes(pools=pools(), progress=Silent(), tell=bed.told.append))

    assert ending.exit_code == code
    assert list(cloud.there) == [POD.id]  # that was there before
