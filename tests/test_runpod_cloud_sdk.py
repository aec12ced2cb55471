"""RunPod's own SDKs, unmodified, against the stand-in: 1.12.0 by GraphQL, 2.0.0rc1 by REST v2."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from runpod_bed import until
from runpod_cloud import RunPodCloud
from sdk_pythons import RELEASES, python_with

NASTY = "\"quotes\" 'and' \\ back\\slashes\\n $HOME ${x} {{ }} \n new \t lines é 漢 😀"

PROGRAM = r"""
import json, os, sys, runpod

runpod.api_key = os.environ["RUNPOD_API_KEY"]
volume, is_old, nasty = sys.argv[1], sys.argv[2] == "1.12.0", sys.argv[3]
paste = (lambda text: json.dumps(text)[1:-1]) if is_old else (lambda text: text)
write = 'printf %s "$TEXT" > "$V/.t" && mv "$V/.t" "$V/text"; exec sleep 100'
command = json.dumps({"entrypoint": [], "cmd": ["sh", "-c", write]})
common = dict(
    image_name="python:3.12-slim", cloud_type="SECURE", support_public_ip=False, start_ssh=False, ports="8000/http",
    container_disk_in_gb=10, network_volume_id=volume, volume_mount_path="/workspace", docker_args=paste(command),
    env={"TEXT": paste(nasty), "V": "/workspace"}, data_center_id="EU-RO-1",
)

def said(call):
    try:
        return call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"

cpu = runpod.create_pod(name=paste(nasty), instance_id="cpu3c-2-4", **common)
gpu = runpod.create_pod(name="gpu", gpu_type_id="NVIDIA RTX A4000", **common)
sys.stdin.readline()
print(json.dumps({
    "cpu": runpod.get_pod(cpu["id"]), "pods": [pod["id"] for pod in runpod.get_pods()], "ids": [cpu["id"], gpu["id"]],
    "volumes": runpod.get_user()["networkVolumes"], "gpus": len(runpod.get_gpus()),
    "stop": runpod.stop_pod(gpu["id"]), "end": [runpod.terminate_pod(cpu["id"]), runpod.terminate_pod(gpu["id"])],
    "gone": runpod.get_pod(cpu["id"]), "again": said(lambda: runpod.terminate_pod(cpu["id"])),
    "full": said(lambda: runpod.create_pod(name="x", instance_id="cpu5c-2-4", **common)),
}))
runpod.api_key = "wrong"
print(said(runpod.get_pods))
"""


@pytest.fixture(scope="module", params=RELEASES)
def sdk(request) -> tuple[str, str]:
    """A version of the SDK, and a Python that has it."""
    return request.param, python_with(request.param)


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_runpods_own_sdk_rents_looks_and_gives_back(sdk, tmp_path):
    version, python = sdk
    with RunPodCloud() as cloud:
        cloud.capacity["cpu5c", "EU-RO-1"] = 0
        volume = cloud.create_volume()
        with subprocess.Popen(
            [python, "-c", PROGRAM, volume.id, version, NASTY], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **cloud.environment},
        ) as process:  # fmt: skip
            until(lambda: (volume.folder / "text").exists() or process.poll() is not None, seconds=60)
            assert (volume.folder / "text").read_bytes().decode() == NASTY
            out, _ = process.communicate("go\n", timeout=60)
        told, refused = out.splitlines()
        told = json.loads(told)
        cloud.assert_clean()

        assert sorted(told["pods"]) == sorted(told["ids"])
        assert (told["cpu"]["name"], told["gone"]) == (NASTY, None)
        assert told["cpu"]["runtime"]["ports"]
        assert told["volumes"] == [{"id": volume.id, "name": "models", "size": 50, "dataCenterId": "EU-RO-1"}]
        assert told["gpus"] == len(cloud.catalog.gpus)
        assert told["stop"]["desiredStatus" if version == "1.12.0" else "status"] == "EXITED"
        assert told["again"] == "QueryError: pod not found"
        assert told["full"].startswith("QueryError: There are no longer any instances available")
        assert refused == "AuthenticationError: Unauthorized request, please check your API key."
        created = [
            request.operation for request in cloud.requests if request.operation.startswith(("create", "deploy"))
        ]
        assert created == (["deployCpuPod"] * 2 if version == "1.12.0" else ["createPod"] * 3)
