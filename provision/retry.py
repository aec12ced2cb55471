"""The retry policy, in one place. The only module that knows tenacity.

What may be retried is a property of the error (`retryable`), not of the caller. Progress resets the count: a transfer
that moves a little each time goes on for as long as it moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from provision.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to go on without progress: `attempts` tries in a row, waits in seconds that double from the first.

    A hub that asks for more than `longest_request` seconds (Retry-After) is not waited for: the error goes to the user
    with the hub's own figure.
    """

    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 30.0
    longest_request: float = 300.0

    def wait(self, failures: int, asked: float | None) -> float:
        """Seconds to wait after the given number of failures in a row; never less than the hub `asked` for, and never
        in step with everybody else whom it asked.
        """
        import random

        backoff: float = min(self.first_wait * 2 ** min(failures - 1, 30), self.longest_wait)
        jittered = backoff * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
        return jittered if asked is None else max(jittered, asked + random.uniform(0.0, self.first_wait))  # noqa: S311


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A policy ready for use: patience, a way to sleep (which may raise Interrupted), and someone to tell.

    While patience `is_spent` already, one failure without progress is enough.
    """

    patience: Patience
    sleep: Callable[[float], None]
    tell: Callable[[str], None] = lambda _: None
    is_spent: Callable[[], bool] = lambda: False

    def call(
        self,
        operation: Callable[[], T],
        *,
        position: Callable[[], int] = lambda: 0,
        alive: Callable[[], int] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> T:
        """The result of `operation`, called again after each retryable error until patience runs out.

        `position` tells how far the work has come; failures count only since it last moved, and so do the waits.
        Where there is other work with the same partner, `alive` tells how far all of it has come: while that moves,
        patience does not end, but this work is not asked for more often. The last error is raised as it came.
        """
        before = self.patience.attempts - 1 if self.is_spent() else 0
        count = _Failures(self.patience, _Row(position, 0), _Row(alive or position, before))
        try:
            return operation()
        except ProvisionError as error:
            if not error.retryable:
                raise
            going_on = _After(error, operation)
        from tenacity import Retrying, retry_if_exception  # not before it is needed: most work fails nowhere

        retrying = Retrying(
            retry=retry_if_exception(_may_be_retried),
            stop=count.exhausted,
            wait=count.wait,
            sleep=self.sleep,
            before_sleep=lambda state: _tell(state, tell or self.tell),
            reraise=True,
        )
        return retrying(going_on)


class _After(Generic[T]):
    """An operation whose first call was made already, and failed."""

    def __init__(self, error: ProvisionError, operation: Callable[[], T]) -> None:
        self._error: ProvisionError | None = error
        self._operation = operation

    def __call__(self) -> T:
        if self._error is not None:
            raise self._taken(self._error)
        return self._operation()

    def _taken(self, error: ProvisionError) -> ProvisionError:
        """`error`, which nobody keeps any more: it keeps all that was at work when it was raised."""
        self._error = None
        return error


class _Failures:
    """Failures in a row: of this work, and since anything moved."""

    def __init__(self, patience: Patience, own: _Row, everyone: _Row) -> None:
        self._patience, self._own, self._all = patience, own, everyone

    def exhausted(self, state: RetryCallState) -> bool:
        asked = _asked(state)
        self._own.count()
        return self._all.count() >= self._patience.attempts or (asked or 0.0) > self._patience.longest_request

    def wait(self, state: RetryCallState) -> float:
        # tenacity asks for the wait before it asks whether to stop: the failure at hand is not counted yet.
        return self._patience.wait(self._own.following, _asked(state))


class _Row:
    """A count, `before` to begin with, that begins anew whenever `position` has moved."""

    def __init__(self, position: Callable[[], int], before: int) -> None:
        self._position = position
        self._seen, self._count = position(), before

    @property
    def following(self) -> int:
        """What the next count will be."""
        return 1 if self._position() != self._seen else self._count + 1

    def count(self) -> int:
        self._count, self._seen = self.following, self._position()
        return self._count


def _may_be_retried(error: BaseException) -> bool:
    return isinstance(error, ProvisionError) and error.retryable


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def _asked(state: RetryCallState) -> float | None:
    error = _error(state)
    return error.retry_after if isinstance(error, ProvisionError) else None


def _tell(state: RetryCallState, tell: Callable[[str], None]) -> None:
    seconds = state.next_action.sleep if state.next_action is not None else 0.0
    tell(f"{_error(state)}; trying again in {seconds:.0f} s")
