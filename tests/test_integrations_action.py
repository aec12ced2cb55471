"""The GitHub Action: its steps are run by bash as a runner runs them, on a good volume and on bad ones."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from runner_bed import PROJECT, ROOT, TARGET, Action, blocks, checked, scene_in
from s3_bed import BUCKET, KEYS, bed_of_a_test, honest_server  # noqa: F401 - fixtures

INSTALL, PROVISION = 0, 1


@pytest.fixture
def scene(tmp_path: Path):
    return scene_in(tmp_path)


@pytest.fixture
def action(tmp_path: Path, scene) -> Action:
    return Action(tmp_path, scene).as_installed()


def test_the_action_is_one_by_githubs_schema():
    checked("github-actions", ROOT / "action.yml")


def test_no_input_ever_becomes_part_of_a_script(action):
    for step in action.steps:
        assert "${{" not in step["run"]
        assert all(re.fullmatch(r"\$\{\{ inputs\.[\w-]+ \}\}", value) for value in step["env"].values())


def test_every_input_is_used_and_described_in_the_docs(action):
    page = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
    used = {value for step in action.steps for value in step["env"].values()}

    for name in action.document["inputs"]:
        assert f"${{{{ inputs.{name} }}}}" in used
        assert f"`{name}`" in page


@pytest.mark.skipif(not shutil.which("shellcheck", path=str(Path(sys.executable).parent)), reason="no shellcheck")
def test_shellcheck_has_nothing_to_say_about_the_steps(action, tmp_path):
    for number, step in enumerate(action.steps):
        script = tmp_path / f"{number}.sh"
        script.write_text("#!/bin/bash\nset -eo pipefail\n" + step["run"])
        done = subprocess.run(
            [Path(sys.executable).parent / "shellcheck", script], capture_output=True, text=True, check=False
        )
        assert done.stdout == ""


def test_a_pull_request_has_its_locks_checked_without_a_volume(action):
    ran = action.run(PROVISION, {})

    assert (ran.code, ran.outputs) == (0, {"ok": "true"})


def test_a_stale_lock_fails_with_an_annotation_and_nothing_is_verified(action, scene):
    scene.make_stale()

    ran = action.run(PROVISION, {"volume": str(scene.volume), "report": "out.json"})

    assert (ran.code, ran.outputs) == (4, {"ok": "false"})
    errors = [line for line in ran.out.splitlines() if line.startswith("::error")]
    assert len(errors) == 1
    assert errors[0].startswith("::error title=provision lock --check::error: ")
    assert "%0Ahint: bring it up to date: provision lock" in errors[0]
    assert not (scene.repository / "out.json").exists()


def test_an_annotation_says_what_was_said_whatever_is_in_it(action, scene):
    scene.manifest.parent.rename(scene.repository / "50%25 of it")

    ran = action.run(PROVISION, {"manifests": "50%25 of it", "projects": "x"})

    assert "neither 50%2525 of it/x.yaml nor its lock exists%0Ahint: " in ran.out


def test_a_stale_lock_is_no_matter_where_it_was_not_to_be_checked(action, scene):
    scene.make_stale()

    assert action.run(PROVISION, {"volume": str(scene.volume), "lock-check": "false"}).code == 0


@pytest.mark.parametrize("mode", ["", "quick", "full", "sample"])
def test_a_good_volume_is_ok_with_a_summary_and_its_reports(action, scene, mode):
    wanted = {"projects": PROJECT, "volume": str(scene.volume), "mode": mode, "report": "a/r.xml\n\n  b c.html \n"}

    ran = action.run(PROVISION, wanted)

    assert (ran.code, ran.err.count("error")) == (0, 0)
    assert ran.outputs == {"ok": "true", "report": "a/r.xml\nb c.html"}
    assert (scene.repository / "a/r.xml").read_text().startswith("<?xml")
    assert "<html" in (scene.repository / "b c.html").read_text()
    assert PROJECT in ran.summary
    assert "::error" not in ran.out


def test_a_damaged_volume_fails_with_an_annotation_a_summary_and_its_reports(action, scene):
    scene.damage()

    ran = action.run(PROVISION, {"volume": str(scene.volume), "mode": "quick", "report": "r.json"})

    assert ran.code == 3
    assert ran.outputs == {"ok": "false", "report": "r.json"}
    assert re.search(r"^::error .*models/vae\.safetensors", ran.out, re.MULTILINE)
    assert "models/vae.safetensors" in ran.summary


def test_an_absent_volume_fails_as_such_and_names_no_reports(action, tmp_path):
    ran = action.run(PROVISION, {"volume": str(tmp_path / "gone"), "report": "r.json"})

    assert (ran.code, ran.outputs) == (7, {"ok": "false", "report": ""})


def test_projects_are_words_and_nothing_else(action, scene):
    (scene.repository / "manifests/other.yaml").write_text("project: other\nmodels:\n  - source: hf://o/n\n")

    assert action.run(PROVISION, {"projects": f"  {PROJECT}\n{PROJECT} "}).code == 0
    assert action.run(PROVISION, {"projects": f"{PROJECT} other"}).code == 4  # it has no lock
    assert "manifests/*.lock.json does not exist" in action.run(PROVISION, {"projects": "manifests/*"}).err
    assert "there is no project `--help`" in action.run(PROVISION, {"projects": "--help"}).err


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"mode": "fast"}, "mode is quick, full or sample"),
        ({"mode": "full --volume /"}, "mode is quick, full or sample"),
        ({"lock-check": "yes"}, "lock-check is true or false"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_with_an_annotation(action, scene, inputs, told):
    ran = action.run(PROVISION, {"volume": str(scene.volume), **inputs})

    assert (ran.code, ran.outputs["ok"]) == (2, "false")
    assert f"::error title=provision::{told}" in ran.out


def test_where_an_s3_volume_is_reaches_the_command(action, scene):
    """Which refuses it for a folder: the only place that can be asked here."""
    for name, value in (("datacenter", "EU-RO-1"), ("endpoint-url", "http://127.0.0.1:9")):
        ran = action.run(PROVISION, {"volume": str(scene.volume), name: value})
        assert (ran.code, f"--{name}" in ran.err) == (2, True)


def test_a_volume_is_verified_through_s3_with_keys_from_the_environment(action, scene, bed):
    bed.upload(scene.volume)
    inputs = {"projects": PROJECT, "volume": f"s3://{BUCKET}", "endpoint-url": bed.s3.address, "mode": "full"}
    keys = {"RUNPOD_S3_ACCESS_KEY": KEYS.access, "RUNPOD_S3_SECRET_KEY": KEYS.secret}

    good = action.run(PROVISION, inputs, **keys)
    bed.admin.delete_object(Bucket=BUCKET, Key=TARGET)
    bad = action.run(PROVISION, inputs, **keys)
    keyless = action.run(PROVISION, inputs)

    assert (good.code, good.outputs["ok"]) == (0, "true"), good.err
    assert (bad.code, "::error" in bad.out) == (3, True)
    assert keyless.code not in {0, 3}
    assert "RUNPOD_S3_ACCESS_KEY" in keyless.err
    assert all(KEYS.secret not in ran.out + ran.err + ran.summary for ran in (good, bad, keyless))


@pytest.mark.parametrize(
    "attack", ["$(touch {})", "`touch {}`", '"; touch {}; "', "'; touch {}; '", "x\ntouch {}", "&& touch {}"]
)
@pytest.mark.parametrize(
    "name", ["projects", "manifests", "volume", "mode", "sample", "report", "lock-check", "datacenter"]
)
def test_no_input_runs_as_a_command(action, scene, tmp_path, name, attack):
    marker = tmp_path / "ran"
    inputs = {"volume": str(scene.volume), "lock-check": "false", "mode": "sample" if name == "sample" else "quick"}

    ran = action.run(PROVISION, inputs | {name: attack.format(marker)})

    assert not marker.exists()
    assert ran.outputs["ok"] == ("true" if ran.code == 0 else "false")


def test_the_installed_release_is_the_checkout_or_the_one_that_was_asked_for(action, tmp_path):
    """What pip does then is not waited for: a python3 that writes down what it is told to do."""
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin/python3"
    fake.write_text(
        f'#!/bin/sh\nif [ "$3" = venv ]; then mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; fi\n'
        f'echo "$@" >> {tmp_path}/told\n'
    )
    fake.chmod(0o755)
    path = f"{fake.parent}:/usr/bin:/bin"

    def installed(**inputs: str) -> str:
        assert action.run(INSTALL, inputs, PATH=path).code == 0
        return (tmp_path / "told").read_text().splitlines()[-1].rpartition("--disable-pip-version-check ")[2]

    assert installed() == str(ROOT)
    assert installed(volume="s3://v") == f"{ROOT}[s3]"
    assert installed(version="0.1.0", volume="/models") == "volume-provision==0.1.0"
    assert installed(version="0.1.0", volume="s3://v") == "volume-provision[s3]==0.1.0"


def test_no_module_of_the_checked_out_tree_is_imported_while_the_release_is_installed(action, scene, tmp_path):
    """A job's steps run beside the tree of whoever opened a pull request, with the job's secrets."""
    marker = tmp_path / "ran"
    for name in ("logging", "venv", "argparse", "pip", "subprocess", "shutil"):
        (scene.repository / f"{name}.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"

    ran = action.run(INSTALL, {"version": "0.0.0"}, PATH=path, PIP_NO_INDEX="1")

    assert "No matching distribution found for volume-provision==0.0.0" in ran.err
    assert not marker.exists()


def test_no_name_that_is_told_can_give_the_runner_a_command(action, scene):
    manifests = scene.repository / "a\n::warning::b\r::add-mask::c ##[error]d"
    scene.manifest.parent.rename(manifests)

    ran = action.run(PROVISION, {"manifests": manifests.name, "projects": "x"})

    assert "::warning::b" in ran.err
    assert "##[" not in ran.err
    assert all(line.startswith("| ") for line in re.split("[\r\n]", ran.err.rstrip("\n")))
    assert [line[:8] for line in ran.out.splitlines() if line.startswith("::")] == ["::error "]


def test_an_old_python_is_told_what_to_do(action, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin/python3").chmod(0o755)

    ran = action.run(INSTALL, {}, PATH=f"{tmp_path}/bin:/usr/bin:/bin")

    assert ran.code == 2
    assert "::error title=provision::python3 is not 3.11 or newer; put actions/setup-python" in ran.out


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_action_installs_itself_and_verifies(tmp_path, scene):
    action = Action(tmp_path, scene)
    if not (ROOT / "LICENSE").exists():
        pytest.skip("not a whole checkout")

    installed = action.run(INSTALL, {"volume": str(scene.volume)}, HOME=str(tmp_path))
    ran = action.run(PROVISION, {"volume": str(scene.volume)})

    assert installed.code == 0, installed.err
    assert (ran.code, ran.outputs["ok"]) == (0, "true"), ran.err


# the workflow of the docs


def workflow() -> dict:
    return yaml.safe_load(blocks("ci.md", "yaml")[0])


def test_the_workflow_is_one_by_githubs_schema(tmp_path):
    path = tmp_path / "models.yml"
    path.write_text(blocks("ci.md", "yaml")[0])

    checked("github-workflows", path)
    assert workflow()[True].keys() == {"pull_request", "push", "schedule"}  # YAML 1.1 reads `on` so


def test_the_workflow_does_what_the_docs_say_of_it(action, scene):
    """Both jobs' steps are run with what they hand to the action; a folder stands in for the volume in the cloud."""
    jobs = workflow()["jobs"]
    uses = {name: next(s for s in job["steps"] if s["uses"].startswith("OWNER/")) for name, job in jobs.items()}
    inputs = uses["volume"]["with"]

    assert inputs["volume"].startswith("s3://")
    assert set(inputs) <= set(action.document["inputs"])
    assert all(value.startswith("${{ secrets.") for value in uses["volume"]["env"].values())
    assert action.run(PROVISION, uses["locks"].get("with", {})).code == 0
    for mode in re.findall(r"'(sample|quick)'", inputs["mode"]):
        here = {"projects": inputs["projects"], "report": inputs["report"], "volume": str(scene.volume), "mode": mode}
        ran = action.run(PROVISION, here)
        assert (ran.code, ran.outputs["report"]) == (0, inputs["report"].strip())
