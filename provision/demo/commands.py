"""The real command line, run as a user runs it, in an environment of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import provision
from provision.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TIME_LIMIT = 60
"""Seconds that one command of the demo may take."""

_INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
"""What a command sees of the caller's environment: no tokens, proxies or settings of hubs among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A command that has ended. `code` is negative when a signal ended it; `seconds` by the wall."""

    code: int
    stdout: str
    stderr: str
    seconds: float


def private_environment(caller: Mapping[str, str], root: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of the demo's commands: `settings`, and homes below `root`."""
    home = root / "home"
    search = [str(Path(provision.__file__).parent.parent), caller.get("PYTHONPATH", "")]
    return {
        **{name: caller[name] for name in _INHERITED if name in caller},
        "PYTHONPATH": ":".join(filter(None, search)),
        "HOME": str(home),
        "HF_HOME": str(home / "huggingface"),
        "MODELSCOPE_CACHE": str(home / "modelscope"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        **settings,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Runs `provision` in the folder `root`."""

    root: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str, meanwhile: Callable[[subprocess.Popen[str]], None] | None = None) -> Ran:
        """Run `provision` with `arguments` to its end. `meanwhile` is handed the process right after its start.

        Raises:
            ProvisionError: it did not end within TIME_LIMIT.
        """
        began = time.monotonic()
        with subprocess.Popen(  # noqa: S603 - our own words only
            [sys.executable, "-m", "provision", *arguments],
            cwd=self.root,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        ) as process:
            try:
                if meanwhile is not None:
                    meanwhile(process)
                stdout, stderr = process.communicate(timeout=TIME_LIMIT)
            except subprocess.TimeoutExpired as error:
                raise ProvisionError(f"`provision {' '.join(arguments)}` took over {TIME_LIMIT} s") from error
            finally:
                process.kill()  # does nothing to one that has ended; no other may outlive the demo's folder
        return Ran(code=process.returncode, stdout=stdout, stderr=stderr, seconds=time.monotonic() - began)
