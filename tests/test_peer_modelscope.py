"""A ModelScope hub that nobody here wrote: the one with which the vendor tests its own client.

It stands in the tests of modelscope_hub's source distribution, which is fetched from the package registry when this
runs; nothing of it is kept here. Its faults are switched on file by file. Law 1 is asked after each: the final name
holds the promised bytes or does not exist.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from random import Random

import pytest
from hub_folder import run
from hub_kinds import MODELSCOPE, http_settings, reach

from provision.cli.projects import Project as Paths
from provision.cli.projects import required_lock
from provision.crew import Stop
from provision.hubs.http import Http
from provision.hubs.supply import Supply
from provision.progress import Silent
from provision.retry import Patience, Retry
from provision.transfer.fill import Means, fill, look_ahead
from provision.transfer.rate import Rate
from provision.transfer.width import Machine, Width
from provision.volume.mount import Volume
from provision.volume.writer import new_writer

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

VERSION = "0.5.1"
REPOSITORY = "owner/data"
LARGE, SMALL = "weights/model-00001.bin", "config.json"
DATA = {LARGE: Random(1).randbytes(300_000), SMALL: b'{"small": true}\n', "empty.txt": b"", "a/ü 1#%.txt": b"named\n"}


@pytest.fixture(scope="session")
def vendor(tmp_path_factory):
    """The vendor's test module, imported from its unpacked source distribution."""
    place = tmp_path_factory.mktemp("sdist")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        ":all:",
        "--dest",
        str(place),
    ]
    fetched = subprocess.run([*pip, f"modelscope_hub=={VERSION}"], capture_output=True, text=True, check=False)
    if fetched.returncode:
        pytest.skip(f"modelscope_hub {VERSION} cannot be had from the package registry: {fetched.stderr[-300:]}")
    with tarfile.open(next(place.glob("*.tar.gz"))) as archive:
        archive.extractall(place, filter="data")
    source = next(place.glob("*/tests/test_download_integrity.py"))
    spec = importlib.util.spec_from_file_location("modelscope_test_download_integrity", source)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@dataclass
