"""A server that is gone is waited for once, not once for each file."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from misbehaving_s3 import Rule, answers, cut
from s3_bed import Bed, bed_of_a_test, honest_server  # noqa: F401 - fixtures

from provision.errors import VolumeError
from provision.volume.s3.body import READ_SIZE

DATA = bytes(range(256)) * 4096  # 1 MiB


def fails(view, path: str) -> str:
    with pytest.raises(VolumeError) as caught:
        view.open_file(path)
    assert not caught.value.retryable
    return caught.value.message


def test_after_a_whole_patience_without_anything_the_next_files_are_asked_for_once(bed: Bed):
    bed.s3.rules[:] = [Rule("", "", answers(502))]

    with bed.view(attempts=4) as view:
        assert "given up after 4 attempts" in fails(view, "a.bin")
        assert len(bed.waits) == 3
        for name in ("b.bin", "c.bin"):
            assert "not waited for" in fails(view, name)
            assert len(bed.s3.asked(name)) == 1
    assert len(bed.waits) == 3


def test_what_comes_again_renews_the_patience(bed: Bed):
    bed.put("b.bin", b"abc")
    dead = Rule("", "", answers(502), times=4)
    bed.s3.rules[:] = [dead]

    with bed.view(attempts=3) as view:
        fails(view, "a.bin")
        fails(view, "b.bin")
        assert view.open_file("b.bin").stat().st_size == 3
        dead.times = 2
        assert view.open_file("b.bin").stat().st_size == 3
    assert len(bed.waits) == 4


def test_bytes_that_come_before_a_cut_renew_the_patience(bed: Bed):
    bed.put("b.bin", DATA)
    with bed.view(attempts=3) as view, view.open_file("b.bin") as file:
        bed.s3.rules[:] = [Rule("HEAD", "", answers(502), times=3), Rule("GET", "b.bin", cut(READ_SIZE), times=2)]
        fails(view, "a.bin")
        got = bytearray(len(DATA))
        assert file.read_into(0, memoryview(got)) == len(DATA)

    assert got == DATA


class Meanwhile(list[float]):
    """The waits of one file, in which others are asked for."""

    def __init__(self, ask: Callable[[], object]) -> None:
        super().__init__()
        self._ask = ask

    def append(self, wait: float) -> None:
        super().append(wait)
        self._ask()


def test_one_file_that_cannot_be_had_while_others_come_stops_nobody(bed: Bed):
    bed.put("good.bin", b"abc")
    bed.s3.rules[:] = [Rule("", "bad", answers(524))]

    bed.waits = Meanwhile(lambda: view.open_file("good.bin"))
    with bed.view(attempts=4) as view:
        assert "given up after 4" in fails(view, "bad.bin")
        assert "given up after 4" in fails(view, "bad.too")
