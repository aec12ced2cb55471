"""Ways to ask the stand-in for RunPod: by http.client, with the very bodies that RunPod's SDKs send."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from runpod_cloud import RunPodCloud

SDK_112_CPU = (
    "\n    mutation {\n      deployCpuPod(\n        input: {\n          "
    'name: "NAME", imageName: "python:3.12-slim", cloudType: SECURE, instanceId: "cpu3c-2-4", '
    'dataCenterId: "EU-RO-1", dockerArgs: "ARGS", containerDiskInGb: 10, ports: "8000/http", '
    'volumeMountPath: "/workspace", env: [{ key: "TEXT", value: "VALUE" }], templateId: "runpod-ubuntu", '
    'networkVolumeId: "VOLUME"'
    "\n        }\n      ) {\n        id\n        imageName\n        env\n        machineId\n        machine {\n"
    "          podHostId\n        }\n      }\n    }\n    "
)
"""What `runpod.create_pod` of 1.12.0 sends for a CPU pod; it pastes its arguments where the capitals are."""

USER_AGENT = "RunPod-Python-SDK/1.12.0 (Linux 6.1; x86_64) Language/Python 3.11.7"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


def ask(
    cloud: RunPodCloud, method: str, path: str, body: object = None, *, key: str = "rpa_KEY", **headers: str
) -> Told:  # fmt: skip
    """One request, with the account's key."""
    line = http.client.HTTPConnection(urlsplit(cloud.url).netloc, timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {"User-Agent": USER_AGENT, "Authorization": f"Bearer {key}", "Content-Type": "application/json", **named}
    try:
        line.request(method, path, body=None if body is None else json.dumps(body), headers=sent)
        answer = line.getresponse()
        return Told(
            status=answer.status, body=answer.read(),
            headers={name.lower(): value for name, value in answer.getheaders()},
        )  # fmt: skip
    finally:
        line.close()


def query(cloud: RunPodCloud, text: str, *, key: str = "rpa_KEY", **variables: object) -> Told:
    """One GraphQL request."""
    return ask(cloud, "POST", "/graphql", {"query": text, **({"variables": variables} if variables else {})}, key=key)


def order(volume_id: str = "", *, sh: str = "exec sleep 100", **changes: object) -> dict[str, object]:
    """The body of a v2 request for a pod that runs `sh`."""
    return {
        "name": "a-pod", "image": "python:3.12-slim", "cpu": {"id": "cpu3c", "vcpuCount": 2}, "ports": ["8000/http"],
        "args": json.dumps({"entrypoint": [], "cmd": ["sh", "-c", sh]}),
        "mounts": {"network": [{"volumeId": volume_id, "path": "/workspace"}]} if volume_id else {}, **changes,
    }  # fmt: skip


def rent(cloud: RunPodCloud, volume_id: str = "", *, sh: str = "exec sleep 100", **changes: object) -> str:
    """The id of a new pod that runs `sh`."""
    told = ask(cloud, "POST", "/v2/pods", order(volume_id, sh=sh, **changes))
    assert told.status == 201, told.body
    return str(told.json["id"])


def until(what: Any, seconds: float = 10) -> Any:
    """What `what()` says as soon as that is anything."""
    end = time.monotonic() + seconds
    while not (said := what()):
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)
    return said
