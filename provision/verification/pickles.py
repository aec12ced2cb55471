"""Pickles: promised files whose loading can run any code in them; named always, and searched where that is asked for.

The only module that knows picklescan (the extra `scan`).
"""

from __future__ import annotations

import io
from collections import Counter
from typing import TYPE_CHECKING, Final

from provision.errors import InputError, VolumeError
from provision.names import shown
from provision.verification.findings import ModelMisfit, Note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from provision.composition import Misfit
    from provision.verification.findings import Promise
    from provision.verification.reading import Reading
    from provision.volume.view import Readable, View

SUFFIXES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
"""Of formats whose loading can run code: those that a manifest refuses unless a person allows them."""

READ_LIMIT: Final = 64 * 1024 * 1024
"""Bytes that a pickle may hold in one value; picklescan has each of them in memory."""

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


def scanner() -> Callable[..., Any]:
    """Picklescan's `scan_bytes`.

    Raises:
        InputError: it is not installed.
    """
    try:
        from picklescan.scanner import scan_bytes
    except ImportError as error:
        raise InputError(
            "picklescan is not installed, which looks into pickles", hint="pip install 'volume-provision[scan]'"
        ) from error
    import logging

    logging.getLogger("picklescan").setLevel(logging.CRITICAL)  # it tells its findings there; here they are misfits
    return scan_bytes  # type: ignore[no-any-return]


def pickle_misfits(view: View, promises: Sequence[Promise], reading: Reading) -> list[ModelMisfit]:
    """What loading each promised pickle would import that is known to be dangerous (grave), or is not known to be
    harmless (not grave). What cannot be looked into is named, too. A file that is not there is no matter of this.

    Raises:
        InputError: picklescan is not installed.
    """
    scan, misfits = scanner(), []
    seen: dict[str, list[Misfit]] = {}
    for promise in promises:
        if is_pickle(promise.file.path):
            reading.stop.check()
            target = promise.file.target
            if target not in seen:
                seen[target] = _misfits(view, promise, scan)
            misfits += [ModelMisfit(project=promise.project, model=promise.model, misfit=one) for one in seen[target]]
    return misfits


def _misfits(view: View, promise: Promise, scan: Callable[..., Any]) -> list[Misfit]:
    path = promise.file.path
    try:
        opened = view.open_file(promise.file.target)
        if opened is None:
            return []
        with opened:
            result = scan(io.BufferedReader(_Bytes(opened)), path, path[path.rindex(".") :].lower())
    except VolumeError:
        return []  # a finding says so
    except Exception as error:  # noqa: BLE001 - whatever a hostile file does to its parser, it was not looked into
        return [_misfit(path, f"picklescan cannot look into it: {shown(str(error) or type(error).__name__)}")]
    return _told(path, result)


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

    def __init__(self, opened: Readable) -> None:
        self._opened, self._size, self._at = opened, opened.stat().st_size, 0

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
        if len(wanted) > READ_LIMIT:
            raise OSError(f"it holds a value of {len(wanted):,} bytes")
        count = self._opened.read_into(self._at, wanted[: max(self._size - self._at, 0)])
        self._at += count
        return count
