"""The served hub as the benchmark sees it: another process, its addresses, and how many bytes have left it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import ProxyHandler, build_opener

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent
_DIRECT = build_opener(ProxyHandler({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """Addresses: `endpoint` is for HF_ENDPOINT and MODELSCOPE_ENDPOINT, `files` is where large files come from."""

    endpoint: str
    files: str

    def sent(self) -> int:
        """Bytes of files that have left since the start; those under way to a client that was killed are among them."""
        with _DIRECT.open(f"{self.files}/sent") as answer:
            return int(answer.read())


@contextmanager
def serving(root: Path) -> Iterator[Hub]:
    """Serve `root` from a process of its own."""
    with subprocess.Popen([sys.executable, _HERE / "serving.py", root], stdout=subprocess.PIPE, text=True) as process:
        try:
            endpoint, files = next(iter(process.stdout or [])).split()
            yield Hub(endpoint=endpoint, files=files)
        finally:
            process.kill()
