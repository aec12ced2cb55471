"""The rate: all connections together keep it, nothing that was not used is made up for, and no limit costs nothing."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import Interrupted
from provision.transfer.rate import BURST, Rate

MIB = 1024 * 1024


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 1000.0

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def spent(limit, counts, time):
    rate = Rate(limit, time.clock, time.sleep)
    for count in counts:
        rate.spend(count)
    return rate


@given(st.lists(st.integers(1, 4 * MIB), min_size=1, max_size=50), st.integers(1000, 10**9))
def test_bytes_take_as_long_as_the_limit_says(counts, limit):
    time = Time()
    spent(limit, counts, time)
    due = sum(counts) / limit
    assert max(0.0, due - BURST) - 1e-6 <= time.now - 1000.0 <= due + 1e-6


def test_a_pause_is_not_made_up_for():
    time = Time()
    rate = spent(MIB, [MIB], time)
    time.now += 60
    before = time.now
    for _ in range(4):
        rate.spend(MIB)
    assert time.now - before >= 4 - BURST - 1e-6


def test_threads_share_one_limit():
    """Ten threads of a tenth each: nobody sleeps less than until the bytes of all are due."""
    slept, guard = [], threading.Lock()

    def sleep(seconds):
        with guard:
            slept.append(seconds)

    rate = Rate(10 * MIB, lambda: 100.0, sleep)
    threads = [threading.Thread(target=rate.spend, args=(MIB,)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(slept) == pytest.approx([0.1 * n - BURST for n in range(1, 11) if 0.1 * n > BURST])


def test_without_a_limit_nobody_waits():
    time = Time()
    assert spent(None, [MIB] * 1000, time).at_once(MIB) == MIB
    assert time.now == 1000.0


def test_at_a_low_rate_little_is_taken_at_a_time():
    assert Rate(100_000, Time().clock, Time().sleep).at_once(MIB) == 10_000
    assert Rate(10, Time().clock, Time().sleep).at_once(MIB) == 4096
    assert Rate(10**9, Time().clock, Time().sleep).at_once(MIB) == MIB


def test_a_stop_ends_the_wait():
    def stopped(_):
        raise Interrupted("now")

    with pytest.raises(Interrupted):
        Rate(1, lambda: 0.0, stopped).spend(MIB)
