"""Power loss, as a model: what a fill does to a volume is written down, and any moment of it is made a volume again.

Of a file, everything before its last flush that was completed is there; of what came after, any of it: each write
whole, torn, as zeros where the length came before the bytes, or not at all, in any combination. Of the names in a
folder the same: what was made, renamed and removed before the folder's last flush; after it, any of it. That is less
than any file system promises (most keep the order of names), so what is right here is right there.

Claims are left out: they make nothing right (design §3), and a heart found after a power loss would be waited for.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from provision.volume.files import File
from provision.volume.paths import Folder

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    import pytest

BLOCK = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that was done. To the bytes of the file numbered `file`: `write`, `truncate` or `flush`, after which
    its time was `mtime`; or to names in `folder`: `make`, `rename`, `unlink`, `mkdir`, `rmdir` or `flush`.
    """

    kind: str
    file: int = 0
    at: int = 0
    data: bytes = b""
    mtime: int = 0
    folder: str | None = None
    name: str = ""
    new: str = ""


@dataclass(kw_only=True)
class Log:
    """All changes below `root`, in order; `inodes` by number of file, `names` as they are at the end."""

    root: str
    changes: list[Change] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    inodes: dict[int, int] = field(default_factory=dict)
    files: dict[File, int] = field(default_factory=dict)
    guard: threading.RLock = field(default_factory=threading.RLock)

    def below(self, folder: Folder) -> str | None:
        """Where `folder` is below the root; None where nothing is written down."""
        path = os.path.relpath(folder.path, self.root)
        return None if ".provision/claims" in path else path

    def add(self, kind: str, **what) -> None:
        self.changes.append(Change(kind=kind, **what))

    def adopt(self) -> None:
        """What stands before anything is done is on the volume for good."""
        for path in sorted(Path(self.root).rglob("*")):
            place = {"folder": os.path.relpath(path.parent, self.root), "name": path.name}
            if path.is_dir():
                self.add("mkdir", **place)
            else:
                number, found = self._numbered(path.stat().st_ino), path.stat()
                self.names[f"{place['folder']}/{path.name}"] = number
                self.add("write", file=number, data=path.read_bytes(), mtime=found.st_mtime_ns)
                self.add("flush", file=number, mtime=found.st_mtime_ns)
                self.add("make", file=number, **place)
        for folder in {change.folder for change in self.changes if change.folder is not None}:
            self.add("flush", folder=folder)

    def _numbered(self, inode: int) -> int:
        self.inodes[number := len(self.inodes) + 1] = inode
        return number

    def opened(self, folder: str, name: str, file: File) -> None:
        """A file was opened, and made when it had no name."""
        place = f"{folder}/{name}"
        if place not in self.names:
            self.names[place] = self._numbered(file.stat().st_ino)
            self.add("make", file=self.names[place], folder=folder, name=name)
        self.files[file] = self.names[place]


def recorded(root: Path, patch: pytest.MonkeyPatch) -> Log:
    """From now on, what is done to volumes below `root` is written down, one thing at a time."""
    log = Log(root=os.path.realpath(root))
    log.adopt()
    _record_files(log, patch)
    _record_folders(log, patch)
    return log


def _record_files(log: Log, patch: pytest.MonkeyPatch) -> None:
    def watch(name: str, tell: Callable[..., dict]) -> None:
        call = getattr(File, name)

        def watched(self: File, *words: object) -> None:
            with log.guard:
                call(self, *words)
                if self in log.files:
                    log.add(file=log.files[self], mtime=self.stat().st_mtime_ns, **tell(*words))

        patch.setattr(File, name, watched)

    watch("write_at", lambda offset, data: {"kind": "write", "at": offset, "data": bytes(data)})
    watch("truncate", lambda size: {"kind": "truncate", "at": size})
    watch("sync_data", lambda: {"kind": "flush"})
    watch("sync", lambda: {"kind": "flush"})


