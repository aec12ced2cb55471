"""A hub that nobody here wrote: olah, a Hugging Face mirror, over a real git repository with LFS.

It is odd in ways of its own, and a first test says which, so that the others mean something.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from hub_folder import LARGE, NAME, SMALL, ask, build, run, tree

from provision.digest import PIECE_SIZE

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not shutil.which("git-lfs"), reason="needs Debian's git and git-lfs"),
]

VERSION = "0.5.4"
BIG = "big/weights.bin"
BIG_SIZE = 3 * PIECE_SIZE + 5


@pytest.fixture(scope="session")
def olah():
    """The program, in an environment of its own that is kept from one run of the tests to the next."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "volume-provision-tests" / f"olah-{VERSION}-py{sys.version_info[0]}.{sys.version_info[1]}"
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        pip = [str(place / "bin/python"), "-m", "pip", "install", "--quiet", f"olah=={VERSION}"]
        installed = subprocess.run(pip, capture_output=True, text=True, check=False)
        if installed.returncode:
            pytest.skip(f"olah {VERSION} cannot be had from the package registry: {installed.stderr[-300:]}")
        (place / "complete").touch()
    return place / "bin/olah-cli"


@pytest.fixture(scope="module")
def mirror(olah, tmp_path_factory):
    """An olah that serves one repository, as its own documentation says: offline, from a plain git clone."""
    here = tmp_path_factory.mktemp("olah")
    place = here / "mirrors/models" / NAME
    place.parent.mkdir(parents=True)
    build(here / "built", "hf").rename(place)
    (place / BIG).parent.mkdir()
    (place / BIG).write_bytes(os.urandom(BIG_SIZE))
    _commit(place)
    with _serving(olah, here) as mirror:
        yield mirror


class Mirror:
    """Where olah is, and the requests that it says it has answered."""

    def __init__(self, endpoint, repository, process):
        self.endpoint, self.repository, self._process = endpoint, repository, process
        self.lines = []

    def start(self):
        """Returns when requests are answered; what olah says from then on is kept as it comes."""
        for line in self._process.stdout:
            if "Uvicorn running" in line:
                break
        else:
            pytest.fail(f"olah ended: {self._process.wait()}")
        threading.Thread(target=lambda: self.lines.extend(self._process.stdout), daemon=True).start()

    @property
    def promised(self):
        return {path: data for path, data in tree(self.repository).items() if not path.startswith(".git/")}


