"""The demo is told from what happened: the kept folder bears its numbers out, and another reality is a failure."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys

import pytest
import safetensors

from provision import cli
from provision.demo import chapters
from provision.demo.commands import private_environment
from provision.demo.hub import DemoHub, Tally
from provision.demo.material import synthetic
from provision.demo.packages import MINILM
from provision.demo.story import Stage, tell
from provision.demo.voice import WIDTH, Voice, excerpt
from provision.digest import PIECE_SIZE
from provision.errors import ExitCode, ProvisionError
from provision.report.paint import Paint

BIG = "embeddings/model.safetensors"


@pytest.fixture
def caller(tmp_path, pytestconfig):
    """A caller's environment: packages are kept between test runs, folders are made below `tmp_path`."""
    (tmp_path / "tmp").mkdir()
    cache = str(pytestconfig.cache.mkdir("demo"))
    return {**os.environ, "XDG_CACHE_HOME": cache, "TMPDIR": str(tmp_path / "tmp"), "HF_TOKEN": "hf_secret"}


@pytest.fixture
def told():
    return []


@pytest.fixture
def play(tmp_path, told):
    """Tells the story of a small synthetic model, into `told`."""

    def played():
        stage = Stage(root=tmp_path, cache=tmp_path / "cache", caller=os.environ)
        with DemoHub(tmp_path / "hub") as hub:
            material = synthetic(tmp_path / "hub", "a test needs no real ones", mebibytes=80)
            tell(stage, hub, material, Voice(told.append, Paint(enabled=False)))

    return played


def numbers(pattern: str, text: str) -> tuple[int, ...]:
    """The groups of `pattern` in the prose, whose lines are wrapped."""
    match = re.search(pattern, " ".join(text.split()))
    assert match, pattern
    return tuple(int(group.replace(",", "")) for group in match.groups())


