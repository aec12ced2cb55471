"""What is known of volumes here: which there is, and what fills and verifications have said of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision.errors import InputError, LockUnreadable, VolumeError
from provision.names import nearest, shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from provision.pods.cloud import Cloud, NetworkVolume


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A project on a volume. `ok`: whether its last verification found all as promised, None where none is known.

    `at`: when that was, time of day in seconds; None as `ok`.
    """

    project: str
    ok: bool | None = None
    at: float | None = None


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
                content = Content(project=project, ok=proof.verify.get("ok") is True, at=proof.ended)
            found.setdefault(proof.volume_id, {})[project] = content
    return found


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

    if content.at is None:
        return shown(content.project)
    return f"{shown(content.project)}, {'proven' if content.ok else 'not as promised'} {age_text(now - content.at)}"


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
