"""Which lock is the truth: the repository's where a project is named, the volume's copies elsewhere."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from volume_material import NOW, promised, receipt_for

from provision.cli import run
from provision.errors import ExitCode
from provision.lock import Lock, LockedModel, dumps
from provision.volume.locks import write_lock
from provision.volume.mount import Volume
from provision.volume.receipts.writing import ReceiptWriter

GOOD, BAD = b"weights" * 1000, b"WEIGHTS" * 1000
TARGET = "models/a.bin"


def lock_of(data: bytes, commit: str = "a", **model: object) -> Lock:
    locked = LockedModel(
        name="m", source="hf://o/n", revision="main", commit=commit * 40, layout="tree", license=None,
        meaning_sha256="b" * 64, files=(promised(data, TARGET),),
    )  # fmt: skip
    return Lock(project="p", root="models", manifest_sha256="c" * 64, models=(replace(locked, **model),))


def filled_with(root: Path, data: bytes) -> None:
    """The volume holds `data`, and its own lock and receipt say that this is right."""
    (root / TARGET).parent.mkdir(parents=True, exist_ok=True)
    (root / TARGET).write_bytes(data)
    with Volume.open(str(root)) as volume, ReceiptWriter(volume, lambda: NOW) as receipts:
        write_lock(volume, lock_of(data))
        receipts.add(receipt_for(root, data, TARGET))


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    (tmp_path / "volume").mkdir()
    return tmp_path / "volume"


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    """The repository's lock promises GOOD."""
    (tmp_path / "p.lock.json").write_text(dumps(lock_of(GOOD)))
    return tmp_path


def verified(capsys: pytest.CaptureFixture[str], volume: Path, *arguments: str) -> tuple[int, dict]:
    capsys.readouterr()
    code = run(["verify", *arguments, "--volume", str(volume), "--format", "json", "-q"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("mode", ["--full", "--quick"])
def test_a_volume_that_vouches_for_itself_does_not_pass_against_the_repositorys_lock(volume, manifests, mode, capsys):
    filled_with(volume, BAD)
    assert verified(capsys, volume, mode)[0] == ExitCode.DONE  # by its own word

    code, document = verified(capsys, volume, "p", "--manifests", str(manifests), mode)

    assert code == ExitCode.BYTES
    assert document["files"][0]["state"] == "digest"


def test_forged_receipts_deceive_quick_as_documented_and_never_full(volume, manifests, capsys):
    filled_with(volume, BAD)
    forged = replace(receipt_for(volume, BAD, TARGET), sha256=promised(GOOD, TARGET).sha256, proven_at=NOW + 1)
    with Volume.open(str(volume)) as opened, ReceiptWriter(opened, lambda: NOW + 1) as receipts:
        receipts.add(forged)

    assert verified(capsys, volume, "p", "--manifests", str(manifests), "--quick")[0] == ExitCode.DONE
    assert verified(capsys, volume, "p", "--manifests", str(manifests), "--full")[0] == ExitCode.BYTES


def test_another_lock_on_the_volume_is_told_with_what_differs(volume, manifests, capsys):
    filled_with(volume, GOOD)
    with Volume.open(str(volume)) as opened:
        write_lock(opened, lock_of(GOOD * 2, commit="d"))

    code, document = verified(capsys, volume, "p", "--manifests", str(manifests))

    assert code == ExitCode.DONE  # the bytes are those of the repository's lock
    (note,) = (note["text"] for note in document["notes"] if note["kind"] == "other-lock")
    assert "this volume was filled from another lock" in note
    assert "m is pinned at aaaaaaaaaaaa, there it was dddddddddddd" in note
    assert f"{TARGET} changed (14 kB -> 7 kB)" in note


def test_many_differences_are_counted_not_listed(volume, manifests, capsys):
    filled_with(volume, GOOD)
    files = tuple(promised(GOOD, f"models/{number}.bin") for number in range(9))
    with Volume.open(str(volume)) as opened:
        write_lock(opened, lock_of(GOOD, files=files))

    _, document = verified(capsys, volume, "p", "--manifests", str(manifests))

    (note,) = (note["text"] for note in document["notes"] if note["kind"] == "other-lock")
    assert note.endswith("and 4 more")


def test_the_same_lock_is_nothing_to_tell(volume, manifests, capsys):
    filled_with(volume, GOOD)
    _, document = verified(capsys, volume, "p", "--manifests", str(manifests))
    assert not [note for note in document["notes"] if note["kind"] == "other-lock"]


def test_a_volume_without_its_lock_is_judged_by_the_repositorys(volume, manifests, capsys):
    filled_with(volume, GOOD)
    (volume / ".provision/locks/p.lock.json").unlink()
    code, document = verified(capsys, volume, "p", "--manifests", str(manifests))
    assert code == ExitCode.DONE
    assert "holds no copy of this lock" in document["notes"][0]["text"]


def test_a_hostile_copy_costs_little_where_it_decides_nothing(volume, manifests, capsys):
    filled_with(volume, GOOD)
    (volume / ".provision/locks/p.lock.json").write_text("[" + "{}," * 8_000_000 + "{}]")
    tracemalloc.start()
    code, document = verified(capsys, volume, "p", "--manifests", str(manifests), "--quick")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert code == ExitCode.DONE
    assert "too large to be a lock" in document["notes"][0]["text"]
    assert peak < 20_000_000


@pytest.mark.parametrize("text", ["{", '{"lock_version": 99}'])
def test_a_copy_that_cannot_be_read_stops_nobody_who_brings_his_own(volume, manifests, text, capsys):
    filled_with(volume, GOOD)
    (volume / ".provision/locks/p.lock.json").write_text(text)

    code, document = verified(capsys, volume, "p", "--manifests", str(manifests))
    assert code == ExitCode.DONE
    assert "is of no use" in document["notes"][0]["text"]

    code, document = verified(capsys, volume)
    assert code == ExitCode.LOCK
    assert document["error"]["kind"] == "LockUnreadable"


def test_a_newer_lock_in_the_repository_is_refused(volume, manifests, capsys):
    filled_with(volume, GOOD)
    lock = json.loads((manifests / "p.lock.json").read_text())
    (manifests / "p.lock.json").write_text(json.dumps(lock | {"lock_version": 2}))

    code, document = verified(capsys, volume, "p", "--manifests", str(manifests))

    assert code == ExitCode.LOCK
    assert "newer release" in document["error"]["message"]
    assert "upgrade provision" in document["error"]["hint"]
