"""Bytes from Hugging Face's Xet storage, through its own library. The only module that knows hf_xet.

A file there is put together from ranges of large objects ("xorbs"), each fetched, unpacked and held in memory as a
whole. The library would take as much memory as the machine has to spare, so it is told to ask for little at a time. It
checks no digest (hf_xet 1.8: a flipped byte comes as it is): the sha256 of the whole decides here as everywhere.

Each stream has a session of its own, because only the end of a session wakes what waits in it.
"""

from __future__ import annotations

import ctypes
import re
import threading
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from provision.errors import (
    AddressExpired,
    ConnectionCut,
    HubRefused,
    NotAHub,
    PathNotFound,
    ProvisionError,
    Stalled,
    Unreachable,
)
from provision.hubs.address import host_of
from provision.hubs.answers import AGAIN, TRANSIENT, transient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from provision.hubs import Pace, Pin
    from provision.hubs.http import HttpSettings, Wanted

BLOCK = 2_000_000
"""Bytes of a file that are asked for at once. Larger blocks cost memory, smaller ones requests: two for each."""

STREAMS = 4
"""Most streams at once in this process. Together they hold some 70 MiB; whoever wants a fifth waits for its turn."""

_turns = threading.BoundedSemaphore(STREAMS)

_ARENA_MAX = -8
"""M_ARENA_MAX of glibc's malloc.h: how many heaps the threads of a process share (mallopt(3))."""

OLDEST = (1, 7)
"""Before, a stream held the interpreter's lock while it waited (hf_xet 1.6): nobody could notice that it stalls."""

SOON = 60
"""Seconds. A token that is over so soon is not used for another stream; huggingface_hub asks for the next one then."""

_OVER_HTTP = "use --transport http"
_STATUS = re.compile(r"HTTP status (?:client|server) error \((\d{3})\b")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file in the storage: its `hash` there, the storage's address, and a token for it, good until `expires`.

    `expires` is in seconds since 1970. The token is left out of `repr`.
    """

    hash: str
    address: str
    token: str = field(repr=False)
    expires: int


class XetStream:
    """A `Stream` of `span`, from the storage at `host`. Its first block has come when it is made."""

    def __init__(
        self, session: _Session, blocks: Iterator[bytes], span: tuple[int, int], host: str, patience: _Patience
    ) -> None:
        self.start, self.end = span
        self.host = host
        self._session, self._blocks, self._patience = session, blocks, patience
        self._position, self._ready = self.start, memoryview(b"")
        self._take()

    def read_into(self, buffer: memoryview) -> int:
        """As `Stream.read_into`.

        Raises:
            ConnectionCut: it ended early.
            Stalled: no block came for `stall` seconds, or they come slower than the pace asks for.
            HubRefused, HubUnavailable: by what the storage answers in between.
        """
        if not self._ready and self._position < self.end:
            self._take()
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def abandon(self) -> None:
        """As `Stream.abandon`."""
        with suppress(HubRefused):  # then it ends by itself
            self._session.end()

    def close(self) -> None:
        """End the session: its connections, its memory, and whatever thread waits for it."""
        self._ready = memoryview(b"")
        self._position, self._blocks = self.end, iter(())
        self._session.end()

    def _take(self) -> None:
        """Wait for the next block."""
        if self._position == self.end:
            return
        with self._session.ended_on_error():
            block = self._patience.wait(lambda: next(self._blocks, b""))
            if not block:  # also what hf_xet 1.8 makes of some refusals, by chance
                raise ConnectionCut(f"{self.host} ended its answer early", hint=AGAIN)
            self._position += len(block)
            if self._position > self.end:
                raise NotAHub(f"{self.host} sends more than was asked for", hint=_OVER_HTTP)
            self._ready = memoryview(block)


class _Session:
    """One of the library's sessions, and one of the turns there are."""

    def __init__(self, host: str, settings: HttpSettings, broken: Callable[[], object]) -> None:
        make, config = _vendor().XetSession, _config(settings)
        self._broken = broken
        if not _turns.acquire(timeout=settings.answer):
            raise Stalled(f"{STREAMS} streams from Xet storage are under way, none from {host} ends", hint=AGAIN)
        try:
            self.vendor = make(config)
        except BaseException:
            _turns.release()
            raise
        self._is_open, self._guard = True, threading.Lock()

    def end(self) -> None:
        """Cut its connections, and wake what waits for them. May be called again.

        Raises:
            HubRefused: the library cannot do that. The turn is given back all the same.
        """
        with self._guard:
            was_open, self._is_open = self._is_open, False
        if was_open:
            try:
                self.vendor.sigint_abort()
            except Exception:  # noqa: BLE001 - the library's own classes; its words may hold an address
                raise HubRefused("hf_xet cannot end what it began", hint=_OVER_HTTP) from None
            finally:
                _turns.release()

    @contextmanager
    def ended_on_error(self) -> Iterator[None]:
        """Whatever fails within ends the session, and `broken` is told."""
        try:
            yield
        except BaseException:
            self._broken()
            self.end()
            raise


