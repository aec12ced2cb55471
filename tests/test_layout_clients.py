"""The two cache layouts, met by the hubs' own clients: unmodified, offline, on a volume that provision filled."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from hub_folder import LARGE, NAME, ODD, SMALL, build, run, tree, weights
from starlette.responses import PlainTextResponse

from provision.layout import Layout, Placement, sidecars, target_of
from provision.lock import LockedFile, LockedModel
from provision.serve import Folder
from provision.serve.server import Server

DOTTED, PINNED, PULLED, TWICE, SPEECH = "acme/na.me-2.5", "acme/pinned", "acme/pulled", "acme/twice", "acme/speech_v2.5"

HF_ASKED = (
    (NAME, None),
    (NAME, "main"),
    (DOTTED, None),
    (DOTTED, "v1.0"),
    (PINNED, None),
    (PINNED, "COMMIT"),
    (PULLED, None),
    (PULLED, "refs/pr/3"),
    (TWICE, None),
)
MS_ASKED = (
    (NAME, None, "master"),
    (NAME, "master", "master"),
    (SPEECH, None, "v2.0.4"),
    (SPEECH, "v2.0.4", "v2.0.4"),
    (DOTTED, "feature/x", "feature/x"),
)

MANIFEST = """
project: caches
models:
  - {{name: main, source: "hf://{NAME}@main", target: hub, layout: hf-cache}}
  - {{name: tag, source: "hf://{DOTTED}@v1.0", target: hub, layout: hf-cache, files: [{SMALL}, "unet/*"]}}
  - {{name: commit, source: "hf://{PINNED}@{commit}", target: hub, layout: hf-cache}}
  - {{name: pull, source: "hf://{PULLED}@refs/pr/3", target: hub, layout: hf-cache}}
  - {{name: some, source: "hf://{TWICE}", target: hub, layout: hf-cache, files: [{SMALL}]}}
  - {{name: more, source: "hf://{TWICE}", target: hub, layout: hf-cache, files: ["unet/*"]}}
  - {{name: master, source: "modelscope://{NAME}", target: ms, layout: modelscope-cache}}
  - {{name: speech, source: "modelscope://{SPEECH}@v2.0.4", target: ms, layout: modelscope-cache}}
  - {{name: slashed, source: "modelscope://{DOTTED}@feature/x", target: ms, layout: modelscope-cache}}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A server, and a volume that `provision lock` and `provision fill` have filled from it."""
    here = tmp_path_factory.mktemp("caches")
    for hub, names in {"hf": (NAME, DOTTED, PINNED, PULLED, TWICE), "modelscope": (NAME, SPEECH, DOTTED)}.items():
        for name in names:
            weights(build(here / "served", hub, name) / LARGE, {"up": 50_000, "down": 50_000})
    tags = {DOTTED: ["v1.0", "feature/x"], PULLED: ["refs/pr/3"], SPEECH: ["v2.0.4"]}
    folder = Folder(here / "served", tags=tags)
    commit = folder.repository("hf", PINNED).snapshot().commit
    (here / "manifests").mkdir()
    (here / "manifests/caches.yaml").write_text(MANIFEST.format(commit=commit, **globals()))
    (here / "volume").mkdir()
    visits = []
    with Server(folder, observe=visits.append) as server:
        reach = {"HF_ENDPOINT": server.endpoint, "MODELSCOPE_ENDPOINT": server.endpoint}
        for command in (["lock", "caches"], ["fill", "caches", "--volume", str(here / "volume")]):
            done = run("provision", *command, "--manifests", str(here / "manifests"), home=here, **reach)
            assert done.returncode == 0, done.stderr
        yield World(here, server, visits, commit)


class World:
    def __init__(self, here, server, visits, commit):
        self.here, self.server, self.visits, self.commit = here, server, visits, commit
        self.volume, self.hub, self.ms = here / "volume", here / "volume/hub", here / "volume/ms"

    def hf(self, code, hub=None, **environment):
        """What huggingface_hub says, offline unless told otherwise."""
        return client(code, self.here, **{"HF_HUB_CACHE": str(hub or self.hub), "HF_HUB_OFFLINE": "1"} | environment)

    def modelscope(self, code, cache=None):
        """What modelscope says, with an endpoint that answers nobody."""
        nowhere = "http://127.0.0.1:9"
        return client(code, self.here, MODELSCOPE_CACHE=str(cache or self.ms), MODELSCOPE_ENDPOINT=nowhere)


def client(code, home, **environment):
    """Runs `code`, which sets `answer`, in a Python of its own."""
    script = home / "client.py"
    script.write_text(f"import json\n{dedent(code)}\nprint('\\n' + json.dumps(answer))\n")
    done = run(Path(sys.executable).name, str(script), home=home, **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def state(place):
    """Every name below `place`, with what a writer could not help to change."""
    found = {path: path.lstat() for path in [place, *place.rglob("*")]}
    return {path: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


def refusal(code):
    return f"""
        try:
            {code}
            answer = None
        except Exception as error:
            answer = type(error).__name__
    """


@pytest.fixture(scope="module")
def snapshots(world):
    """Where snapshot_download finds each of HF_ASKED."""
    asked = [(name, revision and revision.replace("COMMIT", world.commit)) for name, revision in HF_ASKED]
    found = world.hf(f"""
        from huggingface_hub import snapshot_download
        answer = [snapshot_download(name, revision=revision, local_files_only=True) for name, revision in {asked!r}]
    """)
    return dict(zip(HF_ASKED, found, strict=True))


def promised(world, name):
    """What the manifest wants of a repository."""
    whole = tree(world.here / "served/hf" / name)
    if name not in {DOTTED, TWICE}:
        return whole
    return {path: data for path, data in whole.items() if path == SMALL or path.startswith(f"{Path(LARGE).parent}/")}


@pytest.mark.parametrize("asked", HF_ASKED, ids=str)
def test_snapshot_download_finds_every_promised_file_offline(world, snapshots, asked):
    assert tree(Path(snapshots[asked])) == promised(world, asked[0])


def test_hf_hub_download_and_try_to_load_from_cache_agree(world):
    found = world.hf(f"""
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
        wanted = [({NAME!r}, {LARGE!r}, None), ({NAME!r}, {ODD!r}, "main"), ({DOTTED!r}, {SMALL!r}, "v1.0"),
                  ({PINNED!r}, {SMALL!r}, {world.commit!r}), ({PULLED!r}, {SMALL!r}, "refs/pr/3")]
        answer = [[hf_hub_download(name, path, revision=revision),
                   try_to_load_from_cache(name, path, revision=revision)] for name, path, revision in wanted]
    """)
    assert len(found) == 5
    for downloaded, loaded in found:
        assert downloaded == loaded
        assert downloaded.startswith(str(world.hub))


def test_scan_cache_dir_knows_every_repository_and_warns_of_nothing(world):
    found = world.hf("""
        from huggingface_hub import scan_cache_dir
        info = scan_cache_dir()
        refs = {repo.repo_id: sorted(ref for held in repo.revisions for ref in held.refs) for repo in info.repos}
        answer = [refs, [str(warning) for warning in info.warnings], len(info.incomplete_files)]
    """)
    pinned = {DOTTED: ["main", "v1.0"], PINNED: ["main"], PULLED: ["main", "refs/pr/3"]}
    assert found == [pinned | {NAME: ["main"], TWICE: ["main"]}, [], 0]


def test_what_was_never_promised_is_not_found(world):
    assert world.hf(refusal(f"import huggingface_hub as h; h.snapshot_download({NAME!r}, revision='v9')"))
    assert world.hf(refusal(f"import huggingface_hub as h; h.hf_hub_download({DOTTED!r}, 'README.md')"))


def test_online_the_client_adds_what_the_manifest_left_out_and_fetches_nothing_twice(world, tmp_path):
    shutil.copytree(world.hub, tmp_path / "hub")
    before = len(world.visits)
    found = world.hf(
        f"""
        from huggingface_hub import snapshot_download
        answer = snapshot_download({DOTTED!r}, revision="v1.0")
        """,
        hub=tmp_path / "hub",
        HF_HUB_OFFLINE="0",
        HF_ENDPOINT=world.server.endpoint,
    )
    assert tree(tmp_path / found) == tree(world.here / "served/hf" / DOTTED)
    fetched = [visit.path for visit in world.visits[before:] if visit.method == "GET" and "/resolve/" in visit.path]
    assert fetched
    assert not [path for path in fetched if path.endswith((SMALL, LARGE))]


@pytest.fixture(scope="module")
def copies(world):
    """Where modelscope, the library below it, and its way to one file find each of MS_ASKED.

    Without a revision its way to one file asks the hub for tags first, also when told to use local files only.
    """
    found = world.modelscope(f"""
        from modelscope import snapshot_download
        from modelscope.hub.file_download import model_file_download
        from modelscope_hub import HubApi
        answer = []
        for name, revision, snapshot in {MS_ASKED!r}:
            asked = dict(revision=revision, local_files_only=True)
            answer.append([snapshot_download(name, **asked), str(HubApi().download_repo(name, "model", **asked)),
                           model_file_download(name, {ODD!r}, snapshot, local_files_only=True)])
    """)
    return dict(zip(MS_ASKED, found, strict=True))


@pytest.mark.parametrize("asked", MS_ASKED, ids=str)
def test_modelscope_finds_every_promised_file_offline(world, copies, asked):
    (name, _, snapshot), (by_shim, by_hub, one) = asked, copies[asked]
    assert by_shim == by_hub == str(world.ms / "models" / name.replace("/", "--") / "snapshots" / snapshot)
    assert tree(Path(by_hub)) == tree(world.here / "served/modelscope" / name)
    assert one == f"{by_hub}/{ODD}"


def test_modelscope_lists_the_cache_and_refuses_a_revision_that_is_not_there(world):
    found = world.modelscope("""
        from modelscope_hub import HubApi
        answer = sorted((repo.repo_id, repo.revision) for repo in HubApi().scan_cache().repos)
    """)
    assert found == [[DOTTED, "feature"], [SPEECH, "v2.0.4"], [NAME, "master"]]
    gone = f"import modelscope as m; m.snapshot_download({NAME!r}, revision='v9', local_files_only=True)"
    assert world.modelscope(refusal(gone)) == "CacheNotFound"


def test_offline_clients_leave_the_volume_as_it_is(world):
    before = state(world.volume)
    world.hf(f"""
        from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download
        snapshot_download({NAME!r}), hf_hub_download({PULLED!r}, {SMALL!r}), scan_cache_dir()
        answer = 0
    """)
    world.modelscope(f"""
        from modelscope import snapshot_download
        answer = snapshot_download({NAME!r}, local_files_only=True)
    """)
    assert state(world.volume) == before


def test_a_revision_leads_nowhere_until_its_whole_snapshot_stands(tmp_path):
    place = build(tmp_path / "served", "hf")
    weights(place / LARGE, {"up": 10})
    manifest = f"project: one\nmodels:\n  - {{source: 'hf://{NAME}', target: hub, layout: hf-cache}}\n"
    (tmp_path / "one.yaml").write_text(manifest)
    (tmp_path / "volume").mkdir()
    with Server(Folder(tmp_path / "served")) as server:
        world = World(tmp_path, server, [], "")

        def provision(*command):
            return run("provision", *command, "--manifests", str(tmp_path), home=tmp_path, HF_ENDPOINT=server.endpoint)

        assert provision("lock", "one").returncode == 0
        whole, server.cdn = server.cdn, PlainTextResponse("gone", 404)
        assert provision("fill", "one", "--volume", str(world.volume)).returncode == 5
        find = f"import huggingface_hub as h; h.snapshot_download({NAME!r})"
        assert list(world.hub.rglob(SMALL))
        assert world.hf(refusal(find)) == "LocalEntryNotFoundError"
        server.cdn = whole
        assert provision("fill", "one", "--volume", str(world.volume)).returncode == 0
        assert world.hf(refusal(find)) is None


def test_a_repository_without_an_owner_is_found(world, tmp_path):
    """Such as `gpt2`. The served folder has none, so this lays one as a fill does."""
    place = Placement(layout=Layout.HF_CACHE, folder="hub", repository="gpt2", revision="main", commit=world.commit)
    file = LockedFile(path="config.json", target=target_of("config.json", place), size=2, sha256="0" * 64)
    model = LockedModel(
        name="gpt2",
        source="hf://gpt2",
        revision="main",
        commit=world.commit,
        layout="hf-cache",
        license=None,
        meaning_sha256="0" * 64,
        files=(file,),
    )
    for target, text in [(file.target, "{}"), *((beside.target, beside.text) for beside in sidecars([model]))]:
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / target).write_text(text)
    code = """
        from huggingface_hub import hf_hub_download, scan_cache_dir
        info = scan_cache_dir()
        answer = [hf_hub_download("gpt2", "config.json"), [repo.repo_id for repo in info.repos], len(info.warnings)]
    """
    assert world.hf(code, hub=tmp_path / "hub") == [str(tmp_path / file.target), ["gpt2"], 0]


@pytest.mark.parametrize("mode", ["--full", "--quick"])
def test_a_snapshot_that_its_client_cannot_find_is_not_called_good(world, tmp_path, mode):
    """The files are right, and `from_pretrained` fails all the same: its way to them is a ref."""
    copy = tmp_path / "volume"
    shutil.copytree(world.volume, copy)
    ref = copy / "hub" / f"models--{NAME.replace('/', '--')}" / "refs/main"

    def verify():
        return run("provision", "verify", "--full", "-q", "--volume", str(copy), home=tmp_path)

    assert verify().returncode == 0  # and leaves receipts for the copy
    ref.unlink()
    done = run("provision", "verify", mode, "-q", "--volume", str(copy), home=tmp_path)

    assert done.returncode == 3
    assert f"\n  missing    hub/models--{NAME.replace('/', '--')}/refs/main\n" in done.stdout
