"""Whether the server gives anything at all: one that is gone is not waited for anew by each file."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from provision.errors import VolumeError, VolumeTrouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


class Breaker:
    """Remembers that a whole patience was used up while nothing came, for anybody. From then on trouble is final at
    once, also for who is waiting, until something comes again. Threads share it.
    """

    def __init__(self) -> None:
        self._gifts = 0
        self._is_open = False

    @contextmanager
    def watching(self, operation: Callable[[], T], position: Callable[[], int]) -> Iterator[Callable[[], T]]:
        """`operation` to be called again and again; a VolumeTrouble that leaves the context is the end of a patience.

        Raises (what is handed out, besides what `operation` raises):
            VolumeError: trouble, and nothing has come for a whole patience.
        """
        here, gifts = position(), self._gifts

        def watched() -> T:
            nonlocal here, gifts
            try:
                result = operation()
            except VolumeTrouble as error:
                if position() == here:
                    raise self._judged(error) from error
                here, gifts = position(), self._given()
                raise
            self._given()
            return result

        try:
            yield watched
        except VolumeTrouble:
            # A thread that was given something meanwhile has shown that the server lives.
            self._is_open = self._is_open or gifts == self._gifts
            raise

    def _given(self) -> int:
        self._is_open = False
        self._gifts += 1
        return self._gifts

    def _judged(self, error: VolumeTrouble) -> VolumeError:
        if not self._is_open:
            return error
        return VolumeError(
            f"{error.message}; not waited for, as the server has given nothing for long", hint=error.hint
        )