class _Patience:
    """Waits for a storage's answers: neither longer than `stall` for one, nor below the pace for all."""

    def __init__(self, host: str, pace: Pace, settings: HttpSettings) -> None:
        self._host, self._pace, self._settings = host, pace, settings
        self._waited, self._came = 0.0, 0

    def wait(self, call: Callable[[], bytes]) -> bytes:
        """The bytes that `call` returns."""
        clock = self._settings.clock
        began = clock()
        block = _answer(call, min(self._settings.stall, self._pace.window), self._host, self._settings.now)
        self._waited, self._came = self._waited + clock() - began, self._came + len(block)
        if self._waited >= self._pace.window:
            if self._came < self._pace.slowest * self._waited:
                raise Stalled(f"{self._host} sends less than {self._pace.slowest:,} bytes a second", hint=AGAIN)
            self._waited, self._came = 0.0, 0
        return block


class Storage:
    """Streams of files that a hub keeps in Xet storage. Safe to share between threads.

    What the hub told of a file is kept until its token is over, or something fails: a file in two hundred parts is to
    cost it one question. What is asked for whole will not be asked for again.
    """

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._told: dict[object, Stored] = {}

    def open(self, pin: Pin, wanted: Wanted, pace: Pace, ask: Callable[[], Stored]) -> XetStream:
        """As `open_stream`; `ask` asks the hub, and is called where nothing is known that would still do."""
        key = pin, wanted.path, wanted.size, wanted.sha256
        stored = self._told.get(key)
        if stored is None or stored.expires - self._settings.now() < SOON:
            stored = ask()
            if not wanted.is_whole:
                self._told[key] = stored
        return open_stream(stored, wanted, pace, self._settings, lambda: self._told.pop(key, None))


def open_stream(
    stored: Stored, wanted: Wanted, pace: Pace, settings: HttpSettings, broken: Callable[[], object] = lambda: None
) -> XetStream:
    """The wanted bytes of a stored file. A block counts as it comes, whole: one that takes `stall` seconds is silence.
    Whatever fails, until it is closed, `broken` is told.

    Proxies are those of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY): the library asks nobody else.

    Raises:
        HubRefused: the storage does not have it, or hf_xet is missing or too old; and its children.
        HubUnavailable: and its children; another transport may help sooner.
    """
    host = host_of(stored.address)
    session = _Session(host, settings, broken)
    with session.ended_on_error():
        blocks = _answer(lambda: _blocks(session.vendor, stored, wanted, settings), settings.answer, host, settings.now)
        span = wanted.start, wanted.size if wanted.end is None else wanted.end
        return XetStream(session, blocks, span, host, _Patience(host, pace, settings))


