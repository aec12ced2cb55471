"""scripts/download_models.sh makes its own environment: with the real pip, from a wheel of this repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import fill_bed
import pytest
from misbehaving_hub import MisbehavingHub
from script_bed import PATH, PROJECT, ROOT, ScriptBed, ended

from provision.errors import ExitCode
from provision.lock import dumps
from provision.serve import Folder

pytestmark = [pytest.mark.system, pytest.mark.slow]  # environments are made, and packages come from their index


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = fill_bed.build(tmp_path_factory.mktemp("hub"), (fill_bed.SMALL, fill_bed.BIG))
    with MisbehavingHub(Folder(root)) as hub:
        yield hub


@pytest.fixture
def bed(hub, tmp_path):
    hub.rules.clear()
    hub.log.clear()
    bed = ScriptBed(hub, tmp_path)
    yield bed
    bed.close()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(place), str(ROOT)]
    subprocess.run(words, check=True, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    (found,) = place.iterdir()
    return found


def test_two_at_once_install_it_once_and_share_the_work(bed, wheel) -> None:
    lock, words = bed.lock(), (PROJECT, "--frozen", "--volume", str(bed.volume))
    offline = {
        "PROVISION_PYTHON": "", "PROVISION_PACKAGE": str(wheel), "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1",
        "PYTHONPATH": sysconfig.get_path("purelib"), "PATH": f"{Path(sys.base_prefix) / 'bin'}:{PATH}",
    }  # fmt: skip
    both = [bed.by_hand(shell, *words, lock=lock, **offline) for shell in ("dash", "bash")]
    done = [ended(process) for process in both]

    assert [one.code for one in done] == [0, 0], [one.err for one in done]
    (environment,) = bed.temporary.iterdir()
    (package,) = environment.rglob("site-packages/provision")
    assert (package / "pods/attendant/page.html").exists(), "the wheel lacks the page"
    made = (environment / "pyvenv.cfg").stat().st_mtime_ns
    assert ended(bed.by_hand("dash", *words, lock=lock, **offline)).code == 0
    assert (environment / "pyvenv.cfg").stat().st_mtime_ns == made, "a second run makes no second environment"


def test_it_installs_the_checkout_it_lies_in(bed) -> None:
    checkout = bed.place / "a checkout with spaces"
    for name in ("provision", "scripts"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    (checkout / "manifests").mkdir()
    (checkout / "manifests" / f"{PROJECT}.lock.json").write_text(dumps(bed.lock()))
    ran = bed.hostile("click", "venv", "pip", "ensurepip")
    index = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    words = ["sh", str(checkout / "scripts/download_models.sh"), PROJECT, "--frozen", "--volume", "../volume"]
    done = ended(bed.start(words, bed.environment(PROVISION_PYTHON="", **index)), 110)

    assert done.code == 0, done.err
    assert bed.standing() == {fill_bed.SMALL, fill_bed.BIG}
    assert not ran.exists()
    (environment,) = bed.temporary.iterdir()
    where = [str(environment / "bin/python"), "-I", "-c", "import provision; print(provision.__file__)"]
    assert subprocess.check_output(where, text=True) == f"{checkout}/provision/__init__.py\n"


def test_a_package_index_that_is_not_reached_is_6_and_leaves_nothing(bed) -> None:
    done = ended(
        bed.by_hand(
            "dash", PROJECT, "--volume", str(bed.volume), PROVISION_PYTHON="",
            PROVISION_PACKAGE="volume-provision==0.1.0",
            PIP_INDEX_URL="http://user:secretpassword@127.0.0.1:9/simple", PIP_RETRIES="1", PIP_CONFIG_FILE="/dev/null",
        )
    )  # fmt: skip

    assert done.code == ExitCode.UNAVAILABLE, done.err
    assert "hint: run it again with a network" in done.err
    assert "secretpassword" not in done.out + done.err
    assert list(bed.temporary.iterdir()) == []
