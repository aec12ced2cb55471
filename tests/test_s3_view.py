"""The same folder, mounted and through S3: the same bytes, the same verdicts, and no more requests than needed."""

from __future__ import annotations

import os
import random
from pathlib import Path

import hub_folder
import pytest
from misbehaving_s3 import Rule, refuses
from s3_bed import BUCKET, KEYS, Bed, bed_of_a_test, honest_server  # noqa: F401 - fixtures
from test_layers import locked
from volume_material import NOW, receipt_for

from provision.errors import UnsafePath, VolumeError
from provision.verification.findings import Promise, State
from provision.verification.header import header_finding
from provision.volume.mount import Volume
from provision.volume.receipts import read_receipts
from provision.volume.receipts.writing import ReceiptWriter
from provision.volume.s3 import Endpoint, Place
from provision.volume.s3.file import BEGINNING

NAMES = (
    "models/plain.bin", "models/epoch=3-step=1000.ckpt", "models/a b  c.bin", "models/a+b.bin", "models/100%.bin",
    "models/100%25.bin", "models/a%2Fb.bin", "models/a#b.bin", "models/a?b=c&d.bin", "models/模型/größe-é.bin",
    "models/~'()!*@$,;:[]{}|^`\"<>.bin", "models/e\u0301.bin", "models/...bin", "m/.hidden", "x" * 200 + "/y",
)  # fmt: skip
ABSENT = ("models/absent.bin", "models/absent/a.bin", ".provision/absent", "models/plain.bi", "Models/plain.bin")
SIZES = (0, 1, 8, BEGINNING - 1, BEGINNING, BEGINNING + 1, 3 * BEGINNING + 7)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    draw = random.Random(4)
    for number, name in enumerate(NAMES):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw.randbytes(SIZES[number % len(SIZES)]))
    return tmp_path


def test_both_views_read_the_same_at_every_place_whatever_a_file_is_called(bed: Bed, root: Path):
    bed.upload(root)
    draw = random.Random(5)
    with Volume.open(str(root)) as mounted, bed.view() as seen:
        for name in NAMES:
            with mounted.open_file(name) as here, seen.open_file(name) as there:
                size = here.stat().st_size
                assert there.stat().st_size == size
                places = [(0, 8), (0, size), (size, 4), (size + 9, 4), (max(0, size - 3), 9), (0, 0)]
                places += [(draw.randint(0, size), draw.randint(0, size)) for _ in range(8)]
                for offset, length in places:
                    assert there.read_at(offset, length) == here.read_at(offset, length), (name, offset, length)
                    assert into(there, offset, length) == into(here, offset, length), (name, offset, length)
        assert [mounted.open_file(name) for name in ABSENT] == [seen.open_file(name) for name in ABSENT] == [None] * 5


def into(file, offset, length):
    buffer = bytearray(length)
    count = file.read_into(offset, memoryview(buffer))
    return bytes(buffer[:count])


@pytest.mark.parametrize("target", ["../outside", "models/../../outside", "/models/a", "a//b", "", "a\nb"])
def test_what_leaves_the_root_is_never_asked_for(bed: Bed, target: str):
    with bed.view() as seen, pytest.raises(UnsafePath):
        seen.open_file(target)

    assert bed.s3.log == []


def test_a_folder_of_the_bucket_may_be_the_root(bed: Bed):
    bed.put("deep/er/models/a.bin", b"abc")

    with bed.view(place=Place(bucket=BUCKET, prefix="deep/er")) as seen:
        assert seen.path == f"s3://{BUCKET}/deep/er"
        assert seen.open_file("models/a.bin").read_at(0, 9) == b"abc"
        assert seen.open_file("deep/er/models/a.bin") is None


def test_receipts_are_found_by_their_index_and_vouch_in_both_views(bed: Bed, tmp_path: Path):
    data = random.Random(6).randbytes(1000)
    (tmp_path / "models/sub").mkdir(parents=True)
    path = tmp_path / "models/sub/a.safetensors"
    path.write_bytes(data)
    os.utime(path, (NOW, NOW))
    with Volume.open(str(tmp_path)) as mounted, ReceiptWriter(mounted, lambda: NOW) as receipts:
        receipts.add(receipt_for(tmp_path, data))
    bed.upload(tmp_path)

    with Volume.open(str(tmp_path)) as mounted, bed.view() as seen:
        names = mounted.state_names("receipts")
        assert sorted([*seen.state_names("receipts"), "index.txt"]) == sorted(names)
        assert len(names) == 2
        assert read_receipts(seen, NOW) == read_receipts(mounted, NOW) != {}
        assert seen.state_names("absent") == mounted.state_names("absent") == []


def test_a_hostile_index_names_nothing_elsewhere(bed: Bed):
    bed.put(".provision/receipts/index.txt", b"../../x\n/etc/passwd\na/b\n\n\x00\ngood.jsonl\n..\n" + b"z" * 300)

    with bed.view() as seen:
        assert seen.state_names("receipts") == ["good.jsonl"]