def _blocks(session: Any, stored: Stored, wanted: Wanted, settings: HttpSettings) -> Any:
    try:
        group = session.new_download_stream_group(
            endpoint=stored.address,
            token=stored.token,
            token_expiry_unix_secs=stored.expires,
            custom_headers={"User-Agent": settings.user_agent},
        )
    except OSError:  # nobody has been asked yet: it makes an empty folder for each storage
        raise HubRefused(
            "hf_xet cannot make its folder", hint=f"set HF_XET_CACHE to one that can be written, or {_OVER_HTTP}"
        ) from None
    info = _vendor().XetFileInfo(stored.hash, wanted.size)
    return group.download_stream(info, start=wanted.start, end=wanted.size if wanted.end is None else wanted.end)


def _config(settings: HttpSettings) -> Any:
    """What keeps the library small, quiet, and from trying again for minutes where our callers try again too."""
    return (
        _vendor()
        .XetConfig()
        .with_config(
            {
                "reconstruction.min_reconstruction_fetch_size": BLOCK,
                "reconstruction.max_reconstruction_fetch_size": BLOCK,
                "reconstruction.download_buffer_size": 2 * BLOCK,
                "reconstruction.download_buffer_perfile_size": 0,
                "reconstruction.download_buffer_limit": 2 * BLOCK,
                "telemetry.enabled": False,
                "client.connect_timeout": timedelta(seconds=settings.connect),
                "client.read_timeout": timedelta(seconds=settings.stall),
                "client.retry_max_attempts": 1,
                "client.retry_base_delay": timedelta(seconds=0.5),
            }
        )
    )


@cache
def _vendor() -> Any:
    """hf_xet.

    Raises:
        HubRefused: it is not installed, or too old.
    """
    try:
        import hf_xet  # type: ignore[import-untyped]
    except ImportError as error:
        raise HubRefused(
            "hf_xet is not installed, which reads Xet storage", hint=f"install hf_xet, or {_OVER_HTTP}"
        ) from error
    installed = version("hf_xet")
    if tuple(map(int, re.findall(r"\d+", installed)[:2])) < OLDEST:
        raise HubRefused(
            f"hf_xet {installed} holds up the whole process while it waits",
            hint=f"install hf_xet>=1.7, or {_OVER_HTTP}",
        )
    return hf_xet


def share_heaps() -> None:
    """Let all threads of this process share two heaps: with one for each, streams take twice what they hold.

    Of use only while there are few threads: glibc settles their number once. Where malloc has no such setting, nothing
    is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl does not
    if mallopt is not None:
        mallopt(_ARENA_MAX, 2)


def _answer(call: Callable[[], T], seconds: float, host: str, now: Callable[[], float]) -> T:
    """What `call` returns, waited for in a thread of its own: nothing in the library ends a wait after a while.

    The thread of one that takes too long ends with its session.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is told where the outcome is waited for
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    if not wait((outcome,), seconds).done:
        raise Stalled(f"{host} is silent", hint=AGAIN)
    error = outcome.exception()
    if isinstance(error, ProvisionError):
        raise error
    if error is not None:
        raise _meaning(str(error), host, now()) from None  # its words may hold an address with a signature
    return outcome.result()


def _meaning(words: str, host: str, now: float) -> ProvisionError:
    """What went wrong, from the library's words: it has few classes of errors, and does not keep to them."""
    match = _STATUS.search(words)
    status = int(match[1]) if match else None
    if status in {401, 403} or "Auth error" in words:
        return AddressExpired(f"{host} no longer honours what the hub gave us for it", hint=AGAIN)
    if status == 404:
        return PathNotFound(f"{host} does not have the file (404)", hint=_OVER_HTTP)
    if status in TRANSIENT:
        return transient(status, {}, host, now)
    if status is not None or "integrity error" in words or "URL parse error" in words:
        return NotAHub(f"{host} does not answer as Xet storage does", hint=_OVER_HTTP)
    if "error sending request" in words:
        return Unreachable(f"{host} cannot be reached", hint="check the network and the proxy's settings")
    return ConnectionCut(f"{host} cut the connection", hint=AGAIN)