@contextmanager
def _serving(olah, here):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = f"""
        [basic]
        host = "127.0.0.1"
        port = {port}
        repos-path = "{here}/repos"
        mirrors-path = ["{here}/mirrors"]
        [accessibility]
        offline = true
    """
    (here / "olah.toml").write_text(settings)
    process = subprocess.Popen(
        [str(olah), "--config", str(here / "olah.toml")],
        cwd=here,
        env={"PATH": os.environ["PATH"], "HOME": str(here), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        mirror = Mirror(f"http://127.0.0.1:{port}", here / "mirrors/models" / NAME, process)
        mirror.start()
        yield mirror
    finally:
        process.kill()
        process.wait()


def _commit(place):
    (place / ".gitattributes").write_text("*.safetensors filter=lfs -text\n*.bin filter=lfs -text\n")
    me = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    for command in (["init", "-q", "-b", "main"], ["lfs", "install", "--local"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=place, check=True, capture_output=True)
    subprocess.run(["git", *me, "commit", "-q", "-m", "as it is"], cwd=place, check=True, capture_output=True)
    subprocess.run(["git", "tag", "v1.0"], cwd=place, check=True)


class Project:
    """One manifest, its lock and a volume; `provision` run on them as people run it."""

    def __init__(self, here, endpoint):
        self.here, self.volume = here, here / "volume"
        self.volume.mkdir()
        self.environment = {"HF_ENDPOINT": endpoint}

    def write(self, entry):
        (self.here / "peer.yaml").write_text(f"project: peer\nmodels:\n  - {entry}\n")

    def arguments(self, command):
        volume = [] if command == "lock" else ["--volume", str(self.volume)]
        return [command, "peer", "--manifests", str(self.here), *volume]

    def run(self, command, *more):
        return run("provision", *self.arguments(command), *more, home=self.here, **self.environment)

    def must(self, command, *more):
        done = self.run(command, *more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def held(self):
        """Whole pieces in partials."""
        return sum(path.stat().st_size for path in self.volume.rglob("*.partial")) // PIECE_SIZE


@pytest.fixture
def project(tmp_path, mirror):
    return Project(tmp_path, mirror.endpoint)


def test_olah_is_as_odd_as_it_was(mirror):
    """What the tests below have survived. Should this fail, another version of olah has better manners."""
    api, files = f"{mirror.endpoint}/api/models/{NAME}", f"{mirror.endpoint}/{NAME}/resolve/main"
    assert ask(api).status == 401
    assert ask(f"{api}/revision/main").status == 200
    listing = ask(f"{api}/tree/main?recursive=true")
    assert listing.status == 307
    assert listing.headers["Location"].endswith("/tree/main/?recursive=true")
    head = ask(f"{files}/{LARGE}", "HEAD")
    assert re.fullmatch("[0-9a-f]{64}", head.headers["ETag"])
    assert "X-Linked-ETag" not in head.headers
    part = ask(f"{files}/{SMALL}", Range="bytes=1-2")
    assert (part.status, part.body) == (200, (mirror.repository / SMALL).read_bytes())
    assert part.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in part.headers
    assert ask(f"{files}/nothing-there.bin").status == 500


@pytest.mark.parametrize("revision", ["@main", "@v1.0", ""])
def test_lock_fill_and_verify_bring_every_byte(mirror, project, revision):
    project.write(f"{{source: 'hf://{NAME}{revision}', target: tiny, allow_pickle: true, exclude: [{BIG}]}}")
    project.must("lock")
    project.must("fill")
    project.must("verify")
    assert tree(project.volume / "tiny") == {path: data for path, data in mirror.promised.items() if path != BIG}


@pytest.mark.slow
def test_a_locked_file_that_the_mirror_has_lost_is_not_filled(project):
    """It answers 500, which is not told from a hub that will be back: exit 6, and nothing at the final name."""
    project.write(f"{{source: 'hf://{NAME}@main', target: tiny, files: [{SMALL}, README.md]}}")
    project.must("lock")
    lock = project.here / "peer.lock.json"
    lock.write_text(lock.read_text().replace(f'"path": "{SMALL}"', '"path": "nothing-there.json"'))
    done = project.run("fill", "--frozen", "--format", "json")
    assert done.returncode == 6
    told = {file["target"]: file for file in json.loads(done.stdout)["files"]}
    assert told[f"tiny/{SMALL}"]["error"]["kind"] == "Unreachable"
    assert {name for name in tree(project.volume / "tiny") if not name.startswith(".provision-")} == {"README.md"}


@pytest.mark.slow
def test_a_killed_fill_resumes_though_ranges_are_ignored(mirror, project):
    """The bytes that are there come once more and are passed over; what was proven stays, and one piece may be lost."""
    project.write(f"{{source: 'hf://{NAME}@main', target: tiny, allow_pickle: true, files: [{BIG}]}}")
    project.must("lock")
    program = str(Path(sys.executable).with_name("provision"))
    environment = {"PATH": os.environ["PATH"], "HOME": str(project.here), **project.environment}
    filling = subprocess.Popen([program, *project.arguments("fill")], env=environment, stderr=subprocess.DEVNULL)
    while project.held < 2:
        with pytest.raises(subprocess.TimeoutExpired):  # it must not end by itself
            filling.wait(0.02)
    filling.kill()
    filling.wait()
    held = project.held
    assert not (project.volume / "tiny" / BIG).exists()

    (file,) = json.loads(project.must("fill", "--format", "json"))["files"]
    assert file["action"] == "resumed"
    assert file["reused_bytes"] in {held * PIECE_SIZE, (held - 1) * PIECE_SIZE}
    assert (project.volume / "tiny" / BIG).read_bytes() == (mirror.repository / BIG).read_bytes()
    project.must("verify")
