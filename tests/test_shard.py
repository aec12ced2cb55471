"""A fill that is split: every file in exactly one share, by the locks alone, and no share much larger than another."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.cli.settings import ShardType
from provision.errors import ExitCode, InputError
from provision.lock import Lock, LockedFile, LockedModel
from provision.shard import COUNT_LIMIT, Shard, parse, share

GB = 10**9


def lock_of(sizes: dict[str, int], project: str = "p") -> Lock:
    files = tuple(LockedFile(path=name, target=name, size=size, sha256="a" * 64) for name, size in sizes.items())
    model = LockedModel(
        name="m", source="hf://o/n", revision="main", commit=None, layout="tree", license=None,
        meaning_sha256="b" * 64, files=files,
    )  # fmt: skip
    return Lock(project=project, root="", manifest_sha256="c" * 64, models=(model,))


def shares(locks: list[Lock], count: int) -> list[frozenset[str]]:
    return [share(locks, Shard(index=index, count=count)) for index in range(1, count + 1)]


targets = st.text("abc/é日", min_size=1, max_size=6)
promises = st.dictionaries(targets, st.integers(0, 50 * GB) | st.integers(0, 3), max_size=40)
counts = st.integers(1, 12)


@given(promises, counts)
def test_every_file_is_in_exactly_one_shard(sizes, count):
    split = shares([lock_of(sizes)], count)

    assert sum(map(len, split)) == len(sizes)
    assert frozenset().union(*split) == sizes.keys()


@given(promises.filter(bool), counts)
def test_no_shard_has_more_than_the_average_and_one_largest_file(sizes, count):
    loads = [sum(sizes[target] for target in one) for one in shares([lock_of(sizes)], count)]

    assert max(loads) <= sum(sizes.values()) / count + max(sizes.values())


@given(promises, counts, st.randoms())
def test_the_order_of_files_and_locks_changes_nothing(sizes, count, random):
    mixed = list(sizes.items())
    random.shuffle(mixed)
    at = random.randint(0, len(mixed))
    parts = [lock_of(dict(mixed[:at])), lock_of(dict(mixed[at:]), "q")]
    random.shuffle(parts)

    assert shares(parts, count) == shares([lock_of(sizes)], count)


@given(promises, promises, counts)
def test_what_several_locks_promise_counts_once(sizes, others, count):
    both = {**others, **sizes}
    overlapping = [lock_of(sizes), lock_of({target: both[target] for target in others}, "q")]

    assert shares(overlapping, count) == shares([lock_of(both)], count)


@given(promises)
def test_one_shard_of_one_is_everything(sizes):
    assert share([lock_of(sizes)], Shard(index=1, count=1)) == sizes.keys()


def test_the_split_is_the_same_in_every_release():
    # Shards of one job may run days and an upgrade apart: what this says may never change.
    sizes = {"unet": 10 * GB, "text": 5 * GB, "text_2": 5 * GB, "vae": GB, "lora": GB, "a.json": 700, "b.json": 700}

    assert shares([lock_of(sizes)], 3) == [
        {"unet"},
        {"text", "lora", "a.json"},
        {"text_2", "vae", "b.json"},
    ]


def test_with_more_shards_than_files_the_last_ones_have_nothing():
    assert shares([lock_of({"a": 3, "b": 2})], 4) == [{"a"}, {"b"}, set(), set()]


def test_ten_thousand_files_are_split_in_a_moment():
    files = {f"models/{n}": n for n in range(10_000)}

    assert sum(len(one) for one in shares([lock_of(files)], 8)) == 10_000


def test_two_locks_at_odds_are_split_alike_by_all():
    # The plan refuses them; until then no order of reading may matter.
    one, other = lock_of({"a": 1, "b": 5}), lock_of({"a": 9, "c": 5}, "q")

    assert shares([one, other], 2) == shares([other, one], 2)


@pytest.mark.parametrize(("text", "index", "count"), [("1/1", 1, 1), ("2/8", 2, 8), (" 08/08 ", 8, 8)])
def test_a_shard_is_read_as_it_is_said(text, index, count):
    assert parse(text) == Shard(index=index, count=count)
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    "text", ["", "2", "2/", "/8", "0/8", "9/8", "-1/8", "1/0", "0/0", f"1/{COUNT_LIMIT + 1}", "1.0/2", "2/8/1", "²/8",
             "1/99999999999999999999"]
)  # fmt: skip
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(InputError) as caught:
        parse(text)
    assert caught.value.exit_code is ExitCode.INPUT
    assert caught.value.hint


def test_an_index_that_counts_from_0_is_refused_with_the_cure():
    with pytest.raises(InputError) as caught:
        parse("0/8")
    assert "1/8 to 8/8" in caught.value.message
    assert "JOB_COMPLETION_INDEX + 1" in caught.value.hint


def test_the_command_line_reads_shards():
    assert ShardType().convert("2/8", None, None) == Shard(index=2, count=8)
    assert ShardType().convert(Shard(index=1, count=2), None, None) == Shard(index=1, count=2)
    with pytest.raises(click.BadParameter, match="1/8 to 8/8"):
        ShardType().convert("0/8", None, None)