def test_a_header_costs_one_head_and_one_range(bed: Bed, tmp_path: Path):
    hub_folder.weights(tmp_path / "a.safetensors", {"w": 500_000, "v": 300})
    data = (tmp_path / "a.safetensors").read_bytes()
    promise = Promise(project="p", model="m", file=locked(data, "a.safetensors"))
    bed.put("a.safetensors", data)

    with bed.view() as seen, seen.open_file("a.safetensors") as opened:
        assert opened.stat().st_size == len(data)
        assert header_finding(promise, opened) is None
        opened.stat()

    assert [(asked.method, asked.range) for asked in bed.s3.log] == [
        ("HEAD", None),
        ("GET", f"bytes=0-{BEGINNING - 1}"),
    ]


def test_a_header_that_is_wrong_is_found_through_s3_as_well(bed: Bed, tmp_path: Path):
    hub_folder.weights(tmp_path / "a.safetensors", {"w": 50})
    data = (tmp_path / "a.safetensors").read_bytes()
    promise = Promise(project="p", model="m", file=locked(data, "a.safetensors"))
    bed.put("a.safetensors", data[:20] + bytes([data[20] ^ 1]) + data[21:])

    with bed.view() as seen, seen.open_file("a.safetensors") as opened:
        finding = header_finding(promise, opened)

    assert finding is not None
    assert finding.state is State.HEADER


def test_of_absent_files_the_first_alone_costs_two_requests(bed: Bed):
    with bed.view() as seen:
        assert [seen.open_file(f"{n}.bin") for n in range(4)] == [None] * 4

    assert [asked.method for asked in bed.s3.log] == ["HEAD", "GET", "HEAD", "HEAD", "HEAD"]


def test_after_a_file_that_is_there_an_absent_one_costs_one_request(bed: Bed):
    bed.put("a.bin", b"abc")
    with bed.view() as seen:
        assert seen.open_file("a.bin") is not None
        assert seen.open_file("b.bin") is None

    assert [asked.method for asked in bed.s3.log] == ["HEAD", "HEAD"]


def test_volumes_that_people_call_the_same_are_told_apart_by_their_identity(bed: Bed):
    elsewhere = {
        "endpoint": Endpoint(url="http://127.0.0.1:9", region="us-east-1"),
        "place": Place(bucket=BUCKET, prefix="deep"),
    }
    with bed.view() as seen:
        known = {seen.identity}
        assert bed.s3.address in seen.identity
        assert not {KEYS.access, KEYS.secret} & set(seen.identity.split())
    for name, value in (*elsewhere.items(), ("endpoint", Endpoint(url=bed.s3.address, region="EU-RO-1"))):
        with bed.view(**{name: value}) as seen:
            known.add(seen.identity)
    assert len(known) == 4

    slashed = Endpoint(url=bed.s3.address + "/", region="us-east-1")
    with bed.view() as seen, bed.view(endpoint=slashed) as same:
        assert seen.identity == same.identity


@pytest.mark.parametrize("status", [403, 401])
def test_keys_that_may_not_read_the_receipts_go_on_without_them_and_say_so_once(bed: Bed, status: int):
    bed.put("a.bin", b"abc")
    bed.s3.rules[:] = [Rule("", ".provision/", refuses(status, "AccessDenied"))]

    with bed.view() as seen:
        assert read_receipts(seen, NOW) == read_receipts(seen, NOW) == {}
        assert seen.open_file("a.bin").read_at(0, 3) == b"abc"

    assert bed.said == ["these keys may not read .provision/receipts: no receipt vouches"]


@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "SlowDown"), (403, "InvalidAccessKeyId")])
def test_receipts_that_cannot_be_had_for_another_reason_are_an_error(bed: Bed, status: int, code: str):
    bed.s3.rules[:] = [Rule("", ".provision/", refuses(status, code))]

    with bed.view() as seen, pytest.raises(VolumeError):
        seen.state_names("receipts")

    assert bed.said == []


def test_keys_are_asked_for_with_nothing_from_the_environment(bed: Bed, monkeypatch, tmp_path: Path):
    (tmp_path / "config").write_text("[default]\nregion = nowhere\ns3 =\n  addressing_style = virtual\n")
    for name, value in {
        "AWS_PROFILE": "nobody", "AWS_CONFIG_FILE": str(tmp_path / "config"), "HTTP_PROXY": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "ANOTHER", "AWS_CA_BUNDLE": "/absent",
        "AWS_MAX_ATTEMPTS": "9", "NO_PROXY": "", "no_proxy": "",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    bed.put("a.bin", b"abc")

    with bed.view() as seen:
        assert seen.open_file("a.bin").read_at(0, 3) == b"abc"

    assert all("user_ACCESSKEY" in asked.headers["Authorization"] for asked in bed.s3.log)
