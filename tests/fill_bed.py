"""A bed for fills: a served folder with a hub that may misbehave in front, a volume, and the laws that hold after each.

The fill runs in this process, with tiny patience whose waits are written down instead of slept.
"""

from __future__ import annotations

import gc
import math
import random
import re
import sys
import time
import warnings
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from hub_kinds import http_settings, reach

from provision import digest
from provision.crew import Stop
from provision.digest import PIECE_SIZE, piece_digest, piece_span, sha256_of
from provision.errors import ProvisionError, worst
from provision.hubs.http import Http, memory
from provision.hubs.supply import Supply
from provision.lock import Lock, LockedFile, LockedModel
from provision.progress import Silent
from provision.retry import Patience, Retry
from provision.transfer import relief
from provision.transfer.fill import Means, fill, look_ahead
from provision.transfer.rate import Rate
from provision.transfer.width import Machine, Width
from provision.volume.journal import key_of, parse
from provision.volume.mount import Volume
from provision.volume.writer import new_writer

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from hub_kinds import Kind
    from misbehaving_hub import MisbehavingHub, Request

    from provision.errors import ExitCode
    from provision.hubs import Hub
    from provision.transfer.outcome import Filling, Outcome

NAME = "acme/weights"
TOKEN = "hf_markmarkmarkmark"
NOW = 1_790_000_000.0
SMALL, BIG, PLAIN, EMPTY, WIDE = "small.npy", "big.npy", "notes.md", "empty.bin", "wide.npy"
SIZES = {SMALL: 200_000, BIG: 2 * PIECE_SIZE + 1_000_003, PLAIN: 3_000, EMPTY: 0, WIDE: 7 * PIECE_SIZE + 500_009}
USUAL = (SMALL, BIG, PLAIN, EMPTY)
"""What most tests need; WIDE has pieces for many connections, and takes its time."""
SMALL_PIECE = 4 * 1024 * 1024
THREE, EIGHT = "three.npy", "eight.npy"
SIZES |= {THREE: 2 * SMALL_PIECE + 1_000_003, EIGHT: 7 * SMALL_PIECE + 500_009}
"""As BIG and WIDE, where pieces are SMALL_PIECE long: see `small_pieces`."""
HURRY = Patience(attempts=3, first_wait=0.0, longest_wait=0.0)


@cache
def content(path: str) -> bytes:
    """What the hub serves, and the lock promises, for `path`: bytes that differ everywhere."""
    return random.Random(path).randbytes(SIZES[path])


def build(root: Path, paths: tuple[str, ...] = USUAL) -> Path:
    """The repository NAME with `paths`, for both hubs."""
    for hub in ("hf", "modelscope"):
        (root / hub / NAME).mkdir(parents=True)
        for path in paths:
            (root / hub / NAME / path).write_bytes(content(path))
    return root


