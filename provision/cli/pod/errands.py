"""Errands: from what was asked for on the command line to what each pod has to do."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import provision
from provision.cli import clouds, console
from provision.cli.pod.asked import environment
from provision.cli.projects import check_fresh, find, required_lock
from provision.cli.volume.known import required_volume
from provision.errors import InputError, VolumeFull
from provision.names import shown
from provision.pods.bill import Estimate, lease_seconds, rates_of
from provision.pods.choice import Wishes, candidates
from provision.pods.errand import Errand
from provision.pods.job import PARCEL_LIMIT, Job, Task
from provision.pods.proof import lock_sha256, proofs_in
from provision.pods.sizing import GB, promised_bytes, size_for
from provision.progress import size_text
from provision.shard import Shard

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from provision.cli.pod.asked import Asked
    from provision.cli.projects import Project
    from provision.lock import Lock, LockedModel
    from provision.pods.cloud import Cloud, NetworkVolume, Offer
    from provision.pods.proof import Proof

SCRIPT = "download_models.sh"
LOCAL = "local"
HUBS = {
    "hf": ("HF_TOKEN", "HF_ENDPOINT"),
    "modelscope": ("MODELSCOPE_API_TOKEN", "MODELSCOPE_ENDPOINT"),
}
"""What the clients of a hub read from the environment: it goes along where a lock's files come from that hub."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One pod's errand. `label` tells it from others of the same command; "" where there are none."""

    volume: NetworkVolume
    errand: Errand
    estimate: Estimate
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be on the volumes, and where its locks and manifests lie."""

    projects: Sequence[Project]
    locks: Sequence[Lock]

    @property
    def size(self) -> int:
        """Bytes, of which a target that several locks share counts once."""
        return promised_bytes(self.locks)

    @property
    def count(self) -> int:
        """Files."""
        return len({file.target for lock in self.locks for _, file in lock.files()})


