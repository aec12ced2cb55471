"""Room at a host: how many bodies may be under way from it at once. Hubs turn away those who come with too many."""

from __future__ import annotations

from threading import Condition
from typing import TYPE_CHECKING

from provision.errors import HubUnavailable

if TYPE_CHECKING:
    from provision.hubs.http import HttpSettings


class Seat:
    """The right to one body from `host`. `came`: bytes that it has brought so far."""

    def __init__(self, room: Room, host: str) -> None:
        self._room = room
        self.host, self.came = host, 0

    def leave(self) -> None:
        """Give it back; a second time changes nothing."""
        self._room.free(self)


class Room:
    """Seats at every host. Safe to share between threads."""

    def __init__(self, settings: HttpSettings) -> None:
        self._most, self._patience = settings.per_host, settings.answer
        self._seats: dict[str, set[Seat]] = {}
        self._changed = Condition()

    def take(self, host: str) -> Seat:
        """A seat at `host`, waited for as long as those who have one get bytes.

        Raises:
            HubUnavailable: none of them moved for as long as an answer may take.
        """
        with self._changed:
            seats = self._seats.setdefault(host, set())
            while len(seats) >= self._most:
                before = sum(seat.came for seat in seats)
                freed = self._changed.wait(self._patience)
                if not freed and len(seats) >= self._most and before == sum(seat.came for seat in seats):
                    raise HubUnavailable(
                        f"all {self._most} connections to {host} are taken, and nothing moves",
                        hint="run the same command again; it resumes",
                    )
            seat = Seat(self, host)
            seats.add(seat)
            return seat

    def free(self, seat: Seat) -> None:
        """Let another have `seat`."""
        with self._changed:
            self._seats[seat.host].discard(seat)
            self._changed.notify_all()
