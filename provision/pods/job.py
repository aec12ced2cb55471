"""The job of a pod: what it has to do, and how that travels: as environment variables without anything to quote.

The parcel is a gzipped tar of the manifests, the locks, `job.json`, and a wheel where one is given, in base64, split
over variables that no limit of the kernel cuts. The script has a variable of its own: the pod's command runs it, and it
unpacks the parcel, so that from the first line on there is somebody who can give the pod back.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from provision.errors import InputError
from provision.lock import LOCK_SUFFIX, dumps
from provision.progress import size_text
from provision.shard import parse, share

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provision.lock import Lock

SCHEMA = 1
JOB = "job.json"
MANIFESTS = "manifests"

SCRIPT = "PROVISION_SCRIPT"
PARCEL = "PROVISION_PARCEL_"
LEASE = "PROVISION_LEASE"
DEADLINE = "PROVISION_DEADLINE"
TOKEN = "PROVISION_STATUS_TOKEN"  # noqa: S105 - a variable's name
PORT = "PROVISION_STATUS_PORT"
PACKAGE = "PROVISION_PACKAGE"
VOLUME = "PROVISION_VOLUME"
VOLUME_ID = "PROVISION_VOLUME_ID"
VOLUME_SIZE = "PROVISION_VOLUME_SIZE"
MACHINE = "PROVISION_MACHINE"
DATACENTER = "PROVISION_DATACENTER"
MOUNTED = "PROVISION_MOUNT"
GRACE = "PROVISION_GRACE"
PRICE = "PROVISION_PRICE"

VARIABLE_LIMIT = 96 * 1024
"""Characters of one variable: Linux takes 128 KiB (MAX_ARG_STRLEN), name and all."""

PARCEL_LIMIT = 1_500_000
"""Characters of a parcel: all variables and arguments of a process share 2 MiB by default (execve(2))."""


class Task(StrEnum):
    """What a pod is rented for."""

    FILL = "fill"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a pod has to do. `fill` and `verify` are further arguments of those commands, `fill` without use where the
    task is to verify. `reports` are endings of the reports that verify is to bring back: `.html`.
    """

    task: Task
    locks: tuple[Lock, ...]
    manifests: Mapping[str, bytes] = field(default_factory=dict)  # by the project's name; may be absent
    wheels: Mapping[str, bytes] = field(default_factory=dict)  # by file name: the package, where no index has it
    fill: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()

    @property
    def targets(self) -> frozenset[str]:
        """What is to be proven: all that the locks promise, of its share where `verify` names a shard."""
        words = self.verify
        return share(self.locks, parse(words[words.index("--shard") + 1] if "--shard" in words else "1/1"))


def job_document(job: Job) -> dict[str, Any]:
    """What `job.json` says: what `provision pod work` reads."""
    return {
        "schema": SCHEMA,
        "task": job.task.value,
        "projects": [lock.project for lock in job.locks],
        "fill": list(job.fill),
        "verify": list(job.verify),
        "reports": list(job.reports),
    }


def parcel(job: Job, script: bytes) -> dict[str, str]:
    """The variables that carry `job` and `script`; the same job gives the same variables.

    Raises:
        InputError: it is more than a process can be handed.
    """
    files = {JOB: json.dumps(job_document(job), indent=2).encode(), **job.wheels}
    for lock in job.locks:
        files[f"{MANIFESTS}/{lock.project}{LOCK_SUFFIX}"] = dumps(lock).encode()
    for project, text in job.manifests.items():
        files[f"{MANIFESTS}/{project}.yaml"] = text
    packed = base64.b64encode(gzip.compress(_tar(files), mtime=0)).decode()
    if len(packed) > PARCEL_LIMIT:
        raise InputError(
            f"the locks are too large to travel with a pod: {size_text(len(packed))} packed, where "
            f"{size_text(PARCEL_LIMIT)} fit",
            hint="fill project by project, or run scripts/download_models.sh in a pod that has the repository",
        )
    parts = [packed[at : at + VARIABLE_LIMIT] for at in range(0, len(packed), VARIABLE_LIMIT)]
    return {
        SCRIPT: base64.b64encode(script).decode(),
        **{f"{PARCEL}{number}": part for number, part in enumerate(parts)},
    }


_START = r"""
script=$(printf %s "$PROVISION_SCRIPT" | base64 -d) ||
    script=$(printf %s "$PROVISION_SCRIPT" | python3 -I -m base64 -d) || script=
[ -z "$script" ] || exec sh -c "$script" download_models.sh

echo "provision: the script did not arrive, or the image has neither base64 nor python3" >&2 &
ask() {
    python3 -I -c 'import os, sys, urllib.request as web
headers = {"Authorization": "Bearer " + os.environ["RUNPOD_API_KEY"], "User-Agent": "provision"}
request = web.Request(sys.argv[2], sys.argv[3].encode(), headers, method=sys.argv[1])
request.add_header("Content-Type", "application/json")
web.urlopen(request, timeout=30)' "$@" ||
        printf "Authorization: Bearer %s" "$RUNPOD_API_KEY" | curl -sS -m 30 -A provision -H @- \
            -H "Content-Type: application/json" -X "$1" -d "$3" "$2"
}
while [ -n "${RUNPOD_POD_ID-}" ]; do
    cloud=${RUNPOD_API_BASE_URL:-https://api.runpod.io}
    ask DELETE "$cloud/v2/pods/$RUNPOD_POD_ID" ""
    ask POST "$cloud/graphql" '{"query":"mutation { podTerminate(input: {podId: \"'"$RUNPOD_POD_ID"'\"}) }"}'
    sleep 60
done >/dev/null 2>&1
exit 8
"""
COMMAND = ("sh", "-c", _START.strip())
"""The pod's command, for any POSIX shell. It needs no disk. What cannot even unpack the script gives the pod back: a
command that ends is started again, and costs on.
"""


def _tar(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(files[name]), 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
    return out.getvalue()
