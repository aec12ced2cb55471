"""Arrows point inwards: each module imports only from its own ring or those below, and each vendor has one home."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import hub_folder
import pytest
from volume_material import NOW, promised, receipt_for

from provision.errors import ExitCode
from provision.lock import HeaderFacts, Lock, LockedFile, LockedModel, dumps
from provision.tensorfile import parse_header
from provision.volume.locks import write_lock
from provision.volume.mount import Volume
from provision.volume.receipts.writing import ReceiptWriter

PACKAGE = Path(__file__).parent.parent / "provision"

RINGS = (
    ("errors", "names", "buffer", "digest", "tensorfile", "progress", "retry", "crew"),
    ("manifest", "lock", "layout", "composition", "hubs"),
    ("plan", "difference", "freshness", "shard"),
    (
        "volume",
        "resolution",
        "facts",
        "fitting",
        "mirrors",
        "pins",
        "hubs.huggingface",
        "hubs.modelscope",
        "hubs.https",
        "hubs.schemes",
    ),
    ("transfer", "verification", "serve", "status", "pods"),
    ("report", "demo"),
    ("cli", "__main__", "fitness"),
)
"""Design §4, from the inside out; a longer name is more precise. `names`, `buffer`, `retry`, `crew` serve all."""

VENDORS = {
    "click": "provision.cli",
    "tqdm": "provision.progress",
    "tenacity": "provision.retry",
    "urllib3": "provision.hubs.http",
    "huggingface_hub": "provision.hubs.huggingface",
    "httpx2": "provision.hubs.huggingface",
    "hf_xet": "provision.hubs.xet",
    "modelscope": "provision.hubs.modelscope",
    "modelscope_hub": "provision.hubs.modelscope",
    "requests": "provision.hubs.modelscope",
    "picklescan": "provision.verification.pickles",
    "xxhash": "provision.digest",
    "yaml": "provision.manifest",
    "starlette": "provision.serve",
    "uvicorn": "provision.serve",
    "boto3": "provision.volume.s3",
    "botocore": "provision.volume.s3",
    "runpod": "provision.pods.runpod",
}

NEVER_FOR_QUICK = (
    "huggingface_hub", "modelscope", "modelscope_hub", "yaml", "tqdm", "tenacity", "urllib3", "requests",
    "httpx2", "hf_xet", "xxhash", "starlette", "asyncio", "ssl",
)  # fmt: skip

RESOLVES = ("provision.resolution", "provision.hubs", "provision.composition", "provision.manifest.selection")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports_of(path: Path) -> frozenset[str]:
    """Every module imported at run time, at any depth; what only the type checker sees is left out."""
    tree = ast.parse(path.read_text())
    hidden = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def ring_of(module: str) -> int | None:
    """The ring of the longest name in RINGS that `module` is, or lies in; None for the package's own root."""
    inside = module.removeprefix("provision.")
    fits = [
        (len(name), ring)
        for ring, names in enumerate(RINGS)
        for name in names
        if inside == name or inside.startswith(f"{name}.")
    ]
    return max(fits)[1] if fits else None


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_module_imports_only_from_its_own_ring_and_those_below(path: Path) -> None:
    module = name_of(path)
    if module == "provision":
        return
    ring = ring_of(module)

    assert ring is not None, f"{module} is in no ring: give it a place in RINGS"
    above = {name for name in imports_of(path) if name.startswith("provision.") and (ring_of(name) or 0) > ring}
    assert above == set()


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendor_is_imported_in_one_place_only(vendor: str) -> None:
    home = VENDORS[vendor]

    strangers = {
        name_of(path)
        for path in modules()
        if any(name.split(".")[0] == vendor for name in imports_of(path))
        and not (name_of(path) == home or name_of(path).startswith(f"{home}."))
    }

    assert strangers == set()


def test_a_volume_knows_no_hub_and_a_hub_no_volume() -> None:
    for path in modules():
        module = name_of(path)
        if module.startswith("provision.volume"):
            assert not any(name.startswith("provision.hubs") for name in imports_of(path)), module
        if module.startswith("provision.hubs"):
            assert not any(name.startswith("provision.volume") for name in imports_of(path)), module


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_quick_verification_imports_no_sdk_and_nothing_heavy(tmp_path: Path, output: str) -> None:
    filled_volume(tmp_path, files=6)
    program = (
        "import sys; from provision.cli import run; "
        f"code = run(['verify', '--quick', '--volume', {str(tmp_path)!r}, '--format', {output!r}]); "
        "print(); print(code, *sorted(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    code, *loaded = done.stdout.splitlines()[-1].split()

    assert code == "0", done.stdout
    assert {name for name in loaded if name.split(".")[0] in NEVER_FOR_QUICK} == set()


def test_a_check_of_a_lock_imports_nothing_that_resolves(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("project: p\nmodels:\n  - source: hf://o/n\n")
    (tmp_path / "p.lock.json").write_text(dumps(Lock(project="p", root="", manifest_sha256="c" * 64, models=())))
    program = (
        "import sys; from provision.cli import run; "
        f"print(run(['lock', '--check', '--manifests', {str(tmp_path)!r}]), *sorted(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    code, *loaded = done.stdout.split()

    assert code == str(int(ExitCode.LOCK)), done.stderr
    assert {name for name in loaded if name.split(".")[0] in {*NEVER_FOR_QUICK} - {"yaml"}} == set()
    assert {name for name in loaded if name.startswith(RESOLVES)} == set()


def filled_volume(root: Path, files: int) -> None:
    """A volume with so many real safetensors files, their lock and their receipts."""
    promises = []
    (root / "models").mkdir()
    for number in range(files):
        target = f"models/{number}.safetensors"
        hub_folder.weights(root / target, {"w": 100 + number})
        promises.append(locked((root / target).read_bytes(), target))
    model = LockedModel(
        name="m", source="hf://o/n", revision="main", commit="a" * 40, layout="tree", license=None,
        meaning_sha256="b" * 64, files=tuple(promises),
    )  # fmt: skip
    with Volume.open(str(root)) as volume, ReceiptWriter(volume, lambda: NOW) as receipts:
        write_lock(volume, Lock(project="p", root="models", manifest_sha256="c" * 64, models=(model,)))
        for promise in promises:
            receipts.add(receipt_for(root, (root / promise.target).read_bytes(), promise.target))


def locked(data: bytes, target: str) -> LockedFile:
    header = parse_header(data, len(data))
    facts = HeaderFacts(
        sha256=header.sha256,
        tensors=len(header.tensors),
        parameters=header.parameters,
        dtypes=tuple(header.dtypes.items()),
    )
    return replace(promised(data, target), header=facts)


def code_of(path: Path) -> str:
    """The code alone: no comments, and no texts, some of which are programs for other machines."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.unparse(tree)


def test_library_modules_do_not_print_sleep_or_read_the_environment() -> None:
    forbidden = ("print(", "time.sleep(", "os.environ", "os.getenv", "getproxies(")
    for path in modules():
        module = name_of(path)
        if module.startswith(("provision.cli", "provision.demo", "provision.fitness", "provision.__main__")):
            continue
        code = code_of(path)
        found = [word for word in forbidden if word in code]
        assert not found or module in ALLOWED, f"{module}: {found}"


ALLOWED = {"provision.hubs.huggingface"}
"""Telemetry of huggingface_hub can only be turned off by a variable, before its import."""
