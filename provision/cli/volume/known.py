"""What is known of volumes here: which there is, and what fills and verifications have said of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.errors import ExitCode, InputError, LockUnreadable, VolumeError
from provision.names import nearest, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provision.pods.cloud import Cloud, NetworkVolume
    from provision.pods.proof import Proof


class Verdict(StrEnum):
    """What the last proof of a project on a volume says of it, in words."""

    PROVEN = "proven"
    BROKEN = "not as promised"
    OTHER = "of another lock,"  # than the one that lies beside it
    OPEN = "not proven"  # it was not all looked at, or not all went well


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A project on a volume. `verdict` is that of its last proof, and `at` when that was, time of day in seconds; both
    are None where there is none.
    """

    project: str
    verdict: Verdict | None = None
    at: float | None = None

    @property
    def ok(self) -> bool | None:
        """Whether all is as promised; None where that is not known."""
        return {Verdict.PROVEN: True, Verdict.BROKEN: False}.get(self.verdict) if self.verdict is not None else None


def required_volume(cloud: Cloud, volume_id: str) -> NetworkVolume:
    """The volume. Raises InputError where there is none: with what was probably meant."""
    volume = cloud.volume(volume_id)
    if volume is not None:
        return volume
    there = cloud.volumes()
    named = [other.id for other in there if other.name == volume_id]
    close = named or nearest(volume_id, [other.id for other in there], count=1)
    raise InputError(
        f"there is no volume `{shown(volume_id)}` at {cloud.name}",
        hint=f"did you mean {' or '.join(f'`{shown(one)}`' for one in close)}?" if close else "provision volume ls",
    )


def contents(cloud: Cloud, volumes: Iterable[NetworkVolume], manifests: Path) -> dict[str, list[Content]]:
    """What is known to be on each of `volumes`, by its id: from the proofs beside the manifests, and, where a volume is
    a folder of this machine, from the locks that fills have left on it.
    """
    proven = _proven(manifests)
    return {
        volume.id: sorted(
            {**_lying(cloud, volume), **proven.get(volume.id, {})}.values(), key=lambda content: content.project
        )
        for volume in volumes
    }


def _proven(manifests: Path) -> dict[str, dict[str, Content]]:
    """What the last proof of each project on each volume says."""
    from provision.pods.proof import proofs_in

    found: dict[str, dict[str, Content]] = {}
    for proof in reversed(proofs_in(manifests)):
        for project in proof.locks:
            content = Content(project=project)
            if proof.verify is not None:
                content = Content(project=project, verdict=_verdict(proof, project), at=proof.ended)
            found.setdefault(proof.volume_id, {})[project] = content
    return found


def _verdict(proof: Proof, project: str) -> Verdict:
    verify = proof.verify or {}
    if not _is_of_todays_lock(proof, project):
        return Verdict.OTHER
    if verify.get("ok") is not True:
        return Verdict.BROKEN
    is_all = verify.get("shard") is None and not verify.get("lacking")
    return Verdict.PROVEN if is_all and proof.exit_code == ExitCode.DONE else Verdict.OPEN


def _is_of_todays_lock(proof: Proof, project: str) -> bool:
    """Where no lock lies beside the proof, it has none to differ from."""
    from provision.lock import LOCK_SUFFIX, loads
    from provision.pods.proof import lock_sha256

    try:
        path = Path(proof.path).with_name(project + LOCK_SUFFIX)
        return lock_sha256(loads(path.read_bytes(), file=str(path))) == proof.locks[project]
    except FileNotFoundError:
        return True
    except (OSError, ValueError, LockUnreadable):
        return False


def _lying(cloud: Cloud, volume: NetworkVolume) -> dict[str, Content]:
    from provision.pods.local import Local

    if not isinstance(cloud, Local):
        return {}
    from provision.volume.locks import read_locks
    from provision.volume.mount import Volume

    try:
        with Volume.open(str(cloud.folder(volume))) as mounted:
            return {lock.project: Content(project=lock.project) for lock in read_locks(mounted)}
    except (VolumeError, LockUnreadable):
        return {}


def content_text(content: Content, now: float) -> str:
    """For people: `wan22-i2v, proven 3 d ago`."""
    from provision.report.status import age_text

    if content.at is None or content.verdict is None:
        return shown(content.project)
    return f"{shown(content.project)}, {content.verdict.value} {age_text(now - content.at)}"


def volume_text(volume: NetworkVolume, price: float) -> str:
    """For people: id, name, size, where, and USD a month."""
    from provision.pods.bill import money

    name = f" `{shown(volume.name)}`" if volume.name else ""
    return f"{shown(volume.id)}{name}: {volume.size} GB in {shown(volume.datacenter)}, {money(price)} a month"


def volume_document(volume: NetworkVolume, price: float) -> dict[str, Any]:
    """The same for programs."""
    return {
        "id": volume.id,
        "name": volume.name,
        "size_gb": volume.size,
        "datacenter": volume.datacenter,
        "usd_a_month": price,
    }
