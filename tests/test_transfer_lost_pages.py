"""Pages that a file system could not write: memory shows them until it is needed, and they are on no disk.

Linux tells whoever flushes once, and holds the pages for clean from then on. So a fill that reads what it has written
sees nothing wrong; only what is written, and flushed, again is there in the end.
"""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import contextmanager

import pytest
from fill_bed import SMALL_PIECE, THREE, TOKEN, bed_at, build, content, file_of, small_pieces
from hub_kinds import HUGGINGFACE
from misbehaving_hub import MisbehavingHub

from provision.errors import ExitCode, VolumeTrouble
from provision.serve import Folder, Settings
from provision.volume import partials
from provision.volume.files import File
from provision.volume.paths import Folder as OnVolume

PAGE = 4096
FILE = file_of(THREE)


class Memory:
    """The pages of partials that are written and not flushed, and those that a flush has lost, by inode."""

    def __init__(self) -> None:
        self.dirty: defaultdict[int, set[int]] = defaultdict(set)
        self.lost: defaultdict[int, set[int]] = defaultdict(set)
        self.is_told = False

    def written(self, file: File, offset: int, length: int) -> None:
        inode, pages = file.stat().st_ino, range(offset // PAGE, -(-(offset + length) // PAGE))
        self.dirty[inode].update(pages)
        self.lost[inode].difference_update(pages)

    def flushed(self, file: File) -> None:
        """The first flush fails, and every other goes well."""
        inode = file.stat().st_ino
        pages = self.dirty.pop(inode, set())
        if not self.is_told:
            self.is_told = True
            self.lost[inode] |= pages
            raise VolumeTrouble(f"{file.path}: Input/output error", hint="run the same command again")

    def forget(self, path) -> None:
        """Memory is needed for something else: what the disk has shows."""
        with path.open("r+b") as file:
            for page in self.lost[path.stat().st_ino]:
                os.pwrite(file.fileno(), bytes(PAGE), page * PAGE)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with MisbehavingHub(Folder(build(tmp_path_factory.mktemp("served"), (THREE,))), Settings(token=TOKEN)) as hub:
        yield hub


@pytest.fixture
def bed(hub, tmp_path, monkeypatch):
    small_pieces(monkeypatch)
    monkeypatch.setattr(partials, "SYNC_EVERY", 1)
    return bed_at(hub, HUGGINGFACE, tmp_path)


@contextmanager
def losing(monkeypatch, fails):
    """Within, the first flush of a partial loses what it was to bring, and so many calls of `fails` on journals go
    wrong after that.
    """
    memory, write, left = Memory(), File.write_at, dict(fails)

    def written(file, offset, data):
        write(file, offset, data)
        if file.path.endswith(".partial"):
            memory.written(file, offset, memoryview(data).nbytes)

    def flushing(flush):
        def flushed(file):
            flush(file)
            if file.path.endswith(".partial"):
                memory.flushed(file)

        return flushed

    def failing(name, call):
        def fails(where, word):
            path = getattr(word, "endswith", where.path.endswith)
            if memory.is_told and path(".journal") and left.get(name, 0):
                left[name] -= 1
                raise VolumeTrouble(f"{where.path}: Input/output error", hint="run the same command again")
            return call(where, word)

        return fails

    with monkeypatch.context() as patch:
        patch.setattr(File, "write_at", written)
        patch.setattr(File, "sync_data", flushing(File.sync_data))
        patch.setattr(File, "sync", flushing(File.sync))
        patch.setattr(File, "truncate", failing("truncate", File.truncate))
        patch.setattr(OnVolume, "unlink", failing("unlink", OnVolume.unlink))
        yield memory
    assert memory.is_told
    assert not any(left.values()), "a fault did not strike"


@pytest.mark.parametrize(
    "fails", [{}, {"truncate": 1}, {"truncate": 1, "unlink": 1}], ids=["cut", "not cut", "not taken away either"]
)
def test_what_a_flush_has_lost_is_fetched_again_whatever_becomes_of_the_journal(bed, monkeypatch, fails):
    with losing(monkeypatch, fails) as memory:
        result = bed.fill(bed.lock(THREE), connections=1)
    assert result.exit_code == ExitCode.DONE
    final = bed.volume / FILE.target
    memory.forget(final)
    assert final.read_bytes() == content(THREE)
    assert result.fetched == FILE.size + SMALL_PIECE
