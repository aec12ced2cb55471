"""The served hub as the benchmark sees it: another process, its addresses, and how many bytes have left it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote, urlencode

from material import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """Addresses: `endpoint` is for HF_ENDPOINT and MODELSCOPE_ENDPOINT, `files` is where large files come from."""

    endpoint: str
    files: str
    questions: IO[str]
    answers: IO[str]

    def sent(self) -> int:
        """Bytes of files that have left since the start; those under way to a client that was killed are among them."""
        print(file=self.questions, flush=True)
        return int(self.answers.readline())

    def address(self, name: str) -> str:
        """Where ModelScope's side has the file `name` of the material; a large one is behind a redirect."""
        query = urlencode({"Revision": "master", "FilePath": name}, quote_via=quote)
        return f"{self.endpoint}/api/v1/models/{REPOSITORY}/repo?{query}"


@contextmanager
def serving(
    root: Path, *, host: str = "127.0.0.1", congestion: str = "", through: tuple[str, ...] = ()
) -> Iterator[Hub]:
    """Serve `root` from a process of its own, started `through` another program where it must."""
    argv = [*through, sys.executable, str(_HERE / "serving.py"), str(root), host, congestion]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdin is None or process.stdout is None:
                raise AssertionError("both are pipes")
            endpoint, files = process.stdout.readline().split()
            yield Hub(endpoint=endpoint, files=files, questions=process.stdin, answers=process.stdout)
        finally:
            process.kill()
