"""What every chapter is handed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.demo.material import BIG
from provision.demo.voice import not_as_told
from provision.lock import Lock, LockedFile, loads

if TYPE_CHECKING:
    from pathlib import Path

    from provision.demo.commands import Commands, Ran
    from provision.demo.hub import DemoHub
    from provision.demo.material import Material
    from provision.demo.voice import Voice


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The demo's folder `root` with `hub`, `manifests` and `volume` in it, and who acts and who tells."""

    root: Path
    hub: DemoHub
    material: Material
    commands: Commands
    voice: Voice

    @property
    def source(self) -> Path:
        """The big file in the hub's folder."""
        return self.root / "hub" / "hf" / self.material.huggingface / BIG

    @property
    def lock(self) -> Lock:
        """The lock that `provision lock` wrote."""
        path = self.root / "manifests" / "demo.lock.json"
        return loads(path.read_bytes(), file=str(path))

    @property
    def big(self) -> LockedFile:
        """What was promised of the big file."""
        return next(file for _, file in self.lock.files() if file.path == BIG)

    @property
    def standing(self) -> Path:
        """Where the big file has its final name."""
        return self.root / "volume" / self.big.target

    def provision(self, *arguments: str, code: int = 0) -> Ran:
        """Run `provision`, shown with what it prints; it must end with `code`.

        Raises:
            ProvisionError: it ended otherwise.
        """
        self.voice.commands(f"provision {' '.join(arguments)}")
        ran = self.commands.run(*arguments)
        self.voice.output(ran.stdout.splitlines())
        self.check_code(ran, code)
        self.voice.say(f"exit code {ran.code}, {ran.seconds:.1f} s")
        return ran

    def check_code(self, ran: Ran, code: int) -> None:
        """Look at how a command ended, and show what it complained of if that was not expected.

        Raises:
            ProvisionError: it did not end with `code`.
        """
        if ran.code != code:
            self.voice.output(ran.stderr.splitlines())
            raise not_as_told(f"exit code {code} was expected, {ran.code} came")


def sha256_of_file(path: Path) -> str:
    """The demo's own reading of a file, for claims that should not rest on the tool that is shown."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