class Peer:
    """The fake hub, and one project that is filled from it."""

    hub: object
    here: object
    waits: list[float] = field(default_factory=list)

    @property
    def volume(self):
        return self.here / "volume"

    def add(self, path, **faults):
        """Serve a file of DATA, with the vendor's faults; large ones by its CDN, small ones as the API does."""
        faults = {"mode": "lfs" if path == LARGE else "direct"} | faults
        self.hub.add(path, DATA[path], **faults)

    def run(self, command, *more):
        where = [] if command == "lock" else ["--volume", str(self.volume)]
        arguments = [command, "peer", "--manifests", str(self.here), *where, *more]
        return run("provision", *arguments, home=self.here, MODELSCOPE_ENDPOINT=self.hub.url)

    def must(self, command, *more):
        done = self.run(command, *more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def standing(self):
        """What has a final name."""
        root = self.volume / "ms"
        files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
        return {name: path.read_bytes() for name, path in files.items() if ".provision-" not in name}

    def clock(self):
        """Waits pass by being noted."""
        return time.monotonic() + sum(self.waits)

    def fill(self, **http):
        """A fill in this process, that notes its waits instead of waiting: what became of each file, or its error."""
        lock = required_lock(Paths(name="peer", manifest=self.here / "peer.yaml", lock=self.here / "peer.lock.json"))
        hub = reach(MODELSCOPE, self.hub.url, **http)
        retry = Retry(patience=Patience(), sleep=self.waits.append)
        means = Means(
            supply=Supply(lambda _: hub, Http(http_settings(**http)), retry),
            writer=new_writer(),
            progress=Silent(),
            stop=Stop(),
            clock=time.time,
            width=Width(2, 2, Machine(clock=self.clock, used=lambda: 0.0, cores=1), Stop()),
            rate=Rate(None, time.monotonic, self.waits.append),
        )
        with Volume.open(str(self.volume)) as volume:
            outcomes = fill(volume, look_ahead(volume, [lock], time.time()), means).outcomes
        return {told.step.file.path: type(told.error).__name__ if told.error else str(told.done) for told in outcomes}


@pytest.fixture
def peer(vendor, tmp_path):
    hub = vendor._FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _today(vendor._handler(hub), hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    server.handle_error = lambda *_: None  # clients that leave early are expected
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    (tmp_path / "peer.yaml").write_text(
        f"project: peer\nmodels:\n  - {{source: 'modelscope://{REPOSITORY}', target: ms, allow_pickle: true}}\n"
    )
    peer = Peer(hub, tmp_path)
    peer.volume.mkdir()
    try:
        yield peer
    finally:
        server.shutdown()
        server.server_close()


def _today(handler, hub):
    """The vendor's handler, with two routes that it lacks, and faults that end after `lasts` requests."""

    class Today(handler):
        def do_GET(self):  # noqa: N802 - http.server's name
            route, _, query = self.path.partition("?")
            if route == f"/api/v1/models/{REPOSITORY}":
                return self._send(200, b'{"Code": 200, "Data": {"License": "apache-2.0"}}')
            if route.endswith("/repo/files"):
                self.path = f"{route.removesuffix('files')}tree?{query}"
            return super().do_GET()

        def _serve_ranged(self, path):
            remote = hub.files[path]
            if len(hub.seen(path, "cdn")) > getattr(remote, "lasts", 1000):
                remote.status = 200
            super()._serve_ranged(path)

    return Today


def test_lock_fill_and_verify_bring_every_byte(peer):
    for path in DATA:
        peer.add(path)
    for command in ("lock", "fill", "verify"):
        peer.must(command)
    assert peer.standing() == DATA
    (model,) = json.loads((peer.here / "peer.lock.json").read_text())["models"]
    assert (model["revision"], model["commit"], model["license"]) == ("master", None, "apache-2.0")
    assert {file["path"]: file["sha256"] for file in model["files"]} == {
        path: hashlib.sha256(data).hexdigest() for path, data in DATA.items()
    }


def test_a_stream_that_is_cut_goes_on_where_it_stopped(peer):
    peer.add(LARGE, truncate_first=70_000)
    peer.must("lock")
    assert peer.fill() == {LARGE: "fetched"}
    assert peer.standing() == {LARGE: DATA[LARGE]}
    ranges = [request.range for request in peer.hub.seen(LARGE, "cdn")]
    assert ranges == [None, f"bytes=70000-{len(DATA[LARGE]) - 1}"]


OTHER = {
    "other bytes": bytes(len(DATA[LARGE])),
    "one byte less": DATA[LARGE][:-1],
    "one byte more": DATA[LARGE] + b"x",
    "nothing": b"",
}


@pytest.mark.parametrize(
    ("mode", "served", "error"),
    [
        ("lfs", "other bytes", "DigestMismatch"),
        ("lfs", "one byte less", "SizeMismatch"),
        ("lfs", "one byte more", "SizeMismatch"),
        ("lfs", "nothing", "SizeMismatch"),
        ("direct", "other bytes", "DigestMismatch"),
        ("direct", "one byte less", "ConnectionCut"),
        ("direct", "nothing", "ConnectionCut"),
    ],
)
def test_bytes_that_were_not_promised_get_no_name_until_the_right_ones_come(peer, mode, served, error):
    peer.add(LARGE, served=OTHER[served], mode=mode)
    peer.add(SMALL)
    peer.must("lock")
    assert peer.fill() == {SMALL: "fetched", LARGE: error}
    assert LARGE not in peer.standing()
    assert peer.run("verify").returncode == 3

    peer.add(LARGE, mode=mode)
    before = len(peer.hub.seen(SMALL, "api"))
    peer.must("fill")
    assert peer.standing() == {LARGE: DATA[LARGE], SMALL: DATA[SMALL]}
    assert len(peer.hub.seen(SMALL, "api")) == before
    peer.must("verify")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"header_delay": 1.0}, "Stalled"),
        ({"header_trickle": True}, "SizeMismatch"),
        ({"status": 403}, "AccessDenied"),  # its CDN is on the hub's own origin
        ({"status": 404}, "PathNotFound"),
        ({"status": 429, "retry_after": "7"}, "RateLimited"),
        ({"status": 503}, "RateLimited"),
    ],
    ids=str,
)
def test_a_fault_that_lasts_is_named_and_leaves_nothing(peer, fault, error):
    peer.add(LARGE, **fault)
    peer.add(SMALL)
    peer.must("lock")
    assert peer.fill(stall=0.3) == {SMALL: "fetched", LARGE: error}
    assert peer.standing() == {SMALL: DATA[SMALL]}


@pytest.mark.parametrize("status", [429, 500])
def test_a_fault_that_passes_is_passed(peer, status):
    peer.add(LARGE, status=status, retry_after="7")
    peer.hub.files[LARGE].lasts = 2
    peer.must("lock")
    assert peer.fill() == {LARGE: "fetched"}
    assert peer.standing() == {LARGE: DATA[LARGE]}
    assert len(peer.waits) == 2
    assert min(peer.waits) >= 7


def test_what_comes_after_the_promised_bytes_is_not_read(peer):
    """Without an announced length nothing gives it away; the promised bytes came, and they are proven."""
    peer.add(LARGE, served=OTHER["one byte more"], mode="direct")
    peer.must("lock")
    assert peer.fill() == {LARGE: "fetched"}
    assert peer.standing() == {LARGE: DATA[LARGE]}


def test_a_slow_hub_is_not_a_silent_one(peer):
    peer.add(SMALL, mode="lfs", trickle_interval=0.15)
    peer.must("lock")
    assert peer.fill(stall=2.0) == {SMALL: "fetched"}
    assert peer.waits == []
