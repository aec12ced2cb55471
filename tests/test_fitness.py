"""A worker whose volume is not as promised does not start, and its log says why: in Python, and under RunPod's SDK."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sdk_pythons import RELEASES, python_with
from volume_material import promised, receipt_for

import provision
from provision import fitness
from provision.composition import Misfit, Rule
from provision.errors import LockMissing, LockUnreadable, VerificationFailed, VolumeAbsent
from provision.fitness import check
from provision.lock import Lock, LockedFile, LockedModel, dumps
from provision.report.advice import NOTHING_GIVEN
from provision.verification.findings import Mode, ModelMisfit, Verification
from provision.volume.locks import write_lock
from provision.volume.mount import Volume
from provision.volume.receipts.writing import ReceiptWriter

HERE = Path(__file__).parent
DATA = b"weights" * 1000
NAMES = ("high", "low", "vae", "text", "clip")


def lock(*files: LockedFile, project: str = "wan22-i2v") -> Lock:
    model = LockedModel(
        name="m", source="hf://o/n", revision="main", commit="a" * 40, layout="tree", license=None,
        meaning_sha256="b" * 64, files=files,
    )  # fmt: skip
    return Lock(project=project, root="models", manifest_sha256="c" * 64, models=(model,))


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A volume that holds five files as their lock promises, with their receipts."""
    root = tmp_path / "volume"
    (root / "models").mkdir(parents=True)
    with Volume.open(str(root)) as volume, ReceiptWriter(volume, lambda: 1.0) as receipts:
        for name in NAMES:
            (root / f"models/{name}.bin").write_bytes(DATA)
            receipts.add(receipt_for(root, DATA, f"models/{name}.bin"))
        write_lock(volume, lock(*(promised(DATA, f"models/{name}.bin") for name in NAMES)))
    return root


@pytest.fixture
def no_volume_by_itself(monkeypatch):
    monkeypatch.delenv("PROVISION_VOLUME", raising=False)
    monkeypatch.setattr("provision.cli.settings.MOUNTS", ("/nowhere", "/nowhere-else"))


def fault(fit) -> str:
    """What the worker's log would say."""
    with pytest.raises(VerificationFailed) as raised:
        fit()
    return str(raised.value)


def test_a_good_volume_lets_the_worker_start(filled):
    check("wan22-i2v", volume=str(filled))()
    check(volume=str(filled))()


def test_a_missing_file_is_told_on_one_line_with_the_volume_and_what_to_run(filled):
    (filled / "models/low.bin").unlink()

    assert fault(check("wan22-i2v", volume=str(filled))) == (
        f"{filled}: 1 of 5 files is not as promised -> provision fill wan22-i2v --volume {filled}: "
        "missing models/low.bin (wan22-i2v/m)"
    )


def test_what_nothing_vouches_for_keeps_a_worker_from_starting(filled):
    os.utime(filled / "models/vae.bin", ns=(0, 0))

    told = fault(check("wan22-i2v", volume=str(filled)))

    assert f"provision verify --full --volume {filled}: unproven models/vae.bin" in told  # the name needs a manifest


def test_of_many_files_a_few_are_named_after_what_matters(filled):
    """RunPod shows 256 characters of it to the host."""
    for name in NAMES:
        (filled / f"models/{name}.bin").unlink()

    told = fault(check("wan22-i2v", volume=str(filled)))

    assert told.endswith(", and 2 more")
    assert told.count("missing models/") == 3
    assert told.index("provision fill") < told.index("missing")


def test_a_model_whose_files_do_not_fit_together_is_named_with_what_shows_it():
    misfit = Misfit(rule=next(iter(Rule)), path="model.safetensors.index.json", detail="")
    found = ModelMisfit(project="wan22-i2v", model="m", misfit=misfit)
    unfit = Verification(volume="/v", mode=Mode.QUICK, findings=(), misfits=(found,))

    told = fitness._told(unfit, NOTHING_GIVEN)

    assert told.startswith("/v: ")
    assert "1 model does not fit together -> compare the manifest of wan22-i2v" in told
    assert told.endswith(": misfit model.safetensors.index.json (wan22-i2v/m)")


def test_an_absent_volume_is_not_a_missing_file(tmp_path):
    with pytest.raises(VolumeAbsent) as raised:
        check("wan22-i2v", volume=str(tmp_path / "nowhere"))()

    assert "nowhere is not there; attach the network volume" in str(raised.value)


@pytest.mark.usefixtures("no_volume_by_itself")
def test_no_volume_at_all_is_told_with_where_it_was_looked_for():
    with pytest.raises(VolumeAbsent, match="neither /nowhere nor /nowhere-else is a mount; attach"):
        check("wan22-i2v")()


def test_the_volume_may_come_from_the_environment_when_the_worker_starts(filled, monkeypatch):
    fit = check("wan22-i2v")
    monkeypatch.setenv("PROVISION_VOLUME", str(filled))

    fit()


@pytest.mark.parametrize("projects", [(), ("wan22-i2v",)], ids=str)
def test_a_volume_that_was_never_filled_keeps_a_worker_from_starting(tmp_path, projects):
    with pytest.raises(LockMissing, match=r"holds no lock.*; is this the volume\?"):
        check(*projects, volume=str(tmp_path))()


def test_a_lock_that_came_with_the_image_is_the_truth_whatever_the_volume_says(filled, tmp_path):
    """Who can write to the volume can write its copy of the lock, too."""
    path = tmp_path / "wan22-i2v.lock.json"
    path.write_text(dumps(lock(promised(b"the real ones" * 9, "models/high.bin"))))

    check("wan22-i2v", volume=str(filled))()

    assert "size models/high.bin" in fault(check(str(path), volume=str(filled)))


