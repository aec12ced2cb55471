"""The examples of docs/ci.md and docs/workers.md do what the pages say: each is taken from its page and run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import yaml
from runner_bed import PROJECT, PROVISION, ROOT, Scene, blocks, checked, scene_in, shell

PAGES = ("ci.md", "workers.md")
BED = f"/locks/{PROJECT}.lock.json"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return scene_in(tmp_path)


def here(text: str, scene: Scene) -> str:
    """An example with the image's absolute paths led into the scene."""
    return text.replace(BED, str(scene.lock)).replace("/handler.py", str(scene.repository / "handler.py"))


def handler(scene: Scene) -> None:
    (scene.repository / "handler.py").write_text("import sys; print('the handler runs', *sys.argv[1:])\n")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")

    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text)
    assert links
    for path, anchor in links:
        target = ROOT / "docs" / (path or page)
        headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, (path, anchor, anchors)


@pytest.mark.parametrize("page", PAGES)
def test_every_shell_example_is_shell(page, tmp_path):
    for block in blocks(page, "sh"):
        assert shell(["sh", "-n", "-c", block], tmp_path).stderr == ""


# CI


def yaml_named(name: str) -> str:
    """The block that follows the mention of a file."""
    text = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
    return re.search(rf"`{re.escape(name)}`.*?^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1]


@pytest.fixture
def cloud(scene, tmp_path) -> str:
    """A PATH on which `provision` finds the scene's folder where the examples name a volume in RunPod's S3."""
    (tmp_path / "bin").mkdir()
    stand_in = tmp_path / "bin/provision"
    stand_in.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        "words = sys.argv[1:]\n"
        "if words[0] == 'verify':\n"
        "    at = words.index('--datacenter')\n"
        "    assert words[at + 1] == 'EU-RO-1'\n"
        "    del words[at : at + 2]\n"
        f"    words[words.index('s3://v0l')] = {str(scene.volume)!r}\n"
        f"os.execv({str(PROVISION)!r}, ['provision', *words])\n"
    )
    stand_in.chmod(0o755)
    return f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}"


def test_gitlabs_example_is_one_by_its_schema(tmp_path):
    (tmp_path / "ci.yml").write_text(yaml_named(".gitlab-ci.yml"))

    checked("gitlab-ci", tmp_path / "ci.yml")


def test_gitlabs_jobs_pass_on_a_good_volume_and_tell_of_a_bad_one(scene, cloud):
    jobs = yaml.safe_load(yaml_named(".gitlab-ci.yml"))

    def job(name: str) -> int:
        script = "set -e\n" + "\n".join(jobs[name]["script"])
        return shell(["bash", "-c", script], scene.repository, PATH=cloud, RUNPOD_VOLUME_ID="v0l").returncode

    assert (job("locks"), job("volume")) == (0, 0)
    assert (scene.repository / jobs["volume"]["artifacts"]["reports"]["junit"]).exists()

    scene.damage()
    scene.make_stale()
    assert (job("locks"), job("volume")) == (4, 3)
    assert "<failure" in (scene.repository / "provision.xml").read_text()


def test_any_other_ci_gets_the_exit_code_of_what_failed_first(scene, cloud):
    script = blocks("ci.md", "sh")[0]

    def ran() -> int:
        return shell(["sh", "-c", script], scene.repository, PATH=cloud, RUNPOD_VOLUME_ID="v0l").returncode

    assert ran() == 0
    scene.damage()
    assert ran() == 3
    scene.make_stale()
    assert ran() == 4


def test_the_hook_is_asked_for_by_the_name_that_it_has():
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    asked = yaml.safe_load(yaml_named(".pre-commit-config.yaml"))

    assert [hook["id"] for hook in asked["repos"][0]["hooks"]] == [hook["id"] for hook in hooks]


@pytest.mark.parametrize(
    ("path", "looked_at"),
    [("manifests/a.yaml", True), ("manifests/a.yml", True), ("manifests/a.lock.json", True), ("docs/a.yaml", False)],
)
def test_the_hook_runs_for_manifests_and_locks(path, looked_at):
    hook = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))[0]

    assert bool(re.search(hook["files"], path)) is looked_at
    assert hook["pass_filenames"] is False


