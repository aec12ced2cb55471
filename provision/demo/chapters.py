"""The chapters: each does one thing with the real command line and claims what it then looked at."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import TYPE_CHECKING

from provision.demo.material import manifest
from provision.demo.scene import Scene, sha256_of_file
from provision.demo.voice import excerpt
from provision.digest import PIECE_SIZE
from provision.names import STATE_FOLDER
from provision.progress import size_text
from provision.volume.journal import bytes_of, journal_name, key_of, parse, partial_name
from provision.volume.partials import JOURNALS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from subprocess import Popen

CONNECTIONS = 2
"""Of the fill that is killed: so few that each has brought a piece by then."""

HEADER_LIMIT = 1024 * 1024
"""More of the big file than this is no mere reading of its header."""


def weights(scene: Scene) -> None:
    """Say what the weights are and where they are served."""
    scene.voice.heading("The weights and the hubs")
    told = " and ".join(
        f"{name} ({_counted(scene.root / 'hub' / hub / name)})"
        for hub, name in (("hf", scene.material.huggingface), ("modelscope", scene.material.modelscope))
    )
    if scene.material.excuse:
        scene.voice.say(f"The packages that carry real weights cannot be had: {scene.material.excuse}.")
        scene.voice.say(f"So these are SYNTHETIC, legal safetensors files of no meaning, made here: {told}.")
    else:
        scene.voice.say(f"{told}: real weights, out of two Python packages, checked against their known sha256.")
    scene.voice.say("A small server on this machine plays Hugging Face and ModelScope with them:")
    scene.voice.commands(
        f"export HF_ENDPOINT={scene.hub.endpoint} MODELSCOPE_ENDPOINT={scene.hub.endpoint}",
        "export PROVISION_VOLUME=volume    # a plain folder here; in earnest, the mounted network volume",
    )


def _counted(folder: Path) -> str:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return f"{len(sizes)} file{'s' if len(sizes) != 1 else ''}, {size_text(sum(sizes))}"


def wanted(scene: Scene) -> None:
    """Write the manifest."""
    scene.voice.heading("A manifest says what is wanted")
    scene.voice.say("You write it and keep it in git: which files of which repositories go where on the volume.")
    text = manifest(scene.material)
    path = scene.root / "manifests" / "demo.yaml"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    scene.voice.commands("cat manifests/demo.yaml")
    scene.voice.output(text.splitlines())


def promised(scene: Scene) -> None:
    """Lock."""
    scene.voice.heading("A lock says what was promised")
    scene.voice.say(
        "`provision lock` asks the hubs and pins the commit, and of every file the size and the sha256. "
        "The lock goes into git beside the manifest; an update is a diff to review."
    )
    tally = scene.hub.tally(sha256_of_file(scene.source))
    scene.provision("lock", "demo")
    _show_entry(scene)
    files = [file for _, file in scene.lock.files()]
    sizes = [path.stat().st_size for path in (scene.root / "hub").rglob("*") if path.is_file()]
    scene.voice.claim(
        f"{len(files)} files, {sum(file.size for file in files):,} bytes: all that lies in the hubs' folders",
        holds=sorted(file.size for file in files) == sorted(sizes),
    )
    _claim_big(scene, tally.sent)


def _show_entry(scene: Scene) -> None:
    lines = (scene.root / "manifests" / "demo.lock.json").read_text(encoding="utf-8").splitlines()
    scene.voice.commands("cat manifests/demo.lock.json")
    scene.voice.output(excerpt(lines, _entry(lines, scene.big.target)))


def _claim_big(scene: Scene, sent: int) -> None:
    big = scene.big
    if big.header is not None:
        scene.voice.claim(
            f"{big.header.tensors} tensors and {big.header.parameters:,} parameters were read from the header of the "
            f"big file: {sent:,} of its {big.size:,} bytes left the hub",
            holds=0 < sent < HEADER_LIMIT,
        )
    if scene.material.sha256:
        scene.voice.claim(
            f"the sha256 of the big file is the one that its real repository tells: {big.sha256[:16]}...",
            holds=big.sha256 == scene.material.sha256,
        )


def _entry(lines: Sequence[str], target: str) -> set[int]:
    """The lines of the JSON object that holds `target`, in a document indented by two."""
    at = next(index for index, line in enumerate(lines) if f'"target": "{target}"' in line)
    edge = " " * (len(lines[at]) - len(lines[at].lstrip()) - 2)
    begin = max(index for index in range(at) if lines[index] == f"{edge}{{")
    end = min(index for index in range(at, len(lines)) if lines[index].rstrip(",") == f"{edge}}}")
    return set(range(begin, end + 1))


def killed(scene: Scene) -> int:
    """Start a fill and kill it half way; how many bytes of the big file had left the hub by then."""
    scene.voice.heading("A fill is killed half way")
    scene.voice.say(
        "`provision fill` brings the volume to the lock: it fetches what is missing. This one is killed, as when a pod "
        "is taken away."
    )
    big = scene.big
    tally = scene.hub.tally(big.sha256)

    def kill_half_way(process: Popen[str]) -> None:
        tally.when(big.size // 2, process.kill)

    scene.voice.commands(f"provision fill demo --connections {CONNECTIONS}")
    ran = scene.commands.run("fill", "demo", "--connections", str(CONNECTIONS), meanwhile=kill_half_way)
    scene.check_code(ran, -signal.SIGKILL)
    scene.voice.say(
        f"killed (SIGKILL) when {size_text(tally.sent)} of the big file's {size_text(big.size)} had left the hub"
    )
    scene.voice.claim(
        f"{big.target} does not exist: no program can load half a file", holds=not scene.standing.exists()
    )
    _claim_left_behind(scene)
    return tally.sent


def _claim_left_behind(scene: Scene) -> None:
    partials = sorted(scene.standing.parent.glob(partial_name(key_of(scene.big), "*")))
    proven = _on_record(scene)
    scene.voice.claim(
        f"its bytes are in a partial, and {proven:,} of them have their digests on record, one for each piece of "
        f"{PIECE_SIZE // 2**20} MiB",
        holds=len(partials) == 1 and 0 < proven < scene.big.size,
    )
    scene.voice.say(f"    {partials[0].relative_to(scene.root)}")


def _on_record(scene: Scene) -> int:
    """How many bytes of the big file the journals on the volume speak of."""
    folder = scene.root / "volume" / STATE_FOLDER / JOURNALS
    journals = folder.glob(journal_name(key_of(scene.big), "*"))
    return sum(bytes_of(parse(path.read_bytes(), scene.big).pieces, scene.big.size) for path in journals)


def resumed(scene: Scene, sent: int) -> None:
    """Fill again: what is proven stays. `sent`: bytes of the big file that had left the hub for the killed fill."""
    scene.voice.heading("The same command resumes")
    scene.voice.say("What is proven is not fetched again. This time the report is the one for programs.")
    proven = _on_record(scene)
    tally = scene.hub.tally(scene.big.sha256)
    scene.voice.commands("provision fill demo --format json")
    ran = scene.commands.run("fill", "demo", "--format", "json")
    lines = ran.stdout.splitlines()
    top = {index for index, line in enumerate(lines) if not line.startswith("   ")}
    scene.voice.output(excerpt(lines, top | _entry(lines, scene.big.target)) if ran.code == 0 else lines)
    scene.check_code(ran, 0)
    scene.voice.say(f"exit code {ran.code}, {ran.seconds:.1f} s")
    file = next(file for file in json.loads(ran.stdout)["files"] if file["target"] == scene.big.target)
    fetched, reused = file["fetched_bytes"], file["reused_bytes"]
    scene.voice.claim(
        f"of {scene.big.target}, {reused:,} bytes were proven where they lay; only {fetched:,} moved (the hub counted "
        f"{tally.sent:,})",
        holds=(fetched + reused, fetched, reused) == (scene.big.size, tally.sent, proven),
    )
    scene.voice.claim(
        f"{sent - reused:,} bytes had to move twice: less than one piece of {PIECE_SIZE:,} for each of {CONNECTIONS} "
        "connections",
        holds=0 <= sent - reused < CONNECTIONS * PIECE_SIZE,
    )
    scene.voice.claim(
        "the file has its name now, and the partial is gone",
        holds=scene.standing.exists() and not list(scene.standing.parent.glob("*.partial")),
    )


def proven(scene: Scene) -> None:
    """Verify in both ways."""
    scene.voice.heading("Verify proves it, without a network")
    scene.voice.say("--full reads every byte back; --quick is for the start of a worker and reads no weights.")
    scene.provision("verify", "demo", "--full")
    scene.provision("verify", "demo", "--quick")
    _claim_sha256(scene)


def _claim_sha256(scene: Scene) -> None:
    found = sha256_of_file(scene.standing)
    scene.voice.claim(
        f"the demo's own reading agrees: sha256 of {scene.big.target} is {found[:16]}... as locked",
        holds=found == scene.big.sha256,
    )


def damaged(scene: Scene) -> None:
    """Flip one byte, and see it found."""
    scene.voice.heading("One byte goes bad")
    path, offset = scene.standing, scene.big.size // 2
    before = path.stat()
    flip(path, offset)
    after = path.stat()
    scene.voice.say(f"The lowest bit of byte {offset:,} of {scene.big.size:,} of {scene.big.target} is flipped.")
    scene.voice.claim(
        "length and time stamp are as before: only reading the bytes can tell",
        holds=(before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns),
    )
    ran = scene.provision("verify", "demo", "--full", code=3)
    said = re.findall(r"\b(\d+)-(\d+)\b", ran.stdout)
    ranges = [(int(first), int(last)) for first, last in said]
    scene.voice.claim(
        f"it was found, and where: byte {offset:,} lies in the one piece that is named",
        holds=len(ranges) == 1 and ranges[0][0] <= offset <= ranges[0][1] < ranges[0][0] + PIECE_SIZE,
    )


def flip(path: Path, offset: int) -> None:
    """Change one bit of `path` and put its time stamp back, as storage that rots would."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def repaired(scene: Scene) -> None:
    """Fill repairs, and verify says so."""
    scene.voice.heading("Fill repairs it")
    scene.voice.say("The record of digests tells which pieces are good. They stay.")
    tally = scene.hub.tally(scene.big.sha256)
    scene.provision("fill", "demo")
    scene.voice.claim(
        f"{tally.sent:,} of {scene.big.size:,} bytes left the hub: one piece of at most {PIECE_SIZE:,}",
        holds=0 < tally.sent <= PIECE_SIZE,
    )
    scene.provision("verify", "demo", "--full")
    scene.provision("verify", "demo", "--quick")
    _claim_sha256(scene)