def test_what_to_run_names_the_lock_that_came_with_the_image_and_the_worst_comes_first(filled, tmp_path):
    path = tmp_path / "wan22-i2v.lock.json"
    path.write_text(dumps(lock(promised(DATA, "models/high.bin"), promised(DATA, "models/gone.bin"))))
    os.utime(filled / "models/high.bin", ns=(0, 0))

    told = fault(check(str(path), volume=str(filled)))

    assert f"-> provision fill --frozen {path} --volume {filled}; provision verify --full {path} --volume" in told
    assert told.index("missing models/gone.bin") < told.index("unproven models/high.bin")


def test_a_lock_that_did_not_come_with_the_image_is_missing_when_the_worker_starts(filled, tmp_path):
    fit = check(str(tmp_path / "wan22-i2v.lock.json"), volume=str(filled))  # nothing is looked at yet

    with pytest.raises(LockMissing, match="does not exist; make it with"):
        fit()


def test_the_check_has_the_shape_that_the_sdk_asks_for():
    fit = check("wan22-i2v")

    assert fit.__name__ == "volume_as_promised"
    assert inspect.signature(fit).parameters == {}
    assert not inspect.iscoroutinefunction(fit)


def test_an_asynchronous_check_of_ones_own_may_call_it(filled):
    async def ready() -> None:
        check("wan22-i2v", volume=str(filled))()

    asyncio.run(ready())


def test_a_check_imports_no_sdk_and_nothing_heavy(filled):
    program = f"import sys; from provision.fitness import check; check(volume={str(filled)!r})(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "provision" in loaded
    assert (
        loaded & {"runpod", "huggingface_hub", "modelscope", "pydantic", "yaml", "tqdm", "tenacity", "boto3"} == set()
    )


# what Python users have


def test_the_package_verifies_for_python_users_too(filled):
    good = provision.verify(filled)
    (filled / "models/low.bin").write_bytes(b"W" + DATA[1:])
    bad = provision.verify(filled, "wan22-i2v", mode="full")

    assert (good.ok, good.mode) == (True, "full")
    assert (bad.ok, bad.counts["digest"]) == (False, 1)


def test_a_full_verification_from_python_leaves_receipts_as_the_command_does(filled):
    os.utime(filled / "models/low.bin", ns=(0, 0))

    assert not provision.verify(filled, mode="quick").ok
    assert provision.verify(filled, mode="full").ok
    assert provision.verify(filled, mode="quick").ok


def test_a_loaded_lock_is_the_one_that_was_written(tmp_path):
    wanted = lock(promised(DATA, "models/a"))
    (tmp_path / "l.lock.json").write_text(dumps(wanted))

    assert provision.load_lock(tmp_path / "l.lock.json") == wanted
    with pytest.raises(LockUnreadable):
        provision.load_lock(tmp_path)


def test_a_mode_that_does_not_exist_is_refused(filled):
    with pytest.raises(ValueError, match="`full` or `quick`, not `fast`"):
        provision.verify(filled, mode="fast")


def test_the_package_itself_costs_nothing_to_import():
    program = "import sys; before = set(sys.modules); import provision; print(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True, cwd=HERE.parent
    )

    assert {name for name in done.stdout.split() if name.startswith("provision")} == {"provision"}


# under the real SDK


@pytest.fixture(scope="session")
def sdk_python() -> str:
    """A Python that has runpod's SDK: this one, or one that is kept for it."""
    return sys.executable if importlib.util.find_spec("runpod") else python_with(RELEASES[0])


NOBODY_ANSWERS = "http://127.0.0.1:9/$RUNPOD_POD_ID"


def worker(python: str, folder: Path, volume: Path, *, until: str = "") -> tuple[int, str]:
    """Run the page's worker as RunPod does; its exit code and log. One that passes its checks is ended at `until`."""
    page = (HERE.parent / "docs/workers.md").read_text(encoding="utf-8")
    (folder / "handler.py").write_text(re.search(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1])
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(HERE.parent), "PYTHONUNBUFFERED": "1",
        "PROVISION_VOLUME": str(volume), "RUNPOD_WEBHOOK_GET_JOB": NOBODY_ANSWERS,
        "RUNPOD_WEBHOOK_POST_OUTPUT": NOBODY_ANSWERS, "RUNPOD_POD_ID": "w", "RUNPOD_AI_API_KEY": "k",
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true", "RUNPOD_SKIP_GPU_CHECK": "true", "RUNPOD_DEBUG_LEVEL": "DEBUG",
    }  # fmt: skip
    with subprocess.Popen(
        [python, "handler.py"], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if until and until in line:
                process.kill()
        return process.wait(60), "".join(lines)


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_under_runpods_own_sdk_a_bad_volume_ends_the_worker_and_a_good_one_lets_it_start(filled, tmp_path, sdk_python):
    """The handler is the one of docs/workers.md."""
    _, log = worker(sdk_python, tmp_path, filled, until="All fitness checks passed")
    assert "Fitness check passed: volume_as_promised" in log
    assert "All fitness checks passed" in log

    (filled / "models/low.bin").unlink()
    code, log = worker(sdk_python, tmp_path, filled)
    assert code == 1
    assert f"Fitness check failed: volume_as_promised | VerificationFailed: {filled}: 1 of 5 files is not" in log
    assert f"provision fill wan22-i2v --volume {filled}: missing models/low.bin" in log

    code, log = worker(sdk_python, tmp_path, tmp_path / "gone")
    assert code == 1
    assert "VolumeAbsent: the volume" in log
    assert "attach the network volume" in log