def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces are SMALL_PIECE long from now on, so that several connections share less. In this process only."""
    for module in [module for name, module in list(sys.modules.items()) if name.startswith("provision.")]:
        if hasattr(module, "PIECE_SIZE"):
            monkeypatch.setattr(module, "PIECE_SIZE", SMALL_PIECE)
    monkeypatch.setattr(memory, "LARGE", SMALL_PIECE)


def file_of(path: str, data: bytes | None = None) -> LockedFile:
    data = content(path) if data is None else data
    return LockedFile(path=path, target=f"models/{path}", size=len(data), sha256=sha256_of(data))


def lock_of(kind: Kind, commit: str | None, *files: LockedFile) -> Lock:
    model = LockedModel(
        name="weights",
        source=f"{kind.scheme}://{NAME}",
        revision=kind.branch,
        commit=commit,
        layout="tree",
        license=None,
        meaning_sha256="0" * 64,
        files=files,
    )
    return Lock(project="bed", root="models", manifest_sha256="0" * 64, models=(model,))


@dataclass(kw_only=True)
class Result:
    """What came of one fill: its outcomes, or the error that ended it; and what the hub and its CDN saw."""

    outcomes: tuple[Outcome, ...] = ()
    raised: ProvisionError | None = None
    sleeps: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    @property
    def error(self) -> ProvisionError | None:
        """The one that decides the exit code."""
        errors = [outcome.error for outcome in self.outcomes if outcome.error] + [self.raised] * bool(self.raised)
        return worst(errors) if errors else None

    @property
    def exit_code(self) -> ExitCode | int:
        return self.error.exit_code if self.error else 0

    @property
    def fetched(self) -> int:
        return sum(outcome.fetched for outcome in self.outcomes)

    def ranges(self, place: str = "cdn") -> tuple[str | None, ...]:
        """The part that each request for bytes asked for, without `bytes=`; None is the whole."""
        asked = [request.headers.get("range") for request in self.requests if request.place == place]
        return tuple(text and text.removeprefix("bytes=") for text in asked)

    def asked(self, size: int) -> tuple[str | None, ...]:
        """As `ranges`, of a file of `size` bytes, in ascending order; those that adjoin are told as one. So it does not
        matter how many connections shared the work, and a byte that was asked for twice shows.
        """
        spans: list[list[int]] = []
        for text in self.ranges():
            first, last = map(int, text.split("-")) if text else (0, size - 1)
            spans.append([first, last])
        merged: list[list[int]] = []
        for first, last in sorted(spans):
            if merged and merged[-1][1] + 1 == first:
                merged[-1][1] = last
            else:
                merged.append([first, last])
        return tuple(None if span == [0, size - 1] else f"{span[0]}-{span[1]}" for span in merged)


class _Notes(Silent):
    def __init__(self, notes: list[str]) -> None:
        self._notes = notes

    def note(self, text: str) -> None:
        self._notes.append(text)


@dataclass(kw_only=True)
class Bed:
    """One hub, one kind of it, one volume. `sent_elsewhere`: bytes that servers without a log may have sent.

    `endpoint`: where the hub is believed to be. `pause`: what is done beside writing a wait down. The fill's clock is
    moved by what was `slept`, too. `used`: the processor time of this process, as the fill is told.
    """

    hub: MisbehavingHub
    kind: Kind
    volume: Path
    stop: Stop = field(default_factory=Stop)
    sent_elsewhere: int = 0
    home_name: str = "home"
    others: dict[str, Hub] = field(default_factory=dict)  # by scheme: where mirrors are
    xet: bool = False
    soon: float = math.inf  # seconds until a stretch is relieved: never, lest tests depend on who is faster
    endpoint: str = ""
    pause: Callable[[float], None] = lambda _: None
    used: Callable[[], float] = lambda: 0.0
    slept: float = 0.0

    def clock(self) -> float:
        """Seconds that never jump."""
        return time.monotonic() + self.slept

    @property
    def home(self) -> Path:
        """Where a process that fills it keeps its own things."""
        return self.volume.parent / self.home_name

    def commit(self) -> str:
        return self.hub.folder.repository(self.kind.scheme, NAME).snapshot().commit

    def lock(self, *paths: str) -> Lock:
        return lock_of(self.kind, self.commit(), *map(file_of, paths))

    def fill(self, lock: Lock, patience: Patience = HURRY, connections: int = 2, **http) -> Result:
        """Fill the volume; every law is asserted before this returns. `http` are settings."""
        result, before, first = Result(), proven(self.volume, lock), len(self.hub.log)
        stood = standing(self.volume, lock)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", ResourceWarning)
            try:
                result.outcomes = self._fill(lock, patience, connections, result, **http).outcomes
            except ProvisionError as error:
                result.raised = error
            gc.collect(1)  # what this fill has made; all of a test run would take longer than the fill
        assert [str(warning.message) for warning in warned if warning.category is ResourceWarning] == []
        result.requests = self.hub.log[first:]
        assert_laws(self, lock, result, before)
        assert_names_are_earned(self.volume, lock, result, stood)
        return result

    def _fill(self, lock: Lock, patience: Patience, connections: int, result: Result, **http) -> Filling:
        settings, began = {"now": lambda: NOW, "stall": 10.0, **http}, self.clock()
        retry = Retry(patience=patience, sleep=lambda wait: self._sleep(result, wait), tell=result.notes.append)
        adapter = reach(self.kind, self.endpoint or self.hub.endpoint, token=TOKEN, **settings)
        machine = Machine(clock=self.clock, used=self.used, cores=1)
        means = Means(
            supply=Supply(lambda scheme: self.others.get(scheme, adapter), Http(http_settings(**settings)), retry),
            writer=new_writer(),
            progress=_Notes(result.notes),
            stop=self.stop,
            clock=lambda: NOW + self.clock() - began,
            width=Width(connections, connections, machine, self.stop),
            rate=Rate(None, lambda: 0.0, result.sleeps.append),
            xet=self.xet,
        )
        with Volume.open(str(self.volume)) as volume, mock.patch.object(relief, "SOON", self.soon):
            return fill(volume, look_ahead(volume, [lock], NOW), means)

    def _sleep(self, result: Result, wait: float) -> None:
        result.sleeps.append(wait)
        self.pause(wait)
        self.slept += wait


def bed_at(hub: MisbehavingHub, kind: Kind, place: Path) -> Bed:
    """A bed with an empty volume below `place`; the hub behaves, and its log is empty."""
    hub.rules.clear()
    hub.log.clear()
    (place / "volume").mkdir()
    return Bed(hub=hub, kind=kind, volume=place / "volume")


def proven(root: Path, lock: Lock) -> dict[str, set[int]]:
    """By target, the pieces that a partial holds and its journal names rightly."""
    found: dict[str, set[int]] = {}
    for _, file in lock.files():
        for journal in (root / ".provision/partials").glob(f"{key_of(file)}.*.journal"):
            partial = (root / file.target).with_name(f".provision-{journal.stem}.partial")
            if partial.exists():
                named = parse(journal.read_bytes(), file).pieces.items()
                held = {index for index, digest in named if _piece(partial, file, index) == (digest, digest)}
                found.setdefault(file.target, set()).update(held)
    return {target: held for target, held in found.items() if held}


def _piece(partial: Path, file: LockedFile, index: int) -> tuple[str, str]:
    """Which digest a piece has, and which it must have: a journal may vouch for bytes that are none of ours."""
    begin, end = piece_span(index, file.size)
    with partial.open("rb") as data:
        data.seek(begin)
        return piece_digest(data.read(end - begin)), piece_digest(content(Path(file.target).name)[begin:end])


def standing(root: Path, lock: Lock) -> dict[str, str]:
    """The sha256 of what stands at each target."""
    finals = {file.target: root / file.target for _, file in lock.files()}
    return {target: sha256_of(final.read_bytes()) for target, final in finals.items() if final.is_file()}


def assert_names_are_earned(root: Path, lock: Lock, result: Result, stood: dict[str, str]) -> None:
    """A final name is absent or has the promised bytes; only what stood before, of a file that failed, may stand on."""
    failed = {outcome.step.file.target for outcome in result.outcomes if outcome.error}
    for _, file in lock.files():
        found = standing(root, lock).get(file.target)
        may_stand = stood.get(file.target) if result.raised or file.target in failed else None
        assert found in {None, file.sha256, may_stand}


def assert_laws(bed: Bed, lock: Lock, result: Result, before: dict[str, set[int]]) -> None:
    """What is true after every fill, whatever the hub did."""
    for _, file in lock.files():
        final = bed.volume / file.target
        assert final.exists() or result.error, "a file is missing and nobody says so"
        _assert_nothing_proven_is_asked_for(result, file, before.get(file.target, set()))
    _assert_errors_speak(result)
    _assert_the_token_stays_at_home(bed, result)
    if not result.raised:
        assert result.fetched <= sum(request.sent for request in result.requests) + bed.sent_elsewhere
    if not result.error:
        assert_no_leftovers(bed.volume, lock)


def _assert_nothing_proven_is_asked_for(result: Result, file: LockedFile, pieces: set[int]) -> None:
    if any("sha256 is not as promised" in note for note in result.notes):
        return  # then nothing was proven after all: some piece is another than its journal says, and nobody knows which
    for request in result.requests:
        if file.sha256 not in request.target:
            continue
        if request.status == 416:
            return  # it has no ranges: then everything is asked for
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
        first, last = (int(part[1]), int(part[2])) if part else (0, file.size - 1)
        asked = range(first // digest.PIECE_SIZE, last // digest.PIECE_SIZE + 1)
        assert not pieces & set(asked), f"{request.headers.get('range')} asks for proven {pieces}"


def _assert_errors_speak(result: Result) -> None:
    for error in [outcome.error for outcome in result.outcomes] + [result.raised]:
        if error is not None:
            assert error.message
            assert error.hint
            assert error.exit_code not in {0, 1}


def _assert_the_token_stays_at_home(bed: Bed, result: Result) -> None:
    said = [repr(result.raised), repr(result.outcomes), *result.notes]
    for error in [outcome.error for outcome in result.outcomes] + [result.raised]:
        said += [error.message, error.hint, repr(error)] if error else []
    assert TOKEN not in "".join(said)
    for request in result.requests:
        if request.place != "hub":
            assert TOKEN not in f"{request.headers} {request.target}"
            assert "authorization" not in request.headers
            assert "cookie" not in request.headers
    for path in bed.volume.rglob("*"):
        if path.is_file() and (path.stat().st_size < 1_000_000 or not path.name.endswith(".npy")):
            assert TOKEN.encode() not in path.read_bytes()
            assert TOKEN not in path.name


def assert_no_leftovers(root: Path, lock: Lock) -> None:
    """Nothing that was made on the way to `lock` is left; what belongs to other promises is not asked about."""
    ours = {key for _, file in lock.files() for key in [key_of(file)]}
    left = [*root.rglob(".provision-*"), *(root / ".provision/partials").glob("*")]
    assert [str(path) for path in left if any(key in path.name for key in ours)] == []
