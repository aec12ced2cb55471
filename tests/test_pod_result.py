"""Results and proofs: read from outside, added up, compared, written and read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pod_bed import VOLUME

from provision.errors import PodError
from provision.lock import Lock, LockedFile, LockedModel
from provision.pods.bill import Bill, Moved, Use
from provision.pods.cloud import NetworkVolume
from provision.pods.job import Task
from provision.pods.proof import lock_sha256, of_project, proof_document, proof_name, proofs_in
from provision.pods.result import Drift, Result, decisive, drift, merged, read_result, result_of
from provision.pods.status import Phase, Status

LOCK = Lock(
    project="p",
    root="",
    manifest_sha256="c" * 64,
    models=(
        LockedModel(
            name="m", source="hf://o/n", revision="main", commit="a" * 40, layout="tree", license=None,
            meaning_sha256="b" * 64, files=(LockedFile(path="a", target="a", size=3, sha256="d" * 64),),
        ),
    ),
)  # fmt: skip


def verify(**states: str) -> dict[str, Any]:
    files = [
        {"project": "p", "model": "m", "target": name, "state": state, "size": 10**9, "actual": None}
        for name, state in states.items()
    ]
    return {
        "schema": 1, "ok": set(states.values()) <= {"ok"}, "mode": "full", "counts": {}, "files": files,
        "misfits": [], "notes": [], "unread": 0,
    }  # fmt: skip


def fill(fetched: int, *names: str) -> dict[str, Any]:
    files = [{"project": "p", "target": name, "action": "fetched", "size": 1} for name in names]
    return {
        "schema": 1, "ok": True, "volume": "/workspace", "fetched_bytes": fetched, "reused_bytes": 1,
        "served_bytes": {"hf": fetched}, "files": files, "misfits": [],
    }  # fmt: skip


def document(**changes: Any) -> dict[str, Any]:
    plain = {
        "schema": 1, "lease": "provision-p", "task": "fill", "exit_code": 0, "error": "", "hint": "", "began": 10.0,
        "ended": 70.0, "seconds": {"fill": 40.0, "verify": 10.0}, "fill": fill(10**9, "a"), "verify": verify(a="ok"),
        "reports": {".html": "<p>"}, "version": "0.1.0",
    }  # fmt: skip
    return plain | changes


def read(**changes: Any) -> Result:
    return read_result(json.dumps(document(**changes)).encode(), Task.FILL)


def test_a_result_is_read_as_it_was_written() -> None:
    result = read()

    assert result.ok
    assert result.counts == {"ok": 1}
    assert (result.fill_seconds, result.verify_seconds) == (40.0, 10.0)
    assert result.fill == fill(10**9, "a")
    assert result.reports == {".html": "<p>"}


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"exit_code": "0"},
        {"exit_code": True},
        {"exit_code": 256},
        {"ended": float("inf")},
        {"seconds": {"fill": -1}},
        {"verify": []},
        {"verify": {"files": [{"target": "a"}]}},
        {"verify": {"files": [{"target": ["a"], "state": "ok"}]}},
        {"verify": {"files": [], "unread": "x"}},
        {"verify": {"files": [], "notes": [0] * 20_000}},
        {"fill": {"files": [], "fetched_bytes": -1}},
        {"fill": {"files": [], "served_bytes": {"hf": "1"}}},
        {"fill": {"files": [], "deep": [[[[[[[[[[[[[[0]]]]]]]]]]]]]]}},
        {"verify": {"files": [{"target": "a", "state": "ok", "size": 2**63}]}},
        {"fill": {"files": [], "fetched_bytes": 10**400}},
        {"fill": {"files": [{"target": "a", "action": "fetched", "fetched_bytes": -(10**400)}]}},
        {"seconds": {"fill": 1e300}},
        {"reports": {".html": 1}},
        {"lease": None},
    ],
)
def test_a_result_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(PodError, match="not understood"):
        read(**changes)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(document())), json_values)
def test_whatever_stands_in_a_field_it_is_a_result_or_refused(name: str, value: Any) -> None:
    try:
        assert isinstance(read(**{name: value}), Result)
    except PodError as error:
        assert "not understood" in error.message  # noqa: PT017 - it may be either


@given(st.binary())
def test_whatever_comes_is_refused(data: bytes) -> None:
    with pytest.raises(PodError):
        read_result(data, Task.FILL)


def test_words_that_would_move_a_terminal_are_made_plain() -> None:
    result = read(error="\x1b[2J gone", verify=verify(**{"a\u202e": "digest"}))

    assert result.error == "\\x1b[2J gone"
    assert result.verify is not None
    assert result.verify["files"][0]["target"].isprintable()


def test_a_report_of_an_ending_that_is_none_is_left_out() -> None:
    assert read(reports={".html": "a", "/../x": "b", ".a/b": "c", ".": "d"}).reports == {".html": "a"}


def test_an_ended_job_without_a_result_is_known_by_its_status() -> None:
    status = Status(
        lease="l", phase=Phase.ENDED, began=1, now=9, deadline=99, exit_code=6, error="no network", hint="run again"
    )

    result = result_of(status, Task.FILL)

    assert (result.exit_code, result.error, result.hint, result.ended) == (6, "no network", "run again", 9)


def test_shards_add_up_to_one_result() -> None:
    one = read(fill=fill(10, "a"), verify=verify(a="ok", z="ok"))
    two = read(
        fill=fill(20, "b"), verify=verify(b="digest", z="missing"), exit_code=3, error="2 files", began=5.0, ended=90.0,
        seconds={"fill": 80.0, "verify": 1.0},
    )  # fmt: skip

    both = merged([one, two])

    assert (both.exit_code, both.error, both.began, both.ended) == (3, "2 files", 5.0, 90.0)
    assert (both.fill_seconds, both.verify_seconds) == (80.0, 10.0)
    assert both.counts == {"ok": 1, "digest": 1, "missing": 1}
    assert both.verify is not None
    assert both.verify["counts"] == both.counts
    assert both.verify["ok"] is False
    assert both.fill is not None
    assert (both.fill["fetched_bytes"], both.fill["served_bytes"]) == (30, {"hf": 30})
    assert [file["target"] for file in both.fill["files"]] == ["a", "b"]


def test_shards_of_which_one_has_nothing_to_show_still_add_up() -> None:
    both = merged([read(), read(fill=None, verify=None, exit_code=8, error="killed", seconds={})])

    assert (both.exit_code, both.error) == (8, "killed")
    assert both.counts == {"ok": 1}
    assert both.fill is not None
    assert both.verify is not None
    assert (both.fill["ok"], both.verify["ok"]) == (False, False)
    part = of_project(both, "p")
    assert part.fill is not None
    assert part.verify is not None
    assert (part.fill["ok"], part.verify["ok"]) == (False, False)


def test_shards_of_which_none_fills_are_as_good_as_their_proofs() -> None:
    both = merged([read(fill=None), read(fill=None)])

    assert both.fill is None
    assert both.verify is not None
    assert both.verify["ok"] is True


def test_the_part_of_a_project_is_as_good_as_its_own_files_and_models() -> None:
    grave = {"project": "p", "model": "m", "grave": True}
    whole = read(
        fill=fill(9, "a"), verify=verify(a="ok", b="ok") | {"misfits": [grave | {"project": "q"}, grave]}
    )  # fmt: skip
    assert whole.verify is not None
    whole.verify["files"][1]["project"] = "q"
    light = replace(whole, verify={**whole.verify, "misfits": [grave | {"grave": False}]})

    oks = [of_project(result, name).verify["ok"] for result in (whole, light) for name in ("p", "q", "absent")]  # type: ignore[index]

    assert oks == [False, False, False, True, True, False]


@pytest.mark.parametrize(
    ("codes", "code"), [([0, 0], 0), ([0, 8], 8), ([8, 6, 3], 3), ([3, 4], 4), ([3, 1], 1), ([0, 77], 77), ([], 0)]
)
def test_of_several_jobs_the_one_that_a_person_must_act_on_decides(codes: list[int], code: int) -> None:
    assert decisive(codes) == code


def test_volumes_of_one_lock_differ_where_a_file_is_not_the_same() -> None:
    here, there = verify(a="ok", b="ok", c="digest", e="ok"), verify(a="ok", b="missing", c="digest", d="unexpected")
    here["files"][2]["actual"], there["files"][2]["actual"] = "f" * 64, "0" * 64

    found = drift({"eu": here, "us": there})

    assert found == [
        Drift(project="p", target="b", found=(("eu", "ok"), ("us", "missing"))),
        Drift(project="p", target="c", found=(("eu", f"digest: {'f' * 64}"), ("us", f"digest: {'0' * 64}"))),
        Drift(project="p", target="d", found=(("eu", "not looked at"), ("us", "unexpected"))),
        Drift(project="p", target="e", found=(("eu", "ok"), ("us", "not looked at"))),
    ]
    assert drift({"eu": here, "us": here}) == []


def test_a_proof_is_written_beside_the_manifest_and_read_back(tmp_path: Path) -> None:
    bill = Bill(uses=(Use(pod_id="x", machine="cpu", price=0.06, seconds=60),))
    proof = proof_document("runpod", VOLUME, [LOCK], read(), bill)
    (tmp_path / proof_name("p", VOLUME.id)).write_text(json.dumps(proof))
    older = tmp_path / proof_name("p", "vol2")
    older.write_text(json.dumps(proof | {"ended": 1.0, "volume": {"id": "vol2"}}))
    (tmp_path / "broken.x.proof.json").write_text("{")
    (tmp_path / "hostile.x.proof.json").write_text(json.dumps(proof | {"verify": {"mode": "full", "files": 7}}))
    (tmp_path / "huge.x.proof.json").write_text(json.dumps(proof | {"fill": {"fetched_bytes": 10**400}}))
    (tmp_path / "newer.x.proof.json").write_text(json.dumps(proof | {"schema": 2}))

    first, second = proofs_in(tmp_path)

    assert first.path.endswith("p.vol1.proof.json")
    assert first.locks == {"p": lock_sha256(LOCK)}
    assert first.moved == Moved(fetched=10**9, fetch_seconds=40.0, verified=10**9, verify_seconds=10.0)
    assert (first.volume_id, first.datacenter, first.exit_code, first.ended) == ("vol1", "EU-RO-1", 0, 70.0)
    assert proof["bill"]["usd"] == 0.001
    assert second.volume_id == "vol2"


@pytest.mark.parametrize("volume_id", ["/mnt/My Models", "./x", "..", "a/../../b", "ü", "x" * 300, "", "a.b"])
def test_a_proof_has_a_plain_name_whatever_the_volume_is_called(volume_id: str) -> None:
    name = proof_name("p", volume_id)

    assert name.count(".") == 3
    assert name.isascii()
    assert "/" not in name
    assert len(name) < 100
    assert name != proof_name("p", volume_id + "2")


def test_volumes_that_end_alike_have_proofs_of_their_own() -> None:
    assert proof_name("p", "/a/models") != proof_name("p", "/b/models")
    assert proof_name("p", "/a/models").startswith("p.models-")


def test_a_volume_of_the_cloud_is_named_by_its_id() -> None:
    volume = NetworkVolume(id="abc123", name="n", size=10, datacenter="X")

    assert proof_name("wan22-i2v", volume.id) == "wan22-i2v.abc123.proof.json"
