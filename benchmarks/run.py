"""`make bench`: every scenario, one table each, printed and written to docs/benchmarks.md.

All of it takes about 25 minutes on two idle cores and 8 GB of memory; `--small --runs 1` takes three. aria2c, curl,
openssl, and for the far link root, `ip` and a C compiler are used where they are there; else the page says so.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from bench import Bench
from filling import filling, filling_on_disk, filling_small, filling_widths
from hub import serving
from limits import limits
from material import MIB, prepare
from measurement import CommandFailed
from moving import flipped, killed
from page import at_the_end, machine, page, table
from verifying import verifying_far, verifying_full, verifying_quick
from wide import wide

SCENARIOS = {
    "limits": limits,
    "fill": filling,
    "small": filling_small,
    "disk": filling_on_disk,
    "connections": filling_widths,
    "wide": wide,
    "killed": killed,
    "flipped": flipped,
    "full": verifying_full,
    "far": verifying_far,
    "quick": verifying_quick,
}
SIZES = (1024, 512, 256)
SMALL = (64, 32, 16)
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
MEMORY = Path("/dev/shm")  # noqa: S108 - the one place that is memory on every Linux
COPIES = 3  # of the material that stand at once, at most


def main() -> int:
    arguments = _arguments()
    sizes = SMALL if arguments.small else SIZES
    with tempfile.TemporaryDirectory(dir=_roomy(sum(sizes) * MIB)) as memory, tempfile.TemporaryDirectory() as disk:
        try:
            text = _bench(Path(memory), Path(disk), sizes, arguments)
        except CommandFailed as error:
            print(error, file=sys.stderr)
            return 1
    if not arguments.small and not arguments.only:
        PAGE.write_text(text, encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="turns of each contender (default: 5)")
    parser.add_argument("--small", action="store_true", help="small files, to try it out; writes no page")
    parser.add_argument("--only", choices=SCENARIOS, action="append", help="this scenario; writes no page")
    return parser.parse_args()


def _roomy(size: int) -> Path:
    """Memory, where it holds what is needed; else the folder for temporary files."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > COPIES * size:
        return MEMORY
    return Path(tempfile.gettempdir())


def _bench(memory: Path, disk: Path, sizes: tuple[int, ...], arguments: argparse.Namespace) -> str:
    facts = machine()
    _show("\n".join(facts) + "\n")
    material = prepare(memory / "hub", sizes)
    with serving(material.root) as hub:
        bench = Bench(
            folder=memory,
            where="All in memory (tmpfs)." if MEMORY in memory.parents else "All on a disk.",
            disk=disk,
            manifests=memory / "manifests",
            hub=hub,
            material=material,
            runs=arguments.runs,
            small=arguments.small,
        )
        bench.lock()
        sections = []
        for name in arguments.only or SCENARIOS:
            sections.append(SCENARIOS[name](bench))
            _show(table(sections[-1]))
    return page(sections, [*facts, *at_the_end()])


def _show(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
