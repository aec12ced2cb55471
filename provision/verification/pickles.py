"""Pickles: promised files whose loading can run any code in them; named always, and searched where that is asked for.

The only module that knows picklescan (the extra `scan`).
"""

from __future__ import annotations

import io
import sys
from collections import Counter
from typing import TYPE_CHECKING, Final

from provision.errors import InputError, VolumeError
from provision.names import shown
from provision.verification.findings import ModelMisfit, Note

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType
    from typing import IO, Any

    from provision.composition import Misfit
    from provision.verification.findings import Promise
    from provision.verification.reading import Reading
    from provision.volume.view import Readable, View

SUFFIXES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
"""Of formats whose loading can run code: those that a manifest refuses unless a person allows them."""

READ_LIMIT: Final = 64 * 1024 * 1024
"""Bytes that a pickle may hold in one value, and an archive in all that it compresses."""

DIRECTORY_LIMIT: Final = 4 * 1024 * 1024
"""Bytes that the directory of an archive may have: some fifty thousand members."""

HELD_LIMIT: Final = 256 * 1024 * 1024
"""Bytes that all values and opcodes of a file may take in memory, where picklescan has those of a pickle at once."""

_OPCODE = 112  # bytes that an opcode takes besides its value: a tuple, a place in a list, and a number
_TOO_LARGE = "not scanned: too large"

_TOLD = 3  # folders, or imports, that are named


def is_pickle(path: str) -> bool:
    """Whether a file of that name is a pickle, or may hide one."""
    return path.lower().endswith(SUFFIXES)


def pickle_notes(promises: Sequence[Promise]) -> list[Note]:
    """How many of the promised files are pickles, and where they lie; nothing where there are none."""
    targets = {promise.file.target for promise in promises if is_pickle(promise.file.path)}
    if not targets:
        return []
    folders = Counter(target.rpartition("/")[0] or "the root" for target in targets).most_common()
    where = ", ".join(f"{shown(folder)} ({count})" for folder, count in folders[:_TOLD])
    more = f" and {len(folders) - _TOLD} more folders" if len(folders) > _TOLD else ""
    what = f"{len(targets):,} files are pickles" if len(targets) > 1 else "1 file is a pickle"
    return [Note(kind="pickle", text=f"{what}, whose loading can run any code: in {where}{more}")]


def scanner() -> ModuleType:
    """Picklescan's `scanner`.

    Raises:
        InputError: it is not installed.
    """
    try:
        from picklescan import scanner as found
    except ImportError as error:
        raise InputError(
            "picklescan is not installed, which looks into pickles", hint="pip install 'volume-provision[scan]'"
        ) from error
    import logging

    logging.getLogger("picklescan").setLevel(logging.CRITICAL)  # it tells its findings there; here they are misfits
    return found  # type: ignore[no-any-return]


def pickle_misfits(view: View, promises: Sequence[Promise], reading: Reading) -> list[ModelMisfit]:
    """What loading each promised pickle would import that is known to be dangerous (grave), or is not known to be
    harmless (not grave). What cannot be looked into, or would take too much memory, is named, too. A file that is not
    there is no matter of this.

    Raises:
        InputError: picklescan is not installed.
    """
    picklescan, misfits = scanner(), []
    seen: dict[str, list[Misfit]] = {}
    for promise in promises:
        if is_pickle(promise.file.path):
            reading.stop.check()
            target = promise.file.target
            if target not in seen:
                seen[target] = _misfits(view, promise, picklescan)
            misfits += [ModelMisfit(project=promise.project, model=promise.model, misfit=one) for one in seen[target]]
    return misfits


def _misfits(view: View, promise: Promise, picklescan: ModuleType) -> list[Misfit]:
    path = promise.file.path
    try:
        opened = view.open_file(promise.file.target)
        if opened is None:
            return []
        with opened:
            return _scanned(opened, path, picklescan)
    except VolumeError:
        return []  # a finding says so
    except Exception as error:  # noqa: BLE001 - whatever a hostile file does to its parser, it was not looked into
        return [_misfit(path, f"picklescan cannot look into it: {shown(str(error) or type(error).__name__)}")]