def wanted(asked: Asked) -> Wanted:
    """The locks to fill from, each fresh where there is a manifest for it. Raises InputError, LockError."""
    projects = find(asked.projects, asked.manifests)
    locks = [required_lock(project) for project in projects]
    for project, lock in zip(projects, locks, strict=True):
        if project.manifest.exists():
            check_fresh(project, lock)
    return Wanted(projects=projects, locks=locks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """All that errands are made from."""

    asked: Asked
    cloud: Cloud
    what: Wanted

    def errands(self) -> list[Prepared]:
        """An errand for each pod: one for each volume, or for each shard of it.

        Raises:
            InputError: a volume, a machine, a variable or the package is not what it is said to be.
            VolumeFull: what was promised cannot fit.
        """
        volumes = chosen_volumes(self.asked, self.cloud)
        if self.cloud.name != LOCAL:
            _warn_of_loopback(self.asked, os.environ)
        package = _package(self.asked.package)
        return [
            prepared for volume in volumes for prepared in self._of_volume(volume, package, is_one=len(volumes) == 1)
        ]

    def _of_volume(self, volume: NetworkVolume, package: Package, *, is_one: bool) -> Iterator[Prepared]:
        _check_room(volume, self.what, self.cloud)
        wishes = Wishes(cpu=self.asked.cpu, gpu=self.asked.gpu, max_price=self.asked.max_price)
        offers = candidates(self.cloud.offers(volume.datacenter), wishes)
        shards = self._shards()
        estimate = self._estimate(volume, offers[0], len(shards))
        errand = Errand(
            job=self._job(package),
            volume=volume,
            candidates=offers,
            seconds=self.asked.max_time or lease_seconds(estimate),
            script=script(),
            token="",
            package=package.requirement,
            image=self.asked.image,
            env=_environment(self.asked, self.what.locks, os.environ),
        )
        for shard in shards:
            label = " ".join(filter(None, ("" if is_one else volume.id, str(shard or ""))))
            own = replace(errand, job=_shared(errand.job, shard), token=secrets.token_urlsafe(24))
            yield Prepared(volume=volume, errand=own, estimate=estimate, label=label)

    def _shards(self) -> list[Shard | None]:
        """No more than there are files."""
        count = min(self.asked.pods, self.what.count)
        return [Shard(index=index + 1, count=count) for index in range(count)] if count > 1 else [None]

    def _job(self, package: Package) -> Job:
        manifests = [project for project in self.what.projects if project.manifest.exists()]
        return Job(
            task=self.asked.task,
            locks=tuple(self.what.locks),
            manifests={project.name: project.manifest.read_bytes() for project in manifests},
            wheels=package.wheels,
            fill=self.asked.fill,
            verify=self.asked.verify,
            reports=tuple(Path(path).suffix for path in self.asked.files),
        )

    def _estimate(self, volume: NetworkVolume, offer: Offer, shards: int) -> Estimate:
        proofs = [proof for proof in proofs_in(self.asked.manifests) if proof.volume_id == volume.id]
        missing = promised_bytes(lock for lock in self.what.locks if not _is_proven(lock, proofs))
        return Estimate(
            fetch=-(-missing // shards) if self.asked.task is Task.FILL else 0,
            verify=-(-self.what.size // shards),
            rates=rates_of(proof.moved for proof in proofs),
            offer=offer,
            volume_price=self.cloud.volume_price(volume.size),
        )


def _is_proven(lock: Lock, proofs: Sequence[Proof]) -> bool:
    """Whether all of it was on the volume when it was last looked at."""
    last = next((proof for proof in proofs if lock.project in proof.locks), None)
    return last is not None and last.exit_code == 0 and last.locks[lock.project] == lock_sha256(lock)


def _shared(job: Job, shard: Shard | None) -> Job:
    share = ("--shard", str(shard)) if shard is not None else ()
    return replace(job, fill=(*job.fill, *share), verify=(*job.verify, *share))


def chosen_volumes(asked: Asked, cloud: Cloud) -> list[NetworkVolume]:
    """The volumes that were named; without names, the only one there is. Raises InputError."""
    found = [required_volume(cloud, name) for name in dict.fromkeys(asked.volumes)]
    for volume in found:
        if asked.datacenters and volume.datacenter not in asked.datacenters:
            raise InputError(
                f"volume {shown(volume.id)} is in {shown(volume.datacenter)}, not in {', '.join(asked.datacenters)}",
                hint=f"--datacenter {shown(volume.datacenter)}, or leave it out",
            )
    return found or _only_volumes(asked, cloud)


def _only_volumes(asked: Asked, cloud: Cloud) -> list[NetworkVolume]:
    """The one volume of each data center that was named, or of all."""
    there = cloud.volumes()
    by_place = {place: [volume for volume in there if volume.datacenter == place] for place in asked.datacenters}
    for place, found in (by_place or {"": there}).items():
        if len(found) != 1:
            where = f"in {place}" if place else f"at {cloud.name}"
            names = ", ".join(f"{shown(volume.id)} ({shown(volume.name)})" for volume in found) or "none"
            raise InputError(
                f"--volume-id is missing; volumes {where}: {names}",
                hint="name one of them" if found else "provision volume create NAME --datacenter ID",
            )
    return [volume for found in by_place.values() for volume in found] or there


def _check_room(volume: NetworkVolume, what: Wanted, cloud: Cloud) -> None:
    if what.size > volume.size * GB:
        raise VolumeFull(
            f"{size_text(what.size)} are promised, and volume {shown(volume.id)} holds {volume.size} GB",
            hint=f"provision volume resize {shown(volume.id)} {size_for(what.size)}G{clouds.flag(cloud)}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What a pod installs: PROVISION_PACKAGE, and the wheel that travels along, by its name."""

    requirement: str = ""
    wheels: Mapping[str, bytes] = field(default_factory=dict)


def _package(named: str | None) -> Package:
    """As --package says. Raises InputError."""
    if named is None or not named.endswith(".whl") or "://" in named:
        return Package(requirement=named or "")
    wheel = Path(named)
    try:
        data = wheel.read_bytes()
    except OSError as error:
        raise InputError(f"the wheel {named} cannot be read: {error.strerror}", hint="see --package") from error
    if len(data) > PARCEL_LIMIT:
        raise InputError(f"the wheel {named} is too large to travel with a job", hint="give its address instead")
    return Package(requirement=f"parcel:{wheel.name}", wheels={wheel.name: data})


def _environment(asked: Asked, locks: Sequence[Lock], caller: Mapping[str, str]) -> dict[str, str]:
    """What the hubs' clients need in the pod, and what was asked for, which goes before it."""
    sources = [source for lock in locks for model in lock.models for source in _sources(model)]
    schemes = {source.partition("://")[0] for source in sources} if asked.task is Task.FILL else set()
    found = {
        name: caller[name] for scheme, names in HUBS.items() if scheme in schemes for name in names if caller.get(name)
    }
    return {**found, **environment(asked, caller)}


def _warn_of_loopback(asked: Asked, caller: Mapping[str, str]) -> None:
    for name in sorted(name for names in HUBS.values() for name in names if name.endswith("_ENDPOINT")):
        host = urlsplit(caller.get(name, "")).hostname or ""
        if asked.task is Task.FILL and (host == "localhost" or host.startswith("127.") or host == "::1"):
            console.say(f"{name} is {caller[name]}, on this machine: a rented pod cannot reach it")


def _sources(model: LockedModel) -> list[str]:
    return [model.source, *(mirror.source for mirror in model.mirrors)]


def script() -> bytes:
    """What runs in the pod: beside this package where it is installed, in the repository elsewhere."""
    installed = files("provision.pods").joinpath(SCRIPT)
    return installed.read_bytes() if installed.is_file() else _in_repository().read_bytes()


def _in_repository() -> Path:
    return Path(provision.__file__).parent.parent / "scripts" / SCRIPT