@pytest.mark.slow
def test_the_kept_folder_bears_out_what_was_told(tmp_path, caller):
    kept = tmp_path / "kept"
    ran = subprocess.run(
        [sys.executable, "-m", "provision", "demo", "--keep", str(kept)],
        env=caller, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lock = json.loads((kept / "manifests/demo.lock.json").read_text())
    files = {file["target"]: file for model in lock["models"] for file in model["files"]}
    big = files[BIG]
    stands = {
        path.relative_to(kept / "volume").as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (kept / "volume").rglob("*")
        if path.is_file() and ".provision" not in path.parts
    }
    assert stands == {target: file["sha256"] for target, file in files.items()}

    tensors = len(safetensors.deserialize((kept / "volume" / BIG).read_bytes()))
    assert numbers(r"ok (\d+) tensors and", ran.stdout) == (tensors,) == (big["tensors"],)
    proven, moved, counted = numbers(
        r"([\d,]+) bytes were proven .* only ([\d,]+) moved .* counted ([\d,]+)", ran.stdout
    )
    assert proven >= PIECE_SIZE
    assert proven % PIECE_SIZE == 0
    assert (proven + moved, counted) == (big["size"], moved)
    (twice,) = numbers(r"([\d,]+) bytes had to move twice", ran.stdout)
    assert 0 <= twice < PIECE_SIZE
    assert numbers(r"exit code 0.* exit code (3), ", ran.stdout) == (3,)
    (repaired,) = numbers(r"([\d,]+) of [\d,]+ bytes left the hub: one piece", ran.stdout)
    assert 0 < repaired <= PIECE_SIZE

    is_real = big["sha256"] == next(member.sha256 for member in MINILM.members if member.size == big["size"])
    assert ("real weights, out of" in ran.stdout, "SYNTHETIC" in ran.stdout) == (is_real, not is_real)


@pytest.mark.slow
def test_the_story_of_synthetic_weights_is_plain_text_of_one_width(play, told):
    play()
    assert [line for line in told if len(line) > WIDTH or "\x1b" in line] == []
    assert any("SYNTHETIC" in line for line in told)


@pytest.mark.slow
def test_an_interrupted_demo_ends_as_such_and_leaves_nothing(tmp_path, caller):
    with subprocess.Popen(
        [sys.executable, "-m", "provision", "demo"],
        env=caller, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        while "$ provision lock demo" not in process.stdout.readline():
            assert process.poll() is None
        assert list((tmp_path / "tmp").iterdir())
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate()
    assert process.returncode == ExitCode.INTERRUPTED
    assert complaint == "error: interrupted; the demo's folder is removed\n"
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.slow
def test_a_fill_that_is_not_killed_ends_the_demo_as_a_fault(play, monkeypatch):
    monkeypatch.setattr(Tally, "when", lambda *_: None)
    with pytest.raises(ProvisionError, match="not come out as told: exit code -9 was expected, 0 came") as caught:
        play()
    assert caught.value.exit_code == ExitCode.FAULT


@pytest.mark.slow
def test_damage_that_is_not_there_ends_the_demo_as_a_fault(play, monkeypatch, told):
    monkeypatch.setattr(chapters, "flip", lambda *_: None)
    with pytest.raises(ProvisionError, match="not come out as told: exit code 3 was expected, 0 came"):
        play()
    assert "   | all 4 files as promised" in told[-5:]


@pytest.mark.slow
def test_a_resumption_that_is_none_ends_the_demo_as_a_fault(play, monkeypatch, tmp_path):
    honest = chapters.killed

    def killed_and_emptied(scene):
        length = honest(scene)
        for partial in (tmp_path / "volume").rglob("*.partial"):
            partial.write_bytes(b"")
        return length

    monkeypatch.setattr(chapters, "killed", killed_and_emptied)
    with pytest.raises(ProvisionError, match=r"this does not hold: .* 0 bytes were proven where they lay"):
        play()


def test_a_claim_is_told_only_when_it_holds(told):
    voice = Voice(told.append, Paint(enabled=False))
    voice.claim("water is wet", holds=True)
    with pytest.raises(ProvisionError, match="this does not hold: fire is wet"):
        voice.claim("fire is wet", holds=False)
    assert told == ["   ok  water is wet"]
    assert voice.claims == 1


def test_a_flip_changes_one_bit_and_no_time_stamp(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(bytes(range(9)))
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    chapters.flip(path, 4)
    assert path.read_bytes() == bytes([0, 1, 2, 3, 5, 5, 6, 7, 8])
    assert path.stat().st_mtime_ns == 1_700_000_000_123_456_789


def test_the_commands_see_none_of_the_callers_secrets_and_settings(tmp_path):
    caller = {
        "PATH": "/bin", "HOME": "/home/me", "HF_TOKEN": "a", "MODELSCOPE_API_TOKEN": "b", "https_proxy": "c",
        "HF_HUB_OFFLINE": "1", "PROVISION_MANIFESTS": "d", "HF_HOME": "/home/me/hf",
    }  # fmt: skip
    seen = private_environment(caller, tmp_path, {"PROVISION_VOLUME": "volume"})
    assert seen["PATH"] == "/bin"
    assert {seen["HOME"], seen["HF_HOME"], seen["MODELSCOPE_CACHE"]} & set(caller.values()) == set()
    assert (
        set(seen) & {"HF_TOKEN", "MODELSCOPE_API_TOKEN", "https_proxy", "HF_HUB_OFFLINE", "PROVISION_MANIFESTS"}
        == set()
    )


def test_without_the_extra_it_says_what_to_install(tmp_path):
    script = "import sys; sys.modules['uvicorn'] = None; from provision.cli import run; sys.exit(run(['demo']))"
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == ExitCode.INPUT
    assert "hint: pip install 'volume-provision[serve]'" in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_empty_is_not_touched(tmp_path, capsys):
    (tmp_path / "mine").write_text("precious")
    assert cli.run(["demo", "--keep", str(tmp_path)]) == ExitCode.INPUT
    assert "the folder is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_excerpt_counts_what_it_leaves_out():
    assert excerpt(["a", "b", "c", "d", "e"], {1, 4}) == [
        "    ... 1 line not shown", "b", "    ... 2 lines not shown", "e",
    ]  # fmt: skip
    assert excerpt(["a", "b"], {0}) == ["a", "    ... 1 line not shown"]