def _scanned(opened: Readable, path: str, picklescan: ModuleType) -> list[Misfit]:
    held = _Held()
    if _swells(io.BufferedReader(_Bytes(opened, held, DIRECTORY_LIMIT)), held):
        return [_misfit(path, _TOO_LARGE)]
    # It has no bound of its own: it makes a list of what `pickletools.genops` gives, whatever that is.
    picklescan.pickletools = held  # type: ignore[attr-defined]
    try:
        result = picklescan.scan_bytes(io.BufferedReader(_Bytes(opened, held)), path, path[path.rindex(".") :].lower())
    except Exception:
        if held.is_over:
            return [_misfit(path, _TOO_LARGE)]
        raise
    # Where a limit ends it within a pickle, picklescan takes that for the end of the pickle, and says nothing.
    return [*_told(path, result), *([_misfit(path, _TOO_LARGE)] if held.is_over else [])]


def _swells(data: IO[bytes], held: _Held) -> bool:
    """Whether it is an archive that would take too much room, by its directory: no member gives more than that says.

    Only of what is deflated; how far other compressions swell in one step cannot be bounded, and torch has none.
    """
    import zipfile

    try:
        if not zipfile.is_zipfile(data):
            return held.is_over
        with zipfile.ZipFile(data) as archive:
            packed = [member for member in archive.infolist() if member.compress_type != zipfile.ZIP_STORED]
    except (zipfile.BadZipFile, OSError):
        return held.is_over
    is_odd = any(member.compress_type != zipfile.ZIP_DEFLATED for member in packed)
    return is_odd or sum(member.file_size for member in packed) > READ_LIMIT


class _Held:
    """In the place of `pickletools`, for who makes a list of all opcodes of a file: no more than may be held."""

    def __init__(self) -> None:
        self.is_over = False
        self._left = HELD_LIMIT

    def genops(self, data: IO[bytes]) -> Iterator[tuple[Any, Any, int | None]]:
        """As `pickletools.genops`.

        Raises:
            OverflowError: it would be too much.
        """
        import pickletools

        for one in pickletools.genops(data):
            self._left -= _OPCODE + sys.getsizeof(one[1])
            if self._left < 0:
                self.is_over = True
                raise OverflowError("its opcodes are too many")
            yield one


def _told(path: str, result: Any) -> list[Misfit]:
    by_safety: dict[str, set[str]] = {}
    for one in result.globals:
        by_safety.setdefault(one.safety.value, set()).add(f"{one.module}.{one.name}")
    misfits = []
    if "dangerous" in by_safety:
        misfits.append(_misfit(path, f"loading it runs {_listed(by_safety['dangerous'])}", grave=True))
    if "suspicious" in by_safety:
        misfits.append(_misfit(path, f"loading it imports {_listed(by_safety['suspicious'])}"))
    if result.scan_err:
        misfits.append(_misfit(path, "picklescan could not read it to its end"))
    return misfits


def _misfit(path: str, detail: str, *, grave: bool = False) -> Misfit:
    from provision.composition import Misfit, Rule

    return Misfit(rule=Rule.PICKLE_DANGEROUS, path=path, detail=detail, grave=grave)


def _listed(names: set[str]) -> str:
    told = ", ".join(shown(name, 80) for name in sorted(names)[:_TOLD])
    return f"{told} and {len(names) - _TOLD} more" if len(names) > _TOLD else told


class _Bytes(io.RawIOBase):
    """An open file as Python's own readers want it."""

    def __init__(self, opened: Readable, held: _Held, limit: int = READ_LIMIT) -> None:
        self._opened, self._size, self._at = opened, opened.stat().st_size, 0
        self._held, self._limit = held, limit

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        if self._at < 0:
            raise OSError("before the beginning")
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = memoryview(buffer).cast("B")
        if len(wanted) > self._limit:
            self._held.is_over = True
            raise OSError(f"it holds a value of {len(wanted):,} bytes")
        count = self._opened.read_into(self._at, wanted[: max(self._size - self._at, 0)])
        self._at += count
        return count
