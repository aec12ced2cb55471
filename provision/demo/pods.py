"""The chapter of the pod: rented, left by its renter, found again, and given back. The cloud is this machine."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

from provision.demo.scene import Scene, sha256_of_file
from provision.demo.voice import not_as_told
from provision.pods.proof import lock_sha256, proof_name

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import Popen

AT_HOME = ("--cloud", "local")


def rented(scene: Scene) -> None:
    """Fill a volume in a pod whose renter is killed, and bring back the proof."""
    scene.voice.heading("A temporary pod fills a network volume, and is given back")
    scene.voice.say(
        "`provision pod fill` rents a machine that mounts the volume. Here the cloud is this machine: a pod is a "
        "process, a volume is a folder. The renter is killed while the pod is at work, as when a laptop is closed."
    )
    volume = _volume(scene)
    try:
        _leave(scene, volume)
        _come_back(scene, volume)
    finally:
        scene.commands.run("pod", "rm", "--all", *AT_HOME)  # of a story that was cut short
    _claim_proof(scene, volume)


def _volume(scene: Scene) -> str:
    ran = scene.provision("volume", "create", "models", "demo", *AT_HOME)
    return ran.stdout.split()[0]


def _leave(scene: Scene, volume: str) -> None:
    words = ("pod", "fill", "demo", "--volume-id", volume, *AT_HOME)
    tally = scene.hub.tally(scene.big.sha256)

    def kill_half_way(process: Popen[str]) -> None:
        tally.when(scene.big.size // 2, process.kill)

    scene.voice.commands(f"provision {' '.join(words)}")
    ran = scene.commands.run(*words, meanwhile=kill_half_way)
    scene.check_code(ran, -signal.SIGKILL)
    scene.voice.say("the renter was killed (SIGKILL) when half of the big file had left the hub")


def _come_back(scene: Scene, volume: str) -> None:
    ran = scene.provision("pod", "ls", *AT_HOME)
    pods = [line.split()[0] for line in ran.stdout.splitlines()[1:] if volume in line]
    scene.voice.claim(
        "the pod is known by its name alone: nothing that died with the renter is needed", holds=len(pods) == 1
    )
    scene.voice.say("Any machine with the key can watch it, and bring back its result:")
    scene.provision("pod", "attach", pods[0], *AT_HOME)
    ran = scene.provision("pod", "ls", *AT_HOME)
    scene.voice.claim("nothing is rented any more", holds="nothing is rented" in ran.stdout)


def _claim_proof(scene: Scene, volume: str) -> None:
    path = scene.root / "manifests" / proof_name("demo", volume)
    proof = json.loads(path.read_bytes())
    scene.voice.claim(
        f"manifests/{path.name} says of which lock: its sha256 is {proof['locks']['demo'][:16]}...",
        holds=proof["verify"]["ok"] is True and proof["locks"]["demo"] == lock_sha256(scene.lock),
    )
    found = sha256_of_file(_folder(scene, volume) / scene.big.target)
    scene.voice.claim(
        f"the demo's own reading of the pod's volume agrees: sha256 of {scene.big.target} is {found[:16]}...",
        holds=found == scene.big.sha256,
    )


def _folder(scene: Scene, volume: str) -> Path:
    found = list((scene.root / "home").glob(f".local/state/provision/cloud/volumes/{volume}"))
    if len(found) != 1:
        raise not_as_told(f"there is no volume {volume}")
    return found[0]
