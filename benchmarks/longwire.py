"""A long wire on one machine: two network namespaces, and between them `link.c`, which delays and loses packets.

Linux, root, `ip` (iproute2) and a C compiler make it; netem, the usual means, is missing from many kernels.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NEAR, FAR = "10.99.0.1", "10.99.0.2"  # known in the two namespaces only
_SOURCE = Path(__file__).parent / "link.c"
_QUEUE = "10000"  # packets that wait for the link itself; never the wire's own queue
_CONTROLS = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """`rate` in bits a second, `delay` in seconds, `loss` as a share of segments; all of them each way."""

    rate: int
    delay: float
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """What a command's argv begins with to run at either end."""

    near: tuple[str, ...]
    far: tuple[str, ...]

    def retransmitted(self) -> tuple[int, int]:
        """Segments that the far end has sent, and those that it has sent again (proc_net_snmp(5))."""
        told = subprocess.run([*self.far, "cat", "/proc/net/snmp"], check=True, capture_output=True, text=True).stdout
        names, values = (line.split()[1:] for line in told.splitlines() if line.startswith("Tcp:"))
        counts = dict(zip(names, map(int, values), strict=True))
        return counts["OutSegs"], counts["RetransSegs"]


def missing() -> str | None:
    """Why there cannot be one here."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    absent = [program for program in ("ip", "cc") if shutil.which(program) is None]
    return f"{absent[0]} is not installed" if absent else None


def controls() -> list[str]:
    """The congestion controls that this kernel has."""
    return _CONTROLS.read_text(encoding="ascii").split()


def build(folder: Path) -> Path:
    """The link, compiled."""
    program = folder / "link"
    _run("cc", "-O2", "-o", str(program), str(_SOURCE))
    return program


@contextmanager
def long_wire(program: Path, wire: Wire) -> Iterator[Ends]:
    """Two namespaces and `wire` between them; nothing of it stays."""
    with ExitStack() as stack:
        names = [stack.enter_context(_namespace(f"bench-{end}-{os.getpid()}")) for end in ("near", "far")]
        _link(stack, program, names, wire)
        for name, own, other in zip(names, (NEAR, FAR), (FAR, NEAR), strict=True):
            _run("ip", "-n", name, "link", "set", "lo", "up")
            _run("ip", "-n", name, "address", "add", own, "peer", other, "dev", "wan0")
            _run("ip", "-n", name, "link", "set", "wan0", "txqueuelen", _QUEUE, "up")
        near, far = (("ip", "netns", "exec", name) for name in names)
        yield Ends(near=near, far=far)


def _link(stack: ExitStack, program: Path, names: list[str], wire: Wire) -> None:
    numbers = str(wire.rate), str(round(wire.delay * 1e6)), str(round(wire.loss * 1e6))
    argv = [str(program), *(f"/run/netns/{name}" for name in names), *numbers]
    link = stack.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
    stack.callback(link.kill)
    if link.stdout is None or link.stdout.readline() != "ready\n":
        raise OSError("the link did not come up")


@contextmanager
def _namespace(name: str) -> Iterator[str]:
    _run("ip", "netns", "add", name)
    try:
        yield name
    finally:
        _run("ip", "netns", "delete", name)


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)