def _record_folders(log: Log, patch: pytest.MonkeyPatch) -> None:
    def watch(name: str, tell: Callable[..., None]) -> None:
        call = getattr(Folder, name)

        def watched(self: Folder, *words: object, **more: object) -> object:
            with log.guard:
                done, where = call(self, *words, **more), log.below(self)
                if where is not None and (name == "sync" or done not in {None, False}):
                    tell(where, *words, done)
            return done

        patch.setattr(Folder, name, watched)

    def renamed(where: str, old: str, new: str, _: bool) -> None:  # noqa: FBT001 - as it was answered
        log.names[f"{where}/{new}"] = log.names.pop(f"{where}/{old}")
        log.add("rename", folder=where, name=old, new=new)

    def unlinked(where: str, name: str, _: bool) -> None:  # noqa: FBT001 - as it was answered
        log.names.pop(f"{where}/{name}")
        log.add("unlink", folder=where, name=name)

    watch("made_file", log.opened)
    watch("open_file", log.opened)
    watch("rename", renamed)
    watch("unlink", unlinked)
    watch("make_folder", lambda where, name, _: log.add("mkdir", folder=where, name=name))
    watch("remove_folder", lambda where, name, _: log.add("rmdir", folder=where, name=name))
    watch("sync", lambda where, _: log.add("flush", folder=where))


def restore(log: Log, upto: int, chance: random.Random, root: Path) -> None:
    """At `root`, a volume as it may be after a power loss when the first `upto` changes were done."""
    changes = log.changes[:upto]
    kept = chance.choice([0.0, 0.1, 0.5, 0.9, 1.0])
    inodes: dict[int, int] = {}
    for path, number in _names(changes, chance, kept, root).items():
        own = [change for change in changes if change.file == number and change.folder is None]
        path.write_bytes(_content(own, chance, kept))
        times = [change.mtime for change in own]
        if times:  # the newest: the one that a receipt would believe
            os.utime(path, ns=(times[-1], times[-1]))
        inodes[log.inodes[number]] = path.stat().st_ino
    for receipts in (root / ".provision/receipts").glob("*"):  # files are known by inode, and have others here
        renumbered = lambda match: b'"inode":%d' % inodes.get(int(match[1]), 0)  # noqa: E731 - a template
        receipts.write_bytes(re.sub(rb'"inode":(\d+)', renumbered, receipts.read_bytes()))


def _names(changes: list[Change], chance: random.Random, kept: float, root: Path) -> dict[Path, int]:
    """The folders are made; the files by their paths."""
    flushed = {change.folder: at for at, change in enumerate(changes) if change.kind == "flush"}
    names: dict[str, int] = {}
    folders = {"."}
    for at, change in enumerate(changes):
        if change.folder is None or not (at < flushed.get(change.folder, -1) or chance.random() < kept):
            continue
        here = f"{change.folder}/{change.name}".removeprefix("./")
        if change.kind == "mkdir" and change.folder in folders:
            folders.add(here)
        elif change.kind == "make":
            names[here] = change.file
        elif change.kind == "unlink":
            names.pop(here, None)
        elif change.kind == "rename" and here in names:
            names[f"{change.folder}/{change.new}".removeprefix("./")] = names.pop(here)
    for folder in sorted(folders):
        (root / folder).mkdir(exist_ok=True)
    return {root / path: number for path, number in names.items() if (root / path).parent.is_dir()}


def _content(changes: list[Change], chance: random.Random, kept: float) -> bytes:
    flushed = max((at for at, change in enumerate(changes) if change.kind == "flush"), default=-1)
    data = bytearray()
    for at, change in enumerate(changes):
        durable = at < flushed or chance.random() < kept
        if change.kind == "truncate" and durable:
            data[:] = data[: change.at].ljust(change.at, b"\0")
        elif change.kind == "write":
            part = change.data if durable else _torn(change.data, chance)
            if part:
                data.extend(bytes(max(0, change.at - len(data))))
                data[change.at : change.at + len(part)] = part
    return bytes(data)


def _torn(data: bytes, chance: random.Random) -> bytes:
    """What may be left of a write: nothing, its begin, zeros, or some of its blocks."""
    match chance.randrange(4):
        case 0:
            return b""
        case 1:
            return data[: chance.randrange(len(data) + 1)]
        case 2:
            return bytes(len(data))
    blocks = (data[at : at + BLOCK] for at in range(0, len(data), BLOCK))
    return b"".join(block if chance.random() < 0.5 else bytes(len(block)) for block in blocks)