def git(folder: Path, *words: str) -> str:
    who = {f"GIT_{role}_{what}": "x@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = shell(["git", *words], folder, HOME=str(folder), GIT_CONFIG_NOSYSTEM="1", **who)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_pre_commit_itself_installs_the_hook_and_stops_a_commit_with_a_stale_lock(scene, tmp_path):
    """The real pre-commit, from the package index; this checkout stands in for the repository that it clones."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", "pre-commit"], check=True, capture_output=True)
    ours = tmp_path / "ours"
    for name in ("provision", "scripts"):
        shutil.copytree(ROOT / name, ours / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml"):
        shutil.copy(ROOT / name, ours / name)
    git(ours, "init", "-q")
    git(ours, "add", ".")
    git(ours, "commit", "-q", "-m", "x")
    asked = yaml.safe_load(yaml_named(".pre-commit-config.yaml"))
    asked["repos"][0] |= {"repo": str(ours), "rev": git(ours, "rev-parse", "HEAD")}
    (scene.repository / ".pre-commit-config.yaml").write_text(yaml.safe_dump(asked))
    git(scene.repository, "init", "-q")
    git(scene.repository, "add", ".")

    def hooked() -> subprocess.CompletedProcess[str]:
        words = [str(python), "-m", "pre_commit", "run", "--all-files"]
        return subprocess.run(
            words, cwd=scene.repository, env=os.environ | {"PRE_COMMIT_HOME": str(tmp_path / "home")},
            text=True, capture_output=True, check=False, timeout=800,
        )  # fmt: skip

    fresh = hooked()
    assert fresh.returncode == 0, fresh.stdout + fresh.stderr
    assert "locks belong to their manifests" in fresh.stdout

    scene.make_stale()
    stale = hooked()
    assert stale.returncode == 1
    assert "does not belong to" in stale.stdout


# workers


def test_the_entrypoint_line_runs_the_handler_or_ends_with_the_reason(scene):
    line = next(block for block in blocks("workers.md", "sh") if "exec python" in block)
    handler(scene)

    def started() -> subprocess.CompletedProcess[str]:
        return shell(["sh", "-c", line], scene.repository, PROVISION_VOLUME=str(scene.volume))

    good = started()
    assert (good.returncode, good.stdout.splitlines()[-1]) == (0, "the handler runs")

    scene.damage()
    bad = started()
    assert (bad.returncode, "the handler runs" in bad.stdout) == (3, False)
    assert f"provision fill {PROJECT}" in bad.stdout


def dockerfile() -> dict[str, str]:
    """The example's instructions, by name; of several with one name the last."""
    text = blocks("workers.md", "dockerfile")[0].replace("\\\n", " ")
    return {line.split(" ", 1)[0]: line.split(" ", 1)[1].strip() for line in text.splitlines()}


def test_the_image_verifies_and_then_becomes_its_command(scene):
    handler(scene)
    image = dockerfile()
    entrypoint, command = (json.loads(here(image[name], scene)) for name in ("ENTRYPOINT", "CMD"))

    def started(*words: str) -> subprocess.CompletedProcess[str]:
        return shell([*entrypoint, *words], scene.repository, PROVISION_VOLUME=str(scene.volume))

    assert started(*command).stdout.splitlines()[-1] == "the handler runs"
    assert started("echo", "a  b", "$HOME").stdout.splitlines()[-1] == "a  b $HOME"

    scene.damage()
    bad = started(*command)
    assert (bad.returncode, "the handler runs" in bad.stdout) == (3, False)


def test_what_the_entrypoint_becomes_gets_the_signals(scene):
    """`exec`: no shell stays in between that would not hand them on."""
    (scene.repository / "handler.py").write_text("import os; print(os.getpid(), os.getppid())\n")
    entrypoint, command = (json.loads(here(dockerfile()[name], scene)) for name in ("ENTRYPOINT", "CMD"))

    with subprocess.Popen(
        [*entrypoint, *command], cwd=scene.repository, text=True, stdout=subprocess.PIPE,
        env={"PATH": f"{PROVISION.parent}:{os.environ['PATH']}", "PROVISION_VOLUME": str(scene.volume)},
    ) as process:  # fmt: skip
        last = process.communicate(timeout=60)[0].splitlines()[-1]

    assert last.split() == [str(process.pid), str(os.getpid())]


@pytest.mark.parametrize("trouble", ["", "damaged", "absent", "no lock"])
def test_the_health_check_says_0_or_1_and_nothing_else(scene, trouble):
    flags, _, command = here(dockerfile()["HEALTHCHECK"], scene).partition(" CMD ")
    if trouble == "damaged":
        scene.damage()
    if trouble == "absent":
        shutil.rmtree(scene.volume)
    if trouble == "no lock":
        scene.lock.unlink()

    done = shell(["/bin/sh", "-c", command], scene.repository, PROVISION_VOLUME=str(scene.volume))

    assert done.returncode == (1 if trouble else 0), done.stderr
    assert re.fullmatch(r"(--(interval|timeout|start-period|retries)=\d+[ms]?\s*)+", flags)


def pod() -> dict:
    return yaml.safe_load(blocks("workers.md", "yaml")[0])


def test_the_pods_mounts_are_of_volumes_that_it_has_and_for_reading():
    spec = pod()["spec"]
    volumes = {volume["name"] for volume in spec["volumes"]}
    mounts = [mount for one in (*spec["initContainers"], *spec["containers"]) for mount in one["volumeMounts"]]

    assert {mount["name"] for mount in mounts} == volumes
    assert all(mount["readOnly"] for mount in mounts)


@pytest.mark.parametrize("damaged", [False, True])
def test_the_init_container_ends_well_only_on_a_good_volume(scene, damaged):
    first = pod()["spec"]["initContainers"][0]
    paths = {mount["name"]: mount["mountPath"] for mount in first["volumeMounts"]}
    variables = {entry["name"]: entry["value"] for entry in first["env"]}
    if damaged:
        scene.damage()

    assert variables == {"PROVISION_VOLUME": paths["models"]}
    assert first["command"][-1].startswith(paths["locks"] + "/")
    command = [here(word, scene) for word in first["command"]]
    done = shell(command, scene.repository, PROVISION_VOLUME=str(scene.volume))
    assert done.returncode == (3 if damaged else 0)


def test_the_exit_codes_of_the_table_are_those_of_the_command(scene, tmp_path):
    rows = re.findall(r"^\| (\d+) \|", (ROOT / "docs/workers.md").read_text(encoding="utf-8"), re.MULTILINE)

    def code(*words: str) -> str:
        return str(shell(["provision", "verify", "--quick", *words], scene.repository).returncode)

    found = [code("--volume", str(scene.volume)), code("--volume", "/")]
    scene.damage()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/something").touch()
    found += [code("--volume", str(scene.volume)), code("--volume", str(tmp_path / "empty")), code("--volume", "gone")]
    assert found == rows


def test_the_handler_of_the_page_is_python():
    compile(blocks("workers.md", "python")[0], "handler.py", "exec")
